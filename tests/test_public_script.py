"""A script with the public names alone: images of other libraries in and out, every format, doubt, evaluation."""

import dataclasses
import subprocess
import sys

import nibabel
import numpy as np
import pytest

import prostate_seg
from prostate_seg import GeometryError, InputError, OutputError
from prostate_seg.geometry.things import Thing
from prostate_seg.writing.dicom.ultrasound import write_us
from prostate_seg.writing.formats import FORMATS


@pytest.fixture(scope="module")
def study(small_phantom, tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    write_us(small_phantom.image, folder / "us", kind="series")
    return folder / "us"


@pytest.mark.parametrize("convert", [prostate_seg.to_nibabel, prostate_seg.to_simpleitk])
def test_an_image_of_another_library_is_read_back_at_its_place(small_phantom, convert):
    volume, mask = small_phantom.image, small_phantom.truth
    back, found = prostate_seg.read(convert(volume)), prostate_seg.read_mask(convert(mask))
    assert np.allclose(back.affine, volume.affine, atol=1e-4)
    assert np.array_equal(found.mask(), mask.mask())
    assert np.allclose(found.affine, mask.affine, atol=1e-4)
    shown = back.field_of_view if back.field_of_view is not None else np.ones(back.array.shape, bool)
    assert np.array_equal(back.array[shown], volume.array[shown])


def test_the_images_of_other_libraries_agree_with_ours_on_where_a_voxel_lies(small_phantom):
    """Voxel (3, 4, 5): RAS of nibabel is LPS of SimpleITK with two signs turned."""
    volume = small_phantom.image
    ras = nibabel.affines.apply_affine(prostate_seg.to_nibabel(volume).affine, (3, 4, 5))
    lps = prostate_seg.to_simpleitk(volume).TransformIndexToPhysicalPoint((3, 4, 5))
    assert np.allclose(ras, volume.affine @ [3, 4, 5, 1] @ np.eye(4, 3), atol=1e-4)
    assert np.allclose(ras * [-1, -1, 1], lps, atol=1e-4)


def test_another_type_is_named_with_what_is_taken():
    with pytest.raises(InputError, match=r"got ndarray; for an array, give prostate_seg.Volume\(array, affine\)"):
        prostate_seg.read(np.zeros((4, 4, 4)))
    with pytest.raises(InputError, match="got dict"):
        prostate_seg.read_mask({})


def test_segment_returns_warnings_and_doubt_and_a_repr_without_them(tiny_bundle, study):
    ctv = prostate_seg.segment(prostate_seg.read(study), bundle=tiny_bundle)
    assert ctv.uncertainty["mean_boundary_entropy_nats"] > 0
    assert all(isinstance(sentence, str) for sentence in ctv.warnings)
    assert ctv.model[0].startswith("prostate_us_segmenter")
    assert "\n" not in repr(ctv)
    assert len(repr(ctv)) < 120


@pytest.mark.parametrize("name", FORMATS)
def test_write_writes_every_format(study, tiny_bundle, tmp_path, name):
    volume = prostate_seg.read(study)
    ctv = prostate_seg.segment(volume, bundle=tiny_bundle)
    path = tmp_path / FORMATS[name].file
    if "things" in FORMATS[name].needs:  # a file of needles alone
        x, y, z, _ = volume.affine @ [8.0, 8.0, 1.0, 1.0]
        ctv = dataclasses.replace(ctv, things=(Thing("Seed", (x, y, z), (x, y, z + 2.0), 0.4),))
    prostate_seg.write(ctv, path, image=volume, format=name)
    assert path.exists()
    if name == "dicom-seg":
        assert prostate_seg.read_mask(path).mask().sum() == ctv.mask().sum()


def test_write_says_which_formats_there_are_and_what_they_take(small_phantom, tmp_path):
    volume, mask = small_phantom.image, small_phantom.truth
    for options, text in (
        ({"format": "dicom"}, "no format is called dicom, only nifti, seg-nrrd"),
        ({"format": "rtstruct"}, "rtstruct takes a segmentation and image=, its volume"),
        ({"format": "rtstruct", "image": volume}, "DICOM"),
        ({"format": "uncertainty", "image": volume}, "this mask has no probability"),
        ({"drawn": "MANUAL"}, "belong to a named format; give format="),
        (
            {"format": "stl", "image": volume, "structures": {"a": mask.mask()}},
            "the format holds the CTV alone, not a",
        ),
        ({}, "give format= dicom-seg"),
    ):
        with pytest.raises(OutputError, match=text):
            prostate_seg.write(mask, tmp_path / "a.dcm", **options)
    other = prostate_seg.Volume(np.zeros((3, 3, 3), np.uint8), np.eye(4))
    with pytest.raises(GeometryError, match="expected the image's grid"):
        prostate_seg.write(mask, tmp_path / "a.vtk", image=other, format="vtk")
    assert list(tmp_path.iterdir()) == []


def test_the_script_of_the_api_page_runs(study, tiny_bundle, repository, tmp_path):
    volume = prostate_seg.read(study)
    reference = prostate_seg.Segmentation((volume.array > 60).astype(np.uint8), volume.affine)
    prostate_seg.write(reference, tmp_path / "reference.nii.gz")
    script = repository / "docs" / "api" / "script.py"
    command = [sys.executable, script, study, tmp_path / "reference.nii.gz", tmp_path, tiny_bundle]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert 0 <= float(done.stdout.splitlines()[-1]) <= 1
    written = {path.name for path in tmp_path.iterdir()}
    assert {"ctv_seg.dcm", "ctv_rtstruct.dcm", "ctv.nii.gz", "us.mha"} <= written
