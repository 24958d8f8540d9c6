import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import nibabel
import numpy as np
import pytest

from prostate_seg.errors import GeometryError, InputError, OutputError
from prostate_seg.evaluation import evaluate_folders, read_patients, write_results
from prostate_seg.evaluation.metrics import DISTANCES
from prostate_seg.geometry.volume import Segmentation
from prostate_seg.reading.masks import read_mask
from prostate_seg.writing import write

SPACING = (1.0, 0.5, 3.0)
AFFINE = np.array([[0.0, -0.5, 0, 5], [-1.0, 0, 0, 7], [0, 0, 3.0, 9], [0, 0, 0, 1]])


def mask(first=2, last=6):
    labels = np.zeros((10, 8, 6), np.uint8)
    labels[first:last, 2:6, 1:4] = 1
    return Segmentation(labels, AFFINE)


EMPTY = Segmentation(np.zeros((10, 8, 6), np.uint8), AFFINE)


@pytest.fixture
def folders(tmp_path):
    predictions, references = tmp_path / "pred", tmp_path / "ref"
    for folder in (predictions, references):
        folder.mkdir()
    return predictions, references


def save(segmentation, path):
    path.parent.mkdir(exist_ok=True)
    write(segmentation, path)


def test_the_output_folder_of_segment_pairs_with_a_folder_of_references(folders):
    predictions, references = folders
    save(mask(3, 7), predictions / "a" / "ctv.nii.gz")
    save(mask(), references / "a.nii.gz")
    save(mask(), predictions / "b" / "ctv.seg.nrrd")
    save(mask(), references / "b.nrrd")
    (predictions / "a" / "manifest.json").write_text("{}")
    (references / "notes.txt").write_text("not a mask")
    first, second = evaluate_folders(predictions, references)
    assert (first.case, second.case) == ("a", "b")
    assert first.metrics.dice == 2 * 3 / (4 + 4)  # of 4 planes 3 overlap
    assert first.metrics.hd_mm == pytest.approx(1.0)  # one voxel along i
    assert first.metrics.volume_ml == pytest.approx(4 * 4 * 3 * 1.5 / 1000)
    assert first.diagonal_mm == pytest.approx((10**2 + 4**2 + 18**2) ** 0.5)
    assert second.metrics.dice == 1.0


def test_two_files_are_one_case_named_after_the_reference(folders):
    predictions, references = folders
    save(mask(), predictions / "x.seg.nrrd")
    save(mask(), references / "y.nii.gz")
    (row,) = evaluate_folders(predictions / "x.seg.nrrd", references / "y.nii.gz")
    assert (row.case, row.metrics.dice, row.error) == ("y", 1.0, "")


def test_each_broken_pair_is_a_row_with_its_reason_and_the_others_are_done(folders):
    predictions, references = folders
    save(mask(), predictions / "good.nii.gz")
    save(mask(), references / "good.nii.gz")
    save(mask(), references / "lost.nii.gz")
    save(mask(), predictions / "extra.nii.gz")
    moved = AFFINE.copy()
    moved[2, 3] += 3
    save(Segmentation(mask().labels, moved), predictions / "moved.nii.gz")
    save(mask(), references / "moved.nii.gz")
    sheared = AFFINE.copy()
    sheared[:3, 2] += sheared[:3, 0]
    for folder in folders:
        save(Segmentation(mask().labels, sheared), folder / "sheared.nii.gz")
        save(mask(), folder / "twice.nrrd")
    save(mask(), predictions / "twice.mha")
    save(mask(), references / "broken.nii.gz")
    (predictions / "broken.nii.gz").write_bytes(b"\x1f\x8bnothing")
    rows = {row.case: row for row in evaluate_folders(predictions, references)}
    assert rows.pop("good").metrics.dice == 1.0
    assert all(row.metrics is None for row in rows.values())
    assert rows["lost"].error == "Expected one prediction of case lost, got none."
    assert rows["extra"].error == "Expected one reference of case extra, got none."
    assert rows["twice"].error == "Expected one prediction of case twice, got twice.mha and twice.nrrd."
    assert "prediction 10 x 8 x 6 voxels of 1 x 0.5 x 3 mm from (5, 7, 12)" in rows["moved"].error
    assert "The grid is sheared" in rows["sheared"].error
    assert "Cannot read the mask broken.nii.gz" in rows["broken"].error


