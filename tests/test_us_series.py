"""Ultrasound DICOM that we write is read back at the same place in the patient."""

from pathlib import Path

import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from prostate_seg.errors import OutputError, SettingsError
from prostate_seg.geometry.volume import Volume, affine_from_lps
from prostate_seg.reading.cases import read
from prostate_seg.writing.dicom.ultrasound import ScannerConventions, write_us

SPACING_MM = (0.3, 0.4, 2.0)
OBLIQUE = Rotation.from_euler("xyz", [8, -5, 12], degrees=True).as_matrix()
GRAYS = ("MONOCHROME2", "MONOCHROME1", "RGB", "YBR_FULL", "PALETTE COLOR")
KINDS = ("multiframe", "series", "series-without-positions", "enhanced-volume")


def sweep(*, shape=(24, 20, 5), direction=None, spacing_mm=SPACING_MM, origin=(0.0, 0.0, 0.0), dtype=np.uint8):
    """A volume without a black surround, asymmetric, so that the field of view keeps all of it."""
    array = np.random.default_rng(0).integers(20, np.iinfo(dtype).max, shape).astype(dtype)
    direction = np.eye(3) if direction is None else direction
    return Volume(array, affine_from_lps(direction, np.array(spacing_mm), np.array(origin)))


def assert_same_in_world(read_back, written, tolerance_mm=1e-4):
    """Every voxel of one lies at the same millimetres with the same gray as a voxel of the other."""
    indices = np.indices(read_back.array.shape).reshape(3, -1)
    to_written = np.linalg.inv(written.affine) @ read_back.affine
    found = to_written[:3, :3] @ indices + to_written[:3, 3:]
    nearest = np.rint(found).astype(int)
    assert np.abs(found - nearest).max() * max(written.spacing_mm) < tolerance_mm
    assert read_back.array.shape == written.array.shape
    np.testing.assert_array_equal(written.array[tuple(nearest)], read_back.array[tuple(indices)])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("photometric", GRAYS)
def test_each_kind_and_colour_comes_back_voxel_for_voxel_in_world_coordinates(tmp_path, kind, photometric):
    volume = sweep()
    write_us(volume, tmp_path, kind=kind, photometric=photometric)
    step = {"frame_spacing_mm": 2.0} if kind == "series-without-positions" else {}
    back = read(tmp_path, **step)
    assert_same_in_world(back, volume)
    assert back.array.dtype == np.uint8
    assert back.field_of_view.all()
    assert back.orientation == ("file" if kind in ("series", "enhanced-volume") else "assumed")


@pytest.mark.parametrize("kind", ["series", "enhanced-volume"])
def test_an_oblique_volume_keeps_its_place_and_a_left_handed_one_too(tmp_path, kind):
    for name, direction in (("right", OBLIQUE), ("left", OBLIQUE * [1, 1, -1])):
        volume = sweep(direction=direction, origin=(-12.5, 30.25, -41.0))
        write_us(volume, tmp_path / name, kind=kind)
        assert_same_in_world(read(tmp_path / name), volume)


@pytest.mark.parametrize("kind", ["series", "series-without-positions"])
def test_file_names_say_nothing_about_the_order_of_slices(tmp_path, kind):
    volume = sweep(shape=(12, 10, 7), direction=OBLIQUE if kind == "series" else None)
    files = write_us(volume, tmp_path, kind=kind)
    for file, name in zip(files, (3, 0, 6, 1, 5, 2, 4), strict=True):
        file.rename(tmp_path / f"shuffled{name}")
    back = read(tmp_path, frame_spacing_mm=2.0)
    assert_same_in_world(back, volume)
    assert [reference.frame_number for reference in back.source.frames] == [1] * 7


def test_an_enhanced_volume_without_patient_positions_keeps_its_spacing_and_assumes_its_axes(tmp_path):
    volume = sweep(direction=OBLIQUE, origin=(5, 5, 5))
    write_us(volume, tmp_path, kind="enhanced-volume", conventions=ScannerConventions(patient_positions=False))
    back = read(tmp_path)
    assert back.orientation == "assumed"
    np.testing.assert_allclose(back.affine, np.diag([-0.3, -0.4, 2.0, 1.0]), atol=1e-9)
    np.testing.assert_array_equal(back.array, volume.array)


def test_sixteen_bits_stay_sixteen_bits_and_rle_loses_nothing(tmp_path):
    volume = sweep(dtype=np.uint16)
    write_us(volume, tmp_path, conventions=ScannerConventions(rle=True))
    back = read(tmp_path)
    assert back.array.dtype == np.uint16
    np.testing.assert_array_equal(back.array, volume.array)
    assert pydicom.dcmread(next(tmp_path.iterdir())).file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.5"


def test_the_smaller_of_two_regions_is_not_the_one_that_calibrates(tmp_path):
    write_us(sweep(), tmp_path, conventions=ScannerConventions(second_region=True, pixel_spacing=True))
    back = read(tmp_path)
    assert back.spacing_mm == pytest.approx(SPACING_MM)
    assert any("2 calibrated tissue regions" in text for text in back.warnings)


def test_one_seed_gives_the_same_bytes_and_another_seed_other_identifiers(tmp_path):
    for kind in KINDS:
        first = write_us(sweep(), tmp_path / kind / "a", kind=kind, seed=3)
        again = write_us(sweep(), tmp_path / kind / "b", kind=kind, seed=3)
        other = write_us(sweep(), tmp_path / kind / "c", kind=kind, seed=4)
        assert [file.read_bytes() for file in first] == [file.read_bytes() for file in again]
        uids = [pydicom.dcmread(file).SOPInstanceUID for file in (*first, *other)]
        assert len(set(uids)) == len(uids)


def test_a_phantom_has_an_obviously_synthetic_patient(tmp_path):
    header = pydicom.dcmread(write_us(sweep(), tmp_path)[0])
    assert str(header.PatientName) == "PHANTOM^TRUS"
    assert header.FrameIncrementPointer != 0x00181063


def test_what_ultrasound_dicom_cannot_hold_is_refused(tmp_path):
    floats = Volume(np.ones((4, 4, 2), np.float32), np.eye(4))
    with pytest.raises(SettingsError, match="float32, expected uint8"):
        write_us(floats, tmp_path)
    with pytest.raises(SettingsError, match="uint16, expected uint8 for RGB"):
        write_us(sweep(dtype=np.uint16), tmp_path, photometric="RGB")
    with pytest.raises(SettingsError, match="kind of ultrasound DICOM is 'ct'"):
        write_us(sweep(), tmp_path, kind="ct")
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match="cannot be written"):
        write_us(sweep(), tmp_path / "file")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@settings(max_examples=15, deadline=None)
@given(
    shape=st.tuples(st.integers(2, 9), st.integers(2, 9), st.integers(2, 5)),
    spacing=st.tuples(*[st.floats(0.05, 5.0)] * 3),
    angles=st.tuples(*[st.floats(-60, 60)] * 3),
    kind=st.sampled_from(["series", "enhanced-volume"]),
)
def test_any_grid_keeps_its_place(*, tmp_path_factory, shape, spacing, angles, kind):
    direction = Rotation.from_euler("xyz", angles, degrees=True).as_matrix()
    volume = sweep(shape=shape, direction=direction, spacing_mm=spacing, origin=(7.0, -80.0, 9.5))
    folder: Path = tmp_path_factory.mktemp("grid")
    write_us(volume, folder, kind=kind)
    assert_same_in_world(read(folder), volume, tolerance_mm=1e-3)
