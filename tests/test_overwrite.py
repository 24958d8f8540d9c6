"""``--overwrite`` replaces what a run wrote and nobody changed since, and loses nothing else."""

import json
import os
import shutil

import numpy as np
import pytest
from judges import study

from prostate_seg.cases.segment import Options, segment_case
from prostate_seg.geometry.volume import Segmentation
from prostate_seg.inference.bundle_info import BundleInfo
from prostate_seg.reading.cases import find_cases

ALL = ("nifti", "seg-nrrd", "nrrd", "png", "stl", "slicer", "dicom-seg", "rtstruct", "us-series", "report")
WRITTEN = ["ctv.nii.gz", "ctv.seg.nrrd", "trus.nrrd", "overlay.png", "ctv.stl", "scene.mrb", "ctv_seg.dcm",
           "ctv_rtstruct.dcm", "us_series/us_0003.dcm", "report.html"]  # fmt: skip


class Stub:
    """A predictor that labels 10 x 10 x 2 voxels."""

    device = "cpu"
    info = BundleInfo("stub", "1", sha256="0", config_sha256="1")

    def assess(self, volume):
        labels = np.zeros(volume.array.shape, np.uint8)
        labels[10:20, 10:20, 2:4] = 1
        return Segmentation(labels, volume.affine), None


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A DICOM study with all its results, once: (the case, the folder of the results)."""
    folder = tmp_path_factory.mktemp("overwrite")
    study(folder, "multiframe")
    case = find_cases([folder / "source"])[0][0]
    outcome = segment_case(case, Stub(), Options(folder / "out", ALL))
    assert not outcome.error
    return case, outcome.folder


@pytest.fixture
def again(done, tmp_path):
    """The results in a folder of their own, and what ``segment --overwrite`` says of them."""
    case, folder = done
    copy = shutil.copytree(folder, tmp_path / "out" / folder.name)

    def overwrite():
        return segment_case(case, Stub(), Options(tmp_path / "out", ("nifti",), overwrite=True)).error

    return copy, overwrite


def test_l1_ten_formats_as_they_were_written_are_replaced_by_two_files(again):
    folder, overwrite = again
    assert overwrite() == ""
    assert sorted(os.listdir(folder)) == ["ctv.nii.gz", "manifest.json"]


@pytest.mark.parametrize("name", WRITTEN)
def test_l1_one_byte_more_in_any_result_keeps_the_folder_and_names_the_file(again, name):
    folder, overwrite = again
    with (folder / name).open("ab") as file:
        file.write(b"1")
    size = (folder / name).stat().st_size
    assert f"holds {name}, which was changed since it was written and would be lost; move it away" in overwrite()
    assert (folder / name).stat().st_size == size
    assert len(list(folder.rglob("*"))) == 11 + 12  # ten results and the manifest, twelve slices


def test_l1_without_its_manifest_nothing_is_replaced(again):
    folder, overwrite = again
    (folder / "manifest.json").unlink()
    assert "holds ctv.nii.gz but no manifest.json of prostate-seg that names it" in overwrite()
    assert len(os.listdir(folder)) == 10


@pytest.mark.parametrize("content", ['{"name": "another program"}', "[", "[" * 100000, '{"outputs": 3}', "[1]"])
def test_l1_a_manifest_that_is_not_ours_is_no_permission(again, content):
    folder, overwrite = again
    (folder / "manifest.json").write_text(content)
    assert "but no manifest.json of prostate-seg" in overwrite()
    assert len(os.listdir(folder)) == 11


def test_l1_somebodys_own_file_under_a_name_of_ours_is_kept(done, tmp_path):
    case, _ = done
    options = Options(tmp_path / "out", ("nifti",), overwrite=True)
    folder = segment_case(case, Stub(), options).folder
    (folder / "scene.mrb").write_text("mine")
    assert (
        "holds scene.mrb, which is no earlier result and would be lost" in segment_case(case, Stub(), options).error
    )
    assert (folder / "scene.mrb").read_text() == "mine"


def test_l1_a_further_slice_in_us_series_is_kept(again):
    folder, overwrite = again
    (folder / "us_series" / "us_0013.dcm").write_text("mine")
    assert "holds us_series/us_0013.dcm, which is no earlier result" in overwrite()
    assert (folder / "us_series" / "us_0013.dcm").read_text() == "mine"


def test_l1_an_image_is_not_replaced_by_its_own_results(done, tmp_path):
    shutil.copytree(done[1], tmp_path / "trus")
    given = find_cases([tmp_path / "trus" / "trus.nrrd"])[0][0]
    before = (tmp_path / "trus" / "trus.nrrd").read_bytes()
    error = segment_case(given, Stub(), Options(tmp_path, ("nifti",), overwrite=True)).error
    assert "holds trus.nrrd, which it would replace; give another output folder" in error
    assert (tmp_path / "trus" / "trus.nrrd").read_bytes() == before


def without_digests(folder):
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest.pop("outputs_sha256", None)
    (folder / "manifest.json").write_text(json.dumps(manifest))


def test_l1_of_a_manifest_without_digests_nothing_is_replaced(again):
    folder, overwrite = again
    without_digests(folder)
    assert "whose manifest.json has no digest of it; move it away" in overwrite()
    assert (folder / "scene.mrb").exists()


def test_house_8_four_files_of_macos_and_windows_are_no_hindrance(again):
    folder, overwrite = again
    for name in (".DS_Store", "Thumbs.db", "desktop.ini", "._ctv.nii.gz", "us_series/.DS_Store"):
        (folder / name).write_bytes(b"\0")
    assert overwrite() == ""
    assert sorted(os.listdir(folder)) == ["ctv.nii.gz", "manifest.json"]