def test_a_mask_of_0_and_255_is_a_mask_and_one_of_three_labels_is_not(tmp_path):
    for values, expected in [
        ((0, 255), 1),
        ((0, 1, 2), "values 1, 2 beside 0"),
        ((0, 0.25, 0.5), r"0\.25, 0\.5"),
    ]:
        array = np.resize(np.array(values, np.float32), (3, 4, 5))
        nibabel.save(nibabel.Nifti1Image(array, AFFINE), tmp_path / "m.nii")
        if isinstance(expected, int):
            np.testing.assert_array_equal(read_mask(tmp_path / "m.nii").labels, array > 0)
        else:
            with pytest.raises(InputError, match=f"m.nii holds the {expected}|{expected}"):
                read_mask(tmp_path / "m.nii")


def test_nan_is_not_a_label(tmp_path):
    array = np.zeros((3, 3, 3), np.float32)
    array[1] = np.nan
    nibabel.save(nibabel.Nifti1Image(array, AFFINE), tmp_path / "m.nii")
    with pytest.raises(InputError, match="holds the values nan beside 0"):
        read_mask(tmp_path / "m.nii")


def test_one_slice_of_two_axes_is_read_and_four_axes_are_not(tmp_path):
    nibabel.save(nibabel.Nifti1Image(np.ones((3, 4), np.uint8), AFFINE), tmp_path / "flat.nii")
    assert read_mask(tmp_path / "flat.nii").labels.shape == (3, 4, 1)
    nibabel.save(nibabel.Nifti1Image(np.ones((3, 4, 5, 1), np.uint8), AFFINE), tmp_path / "long.nii")
    assert read_mask(tmp_path / "long.nii").labels.shape == (3, 4, 5)
    nibabel.save(nibabel.Nifti1Image(np.ones((3, 4, 5, 2), np.uint8), AFFINE), tmp_path / "4d.nii")
    with pytest.raises(GeometryError, match=r"shape \(3, 4, 5, 2\), expected 3 axes"):
        read_mask(tmp_path / "4d.nii")


@pytest.mark.parametrize("name", ["m.nii.gz", "m.nrrd", "m.seg.nrrd", "m.mha"])
def test_what_write_wrote_is_read_at_the_same_place(tmp_path, name):
    write(mask(), tmp_path / name)
    found = read_mask(tmp_path / name)
    np.testing.assert_array_equal(found.labels, mask().labels)
    np.testing.assert_allclose(found.affine, AFFINE, atol=1e-5)


def test_nothing_in_common_nothing_there_and_a_file_beside_a_folder_are_input_errors(folders):
    predictions, references = folders
    save(mask(), predictions / "a.nii.gz")
    with pytest.raises(InputError, match=r"No mask in .*pred \(1 cases\) has the name of one in .*ref \(0 cases\)"):
        evaluate_folders(predictions, references)
    with pytest.raises(InputError, match=r"absent does not exist; expected two folders"):
        evaluate_folders(predictions, references / "absent")
    with pytest.raises(InputError, match=r"a\.nii\.gz is a file; expected two folders"):
        evaluate_folders(predictions / "a.nii.gz", references)


def results(folders):
    predictions, references = folders
    for name, prediction, reference in [
        ("a", mask(3, 7), mask()),
        ("both_empty", EMPTY, EMPTY),
        ("invented", mask(), EMPTY),
        ("missed", EMPTY, mask()),
    ]:
        save(prediction, predictions / f"{name}.nii.gz")
        save(reference, references / f"{name}.nii.gz")
    save(mask(), references / "unpaired.nii.gz")
    return evaluate_folders(predictions, references)


def test_the_table_has_a_row_a_case_with_inf_and_the_reason(folders, tmp_path):
    table, _ = write_results(results(folders), tmp_path / "new" / "out")
    with table.open(newline="") as file:
        rows = {row["case"]: row for row in csv.DictReader(file)}
    assert list(rows["a"])[:5] == ["case", "dice", "hd_mm", "hd95_mm", "assd_mm"]
    assert list(rows["a"])[-1] == "error"
    assert (float(rows["a"]["dice"]), float(rows["a"]["hd_mm"])) == (0.75, 1.0)
    assert (rows["missed"]["hd95_mm"], float(rows["missed"]["dice"])) == ("inf", 0.0)
    assert rows["unpaired"]["dice"] == ""
    assert "got none" in rows["unpaired"]["error"]


