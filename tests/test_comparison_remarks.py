"""What a comparison must say, and what it must refuse."""

import json
from dataclasses import replace

import numpy as np
import pytest

from prostate_seg.cli import main
from prostate_seg.errors import InputError
from prostate_seg.evaluation import evaluate_folders, read_patients
from prostate_seg.evaluation.comparison import Table, compare, read_table, remarks
from prostate_seg.geometry.volume import Segmentation
from prostate_seg.reading.masks import read_mask
from prostate_seg.writing import write

AFFINE = np.diag([-1.0, -1.0, 2.0, 1.0])


def table(name, cases, **more):
    return Table(name, list(cases), list(cases), {"dice": np.linspace(0.5, 0.9, len(cases))}, **more)


def test_cases_that_only_one_model_has_are_named():
    told = remarks([table("a", "wxyz"), table("b", "wx", failed=("y", "z"))])
    assert told[0].startswith("2 cases of a are left out, in b they failed (y, z)")


def test_missed_cases_are_counted():
    (told, _) = remarks([table("a", "xy"), table("b", "xy", missed=1)])
    assert told.startswith("b: 1 of 2 cases are missed or invented altogether")


def test_five_patients_are_too_few_for_p_below_0_05_and_six_are_not():
    # all of n patients better: 2 of 2^n sign patterns are as far, 0.0625 of 5 and 0.03125 of 6.
    assert remarks([table("a", "uvwxy"), table("b", "uvwxy")]) == [
        "b - a: 5 patients are too few for p below 0.05."
    ]
    assert remarks([table("a", "uvwxyz"), table("b", "uvwxyz")]) == []


def test_other_references_of_a_case_are_refused():
    first = table("a", "xy", reference_ml=np.array([37.1, 20.0]))
    second = table("b", "xy", reference_ml=np.array([26.2, 20.0]))
    with pytest.raises(InputError, match=r"other references of case x \(37\.10 and 26\.20 mL\)"):
        remarks([first, second])


def test_better_is_said_only_where_p_is_below_0_05():
    cases = "abcdefgh"
    first = table("first", cases)
    better = replace(first, name="better", values={"dice": first.values["dice"] + 0.05})
    unclear = replace(first, name="unclear", values={"dice": first.values["dice"] + np.tile((0.05, -0.04), 4)})
    assert [compare([first, other], ["dice"])[0].verdict for other in (better, unclear)] == ["better", "not shown"]
    assert compare([better, first], ["dice"])[0].verdict == "worse"


@pytest.fixture
def evaluated(tmp_path):
    """Three evaluations of two cases: all there, one missed, one absent."""
    labels = np.zeros((20, 16, 10), np.uint8)
    labels[4:14, 4:12, 2:8] = 1
    for name in ("reference", "full", "missed", "absent"):
        (tmp_path / name).mkdir()
        for case in "ab":
            values = 0 * labels if (name, case) == ("missed", "b") else labels
            if (name, case) != ("absent", "b"):
                write(Segmentation(values, AFFINE), tmp_path / name / f"{case}.nii.gz")
    for name in ("full", "missed", "absent"):
        main(["evaluate", str(tmp_path / name), str(tmp_path / "reference"), "-o", str(tmp_path / "eval" / name)])
    return tmp_path / "eval"


def test_the_remarks_stand_on_stderr_in_the_json_and_on_the_page(evaluated, capsys):
    names = ("full", "missed", "absent")
    assert main(["compare", *(str(evaluated / name) for name in names), "-o", str(evaluated / "c")]) == 0
    told = capsys.readouterr().err
    assert "note: missed: 1 of 2 cases are missed" in told
    assert "note: 1 cases of full are left out, in absent they failed (b)" in told
    document = json.loads((evaluated / "c" / "comparison.json").read_text())
    assert len(document["remarks"]) == 6
    assert {one["verdict"] for one in document["differences"]} == {"not shown"}
    page = (evaluated / "c" / "comparison.html").read_text("utf-8")
    assert page.count("<li>") == 6


def test_a_folder_without_a_table_and_a_trailing_comma(evaluated, capsys):
    assert main(["compare", str(evaluated / "full"), str(evaluated)]) == 2
    assert "There is no metrics.csv in" in capsys.readouterr().err
    both = [str(evaluated / "full"), str(evaluated / "missed")]
    assert main(["compare", *both, "--metrics", "dice,"]) == 0


def test_no_page_of_older_numbers_stays_where_writing_fails(evaluated, monkeypatch, capsys):
    from prostate_seg import report
    from prostate_seg.errors import OutputError

    def full_disk(*arguments, **options):
        raise OutputError("No space left on device")

    folder = evaluated.parent
    monkeypatch.setattr(report, "write_cohort", full_disk)
    arguments = [str(folder / "absent"), str(folder / "reference"), "-o", str(evaluated / "full")]
    assert main(["evaluate", *arguments]) == 2
    assert not (evaluated / "full" / "report.html").exists()


def test_the_same_folder_twice_is_no_evaluation(evaluated, capsys):
    folder = str(evaluated.parent / "full")
    assert main(["evaluate", folder, str(evaluated.parent / "reference"), folder]) == 2
    assert "is given as prediction and as reference; give two" in capsys.readouterr().err


def test_an_empty_mask_is_told_in_the_note(evaluated):
    _, row = evaluate_folders(evaluated.parent / "missed", evaluated.parent / "reference")
    assert row.note == "The prediction is empty."


def test_a_probability_is_told_from_a_label_map(tmp_path):
    import nibabel

    values = np.linspace(0, 0.99, 60, dtype=np.float32).reshape(5, 4, 3)
    nibabel.save(nibabel.Nifti1Image(values, AFFINE), tmp_path / "p.nii")
    with pytest.raises(
        InputError, match=r"59 values between 0 and 1.* looks like a probability; cut it at one half"
    ):
        read_mask(tmp_path / "p.nii")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("case;patient\na;p\n", "has the columns case;patient; expected case and patient, separated by commas"),
        ("case,patient\na,p\na,q\n", "gives case a to two patients"),
    ],
)
def test_a_table_of_patients_that_cannot_be_meant_is_refused(tmp_path, text, told):
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(InputError, match=told):
        read_patients(tmp_path / "t.csv")
    with pytest.raises(InputError, match=r"cannot be read \(No such file or directory\)"):
        read_patients(tmp_path / "absent.csv")


def test_a_table_that_is_read_knows_its_failed_and_missed_cases(evaluated):
    assert read_table(evaluated / "absent").failed == ("b",)
    assert read_table(evaluated / "missed").missed == 1
