"""``prostate-seg export``: corrected masks back to DICOM and files, all or nothing."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pydicom
import pytest
from judges import study

from prostate_seg.cli import main
from prostate_seg.geometry.volume import Segmentation
from prostate_seg.reading.masks import read_mask
from prostate_seg.writing import write


@pytest.fixture(scope="module")
def case(tiny_bundle, tmp_path_factory):
    """A US Multi-frame study, segmented: (the study's folder, the case's folder, the study)."""
    folder = tmp_path_factory.mktemp("handover")
    made = study(folder, "multiframe")
    arguments = ["segment", folder / "source", "-o", folder / "out", "--bundle", tiny_bundle, "--tta", "none"]
    assert main([*map(str, arguments), "--frame-order", "apex-to-base", "--probe-side", "bottom"]) == 0
    return folder / "source", next((folder / "out").iterdir()), made


@pytest.fixture
def export(capsys, tmp_path):
    """Runs ``export``: (status, stdout, stderr)."""

    def with_arguments(*arguments):
        try:
            status = main(["export", *map(str, arguments), "-o", str(tmp_path / "out")])
        except SystemExit as left:
            status = left.code
        return status, *capsys.readouterr()

    return with_arguments


def test_a_case_becomes_seg_and_rtstruct_with_its_own_acquisition_and_is_called_automatic(case, export, tmp_path):
    source, folder, _ = case
    status, out, _ = export(folder, "--source", source, "--format", "dicom-seg,rtstruct,us-series")
    there = tmp_path / "out" / folder.name
    assert status == 0
    assert out.split() == [str(there / name) for name in
                           ("ctv_seg.dcm", "ctv_rtstruct.dcm", "us_series", "manifest.json")]  # fmt: skip
    segment = pydicom.dcmread(there / "ctv_seg.dcm").SegmentSequence[0]
    assert segment.SegmentAlgorithmType == "AUTOMATIC"
    manifest = json.loads((there / "manifest.json").read_text())
    assert manifest["orientation"] == "option"  # as it was segmented, without repeating the options
    series = {pydicom.dcmread(file).SeriesInstanceUID for file in (there / "us_series").iterdir()}
    structures = pydicom.dcmread(there / "ctv_rtstruct.dcm")
    place = structures.ReferencedFrameOfReferenceSequence[0]
    assert {place.RTReferencedStudySequence[0].RTReferencedSeriesSequence[0].SeriesInstanceUID} == series


def test_a_corrected_mask_beside_its_manifest_is_called_semiautomatic_and_keeps_every_voxel(case, export, tmp_path):
    source, folder, _ = case
    corrected = tmp_path / "corrected"
    shutil.copytree(folder, corrected)
    mask = read_mask(corrected / "ctv.seg.nrrd")
    labels = mask.labels.copy()
    labels[30:40, 20:30, 4:6] ^= 1
    write(Segmentation(labels, mask.affine), corrected / "ctv.seg.nrrd")
    status, _, _ = export(corrected, "--source", source, "--format", "nifti,dicom-seg")
    there = tmp_path / "out" / "corrected"
    assert status == 0
    assert np.array_equal(read_mask(there / "ctv.nii.gz").labels, labels)
    assert pydicom.dcmread(there / "ctv_seg.dcm").SegmentSequence[0].SegmentAlgorithmType == "SEMIAUTOMATIC"


def test_without_dicom_a_case_still_becomes_a_surface_and_a_scene(case, export, tmp_path):
    status, _, _ = export(case[1], "--format", "stl,vtk,slicer")
    assert status == 0
    assert len(list((tmp_path / "out").rglob("*"))) == 1 + 4


def test_the_same_export_again_needs_overwrite_and_then_replaces_its_series_too(case, export):
    source, folder, _ = case
    first = (folder, "--source", source, "--format", "us-series")
    assert export(*first)[0] == 0
    status, _, err = export(*first)
    assert status == 2
    assert "exists already; give --overwrite" in err
    assert export(*first, "--overwrite")[0] == 0


def test_another_study_or_one_that_has_changed_is_refused(case, export, tmp_path):
    source, folder, _ = case
    changed = tmp_path / "changed"
    shutil.copytree(source, changed)
    file = next(changed.iterdir())
    dataset = pydicom.dcmread(file)
    dataset.PixelData = bytes([dataset.PixelData[0] ^ 1]) + dataset.PixelData[1:]
    dataset.save_as(file)
    status, _, err = export(folder, "--source", changed, "--format", "dicom-seg")
    assert status == 2
    assert "is not what" in err
    assert "or has changed since" in err
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())


def test_a_mask_of_another_image_is_refused_by_its_place(case, export, tmp_path):
    source, _, made = case
    far = np.array(made.contoured.volume.affine)
    far[:3, 3] += 300
    write(Segmentation(made.contoured.ctv.labels, far), tmp_path / "far.nii.gz")
    status, _, err = export(tmp_path / "far.nii.gz", "--source", source, "--format", "rtstruct")
    assert status == 2
    assert "100.0 % of the segment far lies outside the image" in err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--format", "dicom-seg"], "refers to DICOM images, but the source is nrrd; give the ultrasound as DICOM"),
        (["--format", "stl", "--ptv-margin", "3"], "--ptv-margin is about the structure set; add rtstruct"),
        (["--format", "stl", "--contour-every", "5"], "--contour-every is about the structure set"),
        (["--format", "doc"], "--format has doc, expected one or more of nifti"),
        (["--format", "stl", "--frame-spacing", "2"], "are about --source; give that too"),
        (["--format", "stl", "--segment", "gland"], "has no segment 'gland'; it has CTV"),
        (["--format", "dicom-probability", "--source", "SOURCE"], "dicom-probability: this mask has no prob"),
        (["--format", "nifti,uncertainty"], "Cannot write uncertainty: this mask has no probability"),
        (["--format", "rtstruct", "--source", "SOURCE", "--ptv-margin", "x"], "The margin is 'x'"),
        ([], "the following arguments are required: --format"),
    ],
)
def test_what_cannot_be_meant_exits_2_with_one_sentence_and_writes_nothing(case, export, tmp_path, arguments, said):
    source, folder, _ = case
    given = [source if argument == "SOURCE" else argument for argument in arguments]
    status, out, err = export(folder, *given)
    assert (status, out) == (2, "")
    assert said in err
    assert len(err.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_several_segments_need_a_choice_and_an_empty_one_is_refused(case, export, tmp_path):
    source, _, made = case
    labels = made.contoured.ctv.labels.copy()
    labels[0:3, 0:3, 0] = 2
    names = {1: "gland", 2: "other", 3: "nothing"}
    write(Segmentation(labels, made.contoured.volume.affine, names), tmp_path / "several.seg.nrrd")
    file = (tmp_path / "several.seg.nrrd", "--source", source, "--frame-spacing", "4", "--format", "nifti,seg-nrrd")
    status, _, err = export(*file)
    assert status == 2
    assert "has 3 segments (gland, other, nothing); choose the CTV with --segment NAME" in err
    assert "The segment nothing of several.seg.nrrd is empty" in export(*file, "--segment", "nothing")[2]
    assert export(*file, "--segment", "gland", "--structure", "other")[0] == 0
    there = tmp_path / "out" / "several"
    assert np.array_equal(read_mask(there / "ctv.nii.gz").labels == 1, made.truth & (labels == 1))


def test_a_mask_without_an_image_says_so(export, tmp_path):
    write(Segmentation(np.ones((3, 3, 3), np.uint8), np.eye(4)), tmp_path / "lonely.nii.gz")
    assert (
        "does not say which image it was drawn on; give it with --source"
        in export(tmp_path / "lonely.nii.gz", "--format", "stl")[2]
    )
    assert "no such file or folder" in export(tmp_path / "absent", "--format", "stl")[2]
    assert "holds neither ctv.seg.nrrd nor ctv.nii.gz" in export(tmp_path, "--format", "stl")[2]


def test_export_loads_neither_torch_nor_monai(case):
    code = (
        "import sys; from prostate_seg.cli import main; "
        f"status = main(['export', {str(case[1])!r}, '--source', {str(case[0])!r}, '-o', {str(case[1] / 'x')!r}, "
        "'--format', 'dicom-seg,rtstruct,slicer']); print(status, 'torch' in sys.modules, 'monai' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "0 False False"
