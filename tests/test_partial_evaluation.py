"""A half-done cohort, and a pair that fails: the other rows are measured and written."""

import json

import numpy as np
import pytest
from cubes import AFFINE, SHAPE, cube, fill

from prostate_seg.assessment.doubt import doubt_of
from prostate_seg.assessment.shape_model import ShapeModel
from prostate_seg.cli import main
from prostate_seg.evaluation import case
from prostate_seg.geometry.volume import Volume
from prostate_seg.report import cohort_page, slices
from prostate_seg.training.datalist import load
from prostate_seg.writing.view import view_of


def run(*arguments):
    return main(list(map(str, arguments)))


@pytest.fixture
def half(tmp_path):
    """Four references, of which two are predicted; one prediction without a reference."""
    model = fill(tmp_path / "m", a=cube(4, 14), b=cube(4, 13), z=cube(4, 14))
    return model, fill(tmp_path / "r", **{name: cube(4, 14) for name in "abcd"})


def test_house_20_three_cases_without_a_partner_fail_and_the_message_names_the_option(half, tmp_path, capsys):
    assert run("evaluate", *half, "-o", tmp_path / "out") == 1
    err = capsys.readouterr().err
    assert "failed: c: Expected one prediction of case c, got none." in err
    assert "note: 3 rows lack a prediction or a reference and count as failed; --partial leaves them out." in err
    document = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert (document["cases_measured"], document["cases_with_error"]) == (2, 3)
    assert "rows_left_out" not in document


def test_house_20_with_partial_two_of_five_are_measured_and_the_exit_status_is_0(half, tmp_path, capsys):
    assert run("evaluate", *half, "-o", tmp_path / "out", "--partial") == 0
    err = capsys.readouterr().err
    assert "failed" not in err
    assert "note: 3 rows lack a prediction or a reference and are left out." in err
    document = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert [row["case"] for row in document["cases"]] == ["a", "b"]
    assert (document["cases_with_error"], document["rows_left_out"]) == (0, 3)
    assert "Rows left out, without a prediction or a reference</dt><dd>3" in (
        tmp_path / "out" / "report.html"
    ).read_text("utf-8")


def test_house_20_with_partial_a_damaged_prediction_still_fails(half, tmp_path, capsys):
    (half[0] / "b.nii.gz").write_bytes(b"no mask")
    assert run("evaluate", *half, "--partial") == 1
    assert "failed: b: " in capsys.readouterr().err


def test_house_20_a_cohort_of_four_half_done_by_two_observers(half, tmp_path, capsys):
    second = fill(tmp_path / "s", a=cube(5, 14))
    assert run("evaluate", *half, second, "-o", tmp_path / "out", "--partial") == 0
    assert (tmp_path / "out" / "observers.csv").read_text().count("\n") == 2  # the head and case a


@pytest.mark.parametrize("error", [MemoryError, RecursionError, ZeroDivisionError])
def test_c1_a_pair_that_raises_anything_is_a_row_and_the_tables_are_written(tmp_path, capsys, monkeypatch, error):
    model, reference = (fill(tmp_path / name, a=cube(4, 14), b=cube(4, 14)) for name in "mr")
    read_pair = case.read_pair

    def failing(prediction, reference, **options):
        if prediction.name == "b.nii.gz":
            raise error("Patient^Name")
        return read_pair(prediction, reference, **options)

    monkeypatch.setattr(case, "read_pair", failing)
    assert run("evaluate", model, reference, "-o", tmp_path / "out", "--jobs", 1, "--json") == 1
    told = capsys.readouterr()
    assert "failed: b: " in told.err
    assert "Patient^Name" not in told.err
    assert [row["dice"] for row in json.loads(told.out)] == [1.0, None]
    assert "a,1.0," in (tmp_path / "out" / "metrics.csv").read_text()


def test_c1_a_case_whose_page_cannot_be_made_leaves_report_and_other_pages(tmp_path, capsys, monkeypatch):
    model, reference = (fill(tmp_path / name, a=cube(4, 14), b=cube(4, 14)) for name in "mr")
    shown = cohort_page.evaluated_case

    def failing(result, place):
        if result.case == "b":
            raise ValueError("Patient^Name")
        return shown(result, place)

    monkeypatch.setattr(cohort_page, "evaluated_case", failing)
    assert run("evaluate", model, reference, "-o", tmp_path / "out") == 0
    err = capsys.readouterr().err
    assert "WARNING: Case b has no page: unexpected ValueError" in err
    assert "Patient^Name" not in err
    assert [path.name for path in (tmp_path / "out" / "cases").iterdir()] == ["a.html"]
    assert "cases/b.html" not in (tmp_path / "out" / "report.html").read_text("utf-8")


def test_house_9_two_images_that_differ_after_the_first_dot_are_two_cases(tmp_path):
    for name in ("a.b.nii.gz", "a.c.nii.gz", "label.nii.gz"):
        (tmp_path / name).touch()
    entries = [{"image": f"a.{letter}.nii.gz", "label": "label.nii.gz"} for letter in "bc"]
    (tmp_path / "list.json").write_text(json.dumps({"training": entries}))
    assert [case["case"] for case in load(tmp_path / "list.json")["training"]] == ["a.b", "a.c"]


def test_house_21_a_page_of_10_slices_beyond_its_budget_holds_all_10(monkeypatch):
    gray = np.random.default_rng(0).integers(20, 90, SHAPE, np.uint8)
    monkeypatch.setattr(slices, "BUDGET_BYTES", 100)
    assert len(slices.pictures(view_of(Volume(gray, AFFINE)))) == SHAPE[2]


def test_house_21_an_island_in_one_pass_does_not_move_the_boundary_of_the_gland():
    ball = np.linalg.norm(np.mgrid[:60, :60, :60] - 30.0, axis=0) < 12
    model = ShapeModel.of([(np.roll(ball, n, axis=0), (1.0, 1.0, 1.0)) for n in range(2)] * 4)
    island = ball.copy()
    island[52:58, 28:33, 28:33] = True  # 22 mm from the centre, 10 mm beyond the boundary
    passes = np.stack([ball, island]).astype(np.float32)
    doubt = doubt_of(ball.astype(np.float32), passes, spacing_mm=(1.0, 1.0, 1.0), model=model)
    assert doubt.spread_mm == 0.0
    assert doubt.disagreement > 0.0  # which still tells of it
