"""Tables that a spreadsheet opens, and tables that are read: no formula runs, nothing odd is taken for a number."""

import csv

import pytest
from cubes import cube, fill

from prostate_seg.cli import main
from prostate_seg.errors import InputError
from prostate_seg.evaluation import evaluate_folders, read_patients, write_results
from prostate_seg.evaluation.comparison import compare, read_table, write_comparison
from prostate_seg.report import write_review

FORMULAS = ["=1+1", "+1+cmd", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "'=1", "\uff1d1"]
HEAD = "case,dice,hd_mm,diagonal_mm,patient,error\n"


def cells_of(path):
    with path.open(encoding="utf-8", newline="") as stream:
        return [cell for row in csv.reader(stream) for cell in row]


def evaluated(folder, name, last, cases):
    model = fill(folder / f"{name}_masks", **{case: cube(4, last) for case in cases})
    rows = evaluate_folders(model, folder / "reference")
    write_results(rows, folder / name)
    return rows


@pytest.fixture
def results(tmp_path):
    fill(tmp_path / "reference", **{case: cube(4, 14) for case in FORMULAS})
    evaluated(tmp_path, "first", 13, FORMULAS)
    evaluated(tmp_path, "second", 12, FORMULAS)
    return tmp_path


def test_s4_8_cases_named_as_formulas_begin_no_cell_of_metrics_csv_with_one(results):
    cells = cells_of(results / "first" / "metrics.csv")
    assert "'=1+1" in cells
    assert [cell for cell in cells if cell[:1] in tuple("=+@\t\r\uff1d")] == []
    negative = [cell for cell in cells if cell.startswith("-")]
    assert negative
    assert all(float(cell) < 0 for cell in negative)  # 1 of 10 planes is missing: a volume error below 0


def test_s4_the_8_names_are_read_back_as_they_were(results):
    assert sorted(read_table(results / "first").cases) == sorted(FORMULAS)
    patients = read_patients(results / "first" / "metrics.csv")
    assert sorted(patients.values()) == sorted(FORMULAS)


def test_s4_the_comparison_s_cases_csv_and_the_review_hold_no_formula(results):
    tables = [read_table(results / name) for name in ("first", "second")]
    write_comparison(compare(tables), tables, results / "comparison")
    cells = cells_of(results / "comparison" / "cases.csv")
    assert "'@SUM(A1)" in cells
    assert [cell for cell in cells if cell[:1] in tuple("=+@\t\r\uff1d")] == []
    manifest = {
        "uncertainty": {},
        "extent_mm": {"axes": [1, 1, 1]},
        "volume_ml": 1.0,
        "warnings": ["=HYPERLINK(1)"],
    }
    write_review(results, {"@case": manifest})
    with (results / "review.csv").open(newline="") as stream:
        (row,) = csv.DictReader(stream)
    assert (row["case"], row["warnings"]) == ("'@case", "'=HYPERLINK(1)")


def test_s4_a_difference_of_minus_0_07_stays_a_number(results):
    tables = [read_table(results / name) for name in ("first", "second")]
    write_comparison(compare(tables), tables, results / "comparison")
    with (results / "comparison" / "cases.csv").open(newline="") as stream:
        row = next(csv.DictReader(stream))
    assert float(row["difference"]) == pytest.approx(2 * 8 / 18 - 2 * 9 / 19, abs=1e-5)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"case,patient\na," + b"x" * 140_000 + b"\n", "has a cell too long for a table"),
        ("case,patient\nM\xfcller,1\n".encode("latin-1"), "is not UTF-8"),
        (b"case,patient,case\na,p,b\n", "has two columns called case"),
        (b"case,patient\na\n", "has 1 cells in line 2, expected 2"),
        (b"case,patient\na,p,q\n", "has 3 cells in line 2, expected 2"),
    ],
)
def test_d1_a_table_of_patients_that_is_damaged_is_refused_in_one_sentence(tmp_path, capsys, content, told):
    masks = fill(tmp_path / "m", a=cube(4, 14)), fill(tmp_path / "r", a=cube(4, 14))
    (tmp_path / "t.csv").write_bytes(content)
    assert main(["evaluate", *map(str, masks), "--patients", str(tmp_path / "t.csv")]) == 2
    err = capsys.readouterr().err
    assert told in err
    assert len(err.splitlines()) == 1
    assert "codec" not in err


def test_d1_columns_without_a_name_as_a_spreadsheet_leaves_them_are_ignored(tmp_path):
    (tmp_path / "t.csv").write_bytes(b"\xef\xbb\xbfcase,patient,,\r\na,p,,\r\n\r\n")
    assert read_patients(tmp_path / "t.csv") == {"a": "p"}


@pytest.mark.parametrize("value", ["nan", "Infinity", "1e999", "1_0", "0,5", "x", "\u0661"])
def test_d1_what_is_no_number_in_an_evaluation_is_refused_by_case_and_column(tmp_path, value):
    (tmp_path / "metrics.csv").write_text(f'{HEAD}one,"{value}",1,20,p,\n', encoding="utf-8")
    with pytest.raises(InputError, match="as dice of case one, expected a number such as"):
        read_table(tmp_path)


@pytest.mark.parametrize("diagonal", ["", "0", "-3"])
def test_d1_a_diagonal_that_is_no_positive_length_is_refused(tmp_path, diagonal):
    (tmp_path / "metrics.csv").write_text(f"{HEAD}one,0.5,inf,{diagonal},p,\n")
    with pytest.raises(InputError, match="has a diagonal_mm that is no positive length in mm"):
        read_table(tmp_path)


def test_d1_an_infinite_distance_counts_with_the_diagonal_of_20_mm(tmp_path):
    (tmp_path / "metrics.csv").write_text(f"{HEAD}one,0.5,inf,20,p,\n")
    assert read_table(tmp_path).values["hd_mm"].tolist() == [20.0]
