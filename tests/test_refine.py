"""Hints on the command line: ends by slice numbers, files, earlier hints kept and taken back."""

import json

import nibabel
import numpy as np
import pytest

from prostate_seg.cli import main
from prostate_seg.system.locks import only_run


@pytest.fixture(scope="module")
def refined(nifti_case, tmp_path_factory):
    """A case segmented without hints, and then with its ends at slices 3 and 6 of 8."""
    out = tmp_path_factory.mktemp("refined")
    image = str(nifti_case[0])
    assert main(["segment", image, "-o", str(out / "plain"), "--format", "nifti"]) == 0
    assert main(["segment", image, "-o", str(out / "ends"), "--format", "nifti", "--apex", "3", "--base", "6"]) == 0
    return image, out


def mask(folder):
    return np.asarray(nibabel.load(folder / "scan" / "ctv.nii.gz").dataobj) > 0


def manifest(folder):
    return json.loads((folder / "scan" / "manifest.json").read_text())


def test_ends_at_slices_3_and_6_leave_4_slices_and_are_in_the_manifest(refined):
    _, out = refined
    assert np.flatnonzero(mask(out / "plain").any(axis=(0, 1))).size > 4
    assert np.flatnonzero(mask(out / "ends").any(axis=(0, 1))).tolist() == [2, 3, 4, 5]
    hints = manifest(out / "ends")["hints"]
    assert (hints["count"], hints["kinds"]) == (2, ["plane", "plane"])
    assert "hints.json" in manifest(out / "ends")["outputs_sha256"]
    assert "hints" not in manifest(out / "plain")


def test_refine_keeps_earlier_hints_and_undo_takes_them_back_to_the_mask_of_segment(refined, tmp_path):
    image, out = refined
    common = ["refine", image, "-o", str(tmp_path), "--format", "nifti"]
    assert main([*common, "--apex", "3"]) == 0
    assert main([*common, "--base", "6"]) == 0
    assert manifest(tmp_path)["hints"]["count"] == 2
    assert np.array_equal(mask(tmp_path), mask(out / "ends"))
    assert main([*common, "--undo", "2"]) == 0
    assert np.array_equal(mask(tmp_path), mask(out / "plain"))
    assert manifest(tmp_path)["ctv_sha256"] == manifest(out / "plain")["ctv_sha256"]


def test_a_file_of_2_hints_that_is_given_again_adds_none(refined, tmp_path, capsys):
    image, out = refined
    hints = str(out / "ends" / "scan" / "hints.json")
    common = ["refine", image, "-o", str(tmp_path), "--format", "nifti", "--hints", hints]
    assert main(common) == 0
    assert "are repeated and change nothing" not in capsys.readouterr().err
    assert main([*common, "--apex", "3"]) == 0
    assert "3 of 3 hints are repeated and change nothing" in capsys.readouterr().err
    assert manifest(tmp_path)["hints"]["count"] == 2


def test_an_apex_that_goes_from_slice_3_to_5_and_back_is_at_3(refined, tmp_path):
    common = ["refine", refined[0], "-o", str(tmp_path), "--format", "nifti"]
    for apex in (3, 5, 3):
        assert main([*common, "--apex", str(apex)]) == 0
        assert np.flatnonzero(mask(tmp_path).any(axis=(0, 1)))[0] == apex - 1
    assert manifest(tmp_path)["hints"]["count"] == 3


def test_a_slice_that_is_drawn_as_a_then_b_then_a_is_a(refined, tmp_path):
    image, out = refined
    before = nibabel.load(out / "plain" / "scan" / "ctv.nii.gz")
    common = ["refine", image, "-o", str(tmp_path / "o"), "--format", "nifti"]
    assert main([*common, "--apex", "1"]) == 0
    for first in (30, 36, 30):
        drawn = np.asarray(nibabel.load(tmp_path / "o" / "scan" / "ctv.nii.gz").dataobj).copy()
        drawn[:, :, 4] = 0
        drawn[first : first + 15, 20:35, 4] = 1
        nibabel.save(nibabel.Nifti1Image(drawn, before.affine, before.header), tmp_path / "corrected.nii.gz")
        assert main([*common, "--hints", str(tmp_path / "corrected.nii.gz")]) == 0
        assert np.array_equal(mask(tmp_path / "o")[:, :, 4], drawn[:, :, 4] > 0)


def test_a_mask_corrected_on_1_slice_is_a_contour_and_that_slice_is_taken_voxel_by_voxel(refined, tmp_path):
    image, out = refined
    before = nibabel.load(out / "plain" / "scan" / "ctv.nii.gz")
    drawn = np.asarray(before.dataobj).copy()
    drawn[:, :, 4] = 0
    drawn[30:45, 20:35, 4] = 1
    nibabel.save(nibabel.Nifti1Image(drawn, before.affine, before.header), tmp_path / "corrected.nii.gz")
    hints = str(tmp_path / "corrected.nii.gz")
    assert main(["refine", image, "-o", str(tmp_path / "o"), "--format", "nifti", "--hints", hints]) == 0
    assert manifest(tmp_path / "o")["hints"]["kinds"] == ["contour"]
    assert np.array_equal(mask(tmp_path / "o")[:, :, 4], drawn[:, :, 4] > 0)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--apex", "6", "--base", "3"), "the apex lies above the base"),
        (("--apex", "9"), "--apex is slice 9, expected 1 to 8"),
        (("--undo", "1"), "There are no earlier hints to take back"),
        (("--undo", "-1"), "--undo is a number of earlier hints"),
        (("--hints", "absent.json"), "absent.json"),
    ],
)
def test_wrong_hints_are_refused_and_nothing_is_written(refined, tmp_path, capsys, options, told):
    image, _ = refined
    assert main(["refine", image, "-o", str(tmp_path / "o"), *options]) == 2
    assert told in capsys.readouterr().err
    assert not (tmp_path / "o" / "scan").exists()


def test_hints_for_several_cases_and_for_finished_ones_are_refused(nifti_case, tmp_path, capsys):
    image = str(nifti_case[0])
    other = tmp_path / "other.nii.gz"
    other.write_bytes(nifti_case[0].read_bytes())
    assert main(["segment", image, str(other), "-o", str(tmp_path / "o"), "--apex", "3"]) == 2
    assert "belong to one case, got 2" in capsys.readouterr().err
    assert main(["segment", image, "-o", str(tmp_path / "o"), "--apex", "3", "--skip-existing"]) == 2
    assert "--skip-existing leaves a case as it is" in capsys.readouterr().err


def test_refine_beside_another_run_in_its_folder_is_refused_and_earlier_hints_stay(refined, tmp_path, capsys):
    image, _ = refined
    common = ["refine", image, "-o", str(tmp_path), "--format", "nifti"]
    assert main([*common, "--apex", "3"]) == 0
    before = manifest(tmp_path)
    capsys.readouterr()
    with only_run(tmp_path):
        assert main([*common, "--base", "6"]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1
    assert manifest(tmp_path) == before