def test_the_json_has_null_with_a_state_and_a_summary_that_counts_misses_as_the_diagonal(folders, tmp_path):
    _, path = write_results(results(folders), tmp_path / "out")
    document = json.loads(path.read_text(encoding="utf-8"), parse_constant=pytest.fail)
    cases = {case["case"]: case for case in document["cases"]}
    assert cases["missed"]["hd_mm"] is None
    states = cases["missed"]["states"]
    assert {name for name, state in states.items() if state == "infinite"} == set(DISTANCES)
    assert cases["invented"]["states"]["relative_volume_error"] == "infinite"
    assert cases["unpaired"]["states"]["dice"] == "undefined"
    assert (document["cases_measured"], document["cases_with_error"]) == (4, 1)
    diagonal = (10**2 + 4**2 + 18**2) ** 0.5
    summary = document["summary"]
    assert summary["hd_mm"]["mean"] == pytest.approx((1 + 0 + 2 * diagonal) / 4)
    assert summary["hd_mm"]["infinite"] == 2
    assert summary["dice"]["mean"] == pytest.approx((0.75 + 1 + 0 + 0) / 4)
    assert 0 <= summary["dice"]["mean_low"] < summary["dice"]["mean"] < summary["dice"]["mean_high"] <= 1
    assert summary["relative_volume_error"]["states"]["mean"] == "infinite"
    # a: 3 slices of IoU 3/5; missed and invented: 3 slices each without a match: PQ = 1.8 / (3 + 6/2).
    assert document["panoptic_slices"]["panoptic_quality"] == pytest.approx(0.3)
    assert document["panoptic_slices"]["recognition_quality"] == 0.5


def test_a_line_shows_dice_distances_and_millilitres_or_the_reason(folders):
    lines = [row.as_line().split() for row in results(folders)]
    assert lines[0] == ["a", "0.750", "1.00", "1.00", lines[0][4], "0.1", "0.1"]
    assert lines[3][:4] == ["missed", "0.000", "inf", "inf"]
    assert " ".join(lines[4]) == "unpaired Expected one prediction of case unpaired, got none."


def test_only_broken_pairs_give_tables_without_a_claim(folders, tmp_path):
    predictions, references = folders
    save(mask(), references / "a.nii.gz")
    (predictions / "a.nii.gz").write_bytes(b"")
    table, path = write_results(evaluate_folders(predictions, references), tmp_path / "out")
    assert len(table.read_text().splitlines()) == 2
    assert json.loads(path.read_text())["summary"]["dice"]["mean"] is None


def test_a_file_where_the_folder_should_be_is_one_sentence(tmp_path):
    (tmp_path / "out").write_text("")
    with pytest.raises(OutputError, match=r"Cannot make the folder .*out: File exists; give another one"):
        write_results([], tmp_path / "out")


def test_evaluating_imports_neither_torch_nor_monai():
    code = "import sys, prostate_seg.evaluation; print([m for m in ('torch', 'monai') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.realdata
@pytest.mark.skipif("PROSTATE_SEG_DATA" not in os.environ, reason="PROSTATE_SEG_DATA is not set")
def test_27_real_masks_against_themselves_have_dice_1_and_volumes_from_10_to_160_ml():
    folder = Path(os.environ["PROSTATE_SEG_DATA"]) / "trus27" / "labels"
    rows = evaluate_folders(folder, folder)
    assert len(rows) == 27
    assert all(row.metrics.dice == 1.0 and row.metrics.hd_mm == 0.0 for row in rows)
    assert all(10 < row.metrics.volume_ml < 160 for row in rows)


def test_three_scans_of_one_patient_and_one_of_another_are_two_patients_in_the_interval(folders, tmp_path):
    predictions, references = folders
    for name in "abcd":
        save(mask(3, 7), predictions / f"{name}.nii.gz")
        save(mask(), references / f"{name}.nii.gz")
    table = tmp_path / "patients.csv"
    table.write_text("case,patient\na,p1\nb,p1\nc,p1\nd,p2\n")
    rows = evaluate_folders(predictions, references, patients=read_patients(table))
    assert [row.patient for row in rows] == ["p1", "p1", "p1", "p2"]
    path, _ = write_results(rows, tmp_path / "out")
    assert "p2" in path.read_text().splitlines()[-1].split(",")
    table.write_text("case,patient\na,p1\n")
    with pytest.raises(InputError, match=r"lacks 3 of 4 cases \(b, c, d\); add them"):
        evaluate_folders(predictions, references, patients=read_patients(table))
    table.write_text("name\na\n")
    with pytest.raises(InputError, match="has the columns name; expected case and patient"):
        read_patients(table)
