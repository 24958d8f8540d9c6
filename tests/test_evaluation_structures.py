"""Evaluation of several structures: every metric for each, misses that count, panoptic quality."""

import json
from dataclasses import replace

import numpy as np
import pytest

from prostate_seg.cli import main
from prostate_seg.errors import InputError
from prostate_seg.evaluation import evaluate_structures, over_all, structure_rows, write_structure_results
from prostate_seg.geometry.volume import Segmentation
from prostate_seg.writing import write

AFFINE = np.diag([-1.0, -1.0, 2.0, 1.0])


def block(*bounds):
    mask = np.zeros((20, 20, 8), bool)
    mask[tuple(slice(*bound) for bound in bounds)] = True
    return mask


CTV = block((4, 14), (4, 14), (2, 6))
URETHRA, BLADDER = block((8, 10), (8, 10), (2, 6)), block((4, 14), (14, 18), (2, 6))


def segmentation(ctv=CTV, **structures):
    return Segmentation(
        ctv.astype(np.uint8), AFFINE, structures={k.replace("_", " "): v for k, v in structures.items()}
    )


@pytest.fixture
def folders(tmp_path):
    """Two cases; in the second the urethra is off by one of its two columns and the bladder is missed."""
    for folder in ("found", "truth"):
        (tmp_path / folder).mkdir()
    whole = segmentation(Urethra=URETHRA, Bladder=BLADDER)
    for case in ("a", "b"):
        write(whole, tmp_path / "truth" / f"{case}.seg.nrrd")
    write(whole, tmp_path / "found" / "a.seg.nrrd")
    write(segmentation(Urethra=np.roll(URETHRA, 1, axis=0)), tmp_path / "found" / "b.seg.nrrd")
    return tmp_path


def test_every_structure_has_its_metrics_and_a_missed_one_counts(folders):
    found = evaluate_structures(folders / "found", folders / "truth")
    assert list(found.results) == ["CTV", "Urethra", "Bladder"]
    rows = {name: (count, values) for name, count, values in structure_rows(found)}
    assert rows["CTV"][1]["dice"] == 1.0
    assert rows["Urethra"] == (2, rows["Urethra"][1])
    assert rows["Urethra"][1]["dice"] == pytest.approx((1 + 0.5) / 2)
    assert rows["Bladder"][1]["dice"] == pytest.approx(0.5)
    missed = found.results["Bladder"][1]
    assert "The prediction has no Bladder, which counts as missed." in missed.note
    # Urethra of b: IoU 1/3, no match: one match, one segment unmatched on each side
    assert rows["Urethra"][1]["recognition_quality"] == pytest.approx(1 / 2)
    assert rows["Bladder"][1]["panoptic_quality"] == pytest.approx(1 / 1.5)
    assert over_all(found)["panoptic_quality"] == pytest.approx((1 + 1 / 2 + 1 / 1.5) / 3)


def test_a_structure_without_a_reference_is_an_error_and_not_a_score(folders):
    write(segmentation(Urethra=URETHRA), folders / "truth" / "a.seg.nrrd")
    results = evaluate_structures(folders / "found", folders / "truth").results["Bladder"]
    assert "has the structures CTV, Urethra; expected one called Bladder" in results[0].error
    assert results[1].metrics.dice == 0.0


def test_a_file_that_names_no_structure_is_no_bladder(folders):
    (folders / "found" / "b.seg.nrrd").unlink()
    write(segmentation(), folders / "found" / "b.nii.gz")
    found = evaluate_structures(folders / "found", folders / "truth", ["bladder", "CTV"])
    assert "b.nii.gz does not name its structures, so it holds no Bladder" in found.results["Bladder"][1].error
    assert found.results["CTV"][1].metrics.dice == 1.0


def test_structures_that_exclude_each_other_and_overlap_are_told(folders):
    wall = block((4, 14), (17, 19), (2, 6))
    write(segmentation(Bladder=BLADDER, Rectal_wall=wall), folders / "found" / "a.seg.nrrd")
    write(segmentation(Bladder=BLADDER, Rectal_wall=wall), folders / "truth" / "a.seg.nrrd")
    notes = evaluate_structures(folders / "found", folders / "truth").notes
    assert "a: Bladder and Rectal wall exclude each other and share 40 voxels." in notes


def test_references_without_names_are_refused(folders):
    for case in ("a", "b"):
        (folders / "truth" / f"{case}.seg.nrrd").unlink()
        write(segmentation(), folders / "truth" / f"{case}.nii.gz")
    with pytest.raises(InputError, match=r"names its structures; give \.seg\.nrrd"):
        evaluate_structures(folders / "found", folders / "truth")


def test_the_command_writes_a_row_for_each_case_and_structure_and_deletes_them_without_the_option(folders, capsys):
    command = ["evaluate", str(folders / "found"), str(folders / "truth"), "-o", str(folders / "out")]
    assert main([*command, "--structures", "ALL"]) == 0
    lines = (folders / "out/structures.csv").read_text().splitlines()
    assert len(lines) == 7
    assert [line.split(",")[:2] for line in lines[1:]] == [
        [case, name] for name in ("CTV", "Urethra", "Bladder") for case in ("a", "b")
    ]
    content = json.loads((folders / "out/structures.json").read_text())
    assert content["structures"]["Bladder"]["summary"]["dice"]["mean"] == pytest.approx(0.5)
    assert "Bladder" in (folders / "out/report.html").read_text()
    assert "over all structures" in capsys.readouterr().out
    assert main([*command, "--json"]) == 0
    assert not (folders / "out/structures.csv").exists()
    capsys.readouterr()
    assert main([*command[:-2], "--json", "--structures", "urethra"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert [len(shown["cases"]), list(shown["structures"]["structures"])] == [2, ["Urethra"]]


def test_names_are_checked_before_anything_is_evaluated(folders, capsys):
    command = ["evaluate", str(folders / "found"), str(folders / "truth")]
    assert main([*command, "--structures", " , "]) == 2
    assert main([*command, str(folders / "truth"), "--structures", "all"]) == 2
    assert "--structures compares with one reference" in capsys.readouterr().err


def test_results_replace_only_tables_of_this_package(folders):
    from prostate_seg.errors import OutputError

    found = evaluate_structures(folders / "found", folders / "truth")
    (folders / "own").mkdir()
    (folders / "own/structures.csv").write_text("mine")
    with pytest.raises(OutputError):
        write_structure_results(found, folders / "own")
    assert (folders / "own/structures.csv").read_text() == "mine"


def test_a_name_is_found_whatever_its_case_and_blanks():
    whole = segmentation(Rectal_wall=BLADDER)
    assert np.array_equal(whole.mask("rectal_wall"), BLADDER)
    assert np.array_equal(replace(whole).mask(" RECTAL WALL"), BLADDER)
