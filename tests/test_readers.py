"""Files, folders and zips: what is a case, what is skipped, and what each format gives."""

import os
import pickle
import zipfile
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk  # noqa: N813
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from prostate_seg.errors import GeometryError, InputError
from prostate_seg.geometry.volume import Volume, affine_from_lps, same_grid
from prostate_seg.reading.cases import find_cases, read, read_case
from prostate_seg.writing.dicom.ultrasound import write_us

DATA = os.environ.get("PROSTATE_SEG_DATA")
SHAPE, SPACING_MM = (14, 12, 5), (0.5, 0.75, 2.0)
OBLIQUE = Rotation.from_euler("xyz", [10, 20, -15], degrees=True).as_matrix()


def texture(shape=SHAPE, dtype=np.uint8):
    return np.random.default_rng(2).integers(10, 250, shape).astype(dtype)


def sweep(shape=SHAPE, direction=None, dtype=np.uint8):
    direction = np.eye(3) if direction is None else direction
    affine = affine_from_lps(direction, np.array(SPACING_MM), np.array([1.0, -20.0, 30.0]))
    return Volume(texture(shape, dtype), affine)


def itk_image(array, volume=None):
    """An ITK image of an array (i, j, k[, channel]) at the place of a volume."""
    axes = (2, 1, 0, 3) if array.ndim == 4 else (2, 1, 0)
    image = sitk.GetImageFromArray(np.ascontiguousarray(array.transpose(axes)), isVector=array.ndim == 4)
    if volume is not None:
        lps = np.diag([-1, -1, 1, 1]) @ volume.affine
        image.SetSpacing(SPACING_MM)
        image.SetDirection((lps[:3, :3] / SPACING_MM).ravel())
        image.SetOrigin(lps[:3, 3])
    return image


def write(path, volume):
    """A volume as NIfTI, NRRD or MetaImage by other software than ours."""
    if ".nii" in path.name:
        nib.save(nib.Nifti1Image(volume.array, volume.affine), path)
    else:
        sitk.WriteImage(itk_image(volume.array, volume), str(path))
    return path


class TestFindingCases:
    def test_a_folder_with_a_series_a_multiframe_a_nifti_and_a_ct_is_three_cases_and_one_skipped(self, tmp_path):
        write_us(sweep(), tmp_path / "sweep 1", kind="series")
        write_us(sweep(), tmp_path / "other")[0].rename(tmp_path / "cine.dcm")
        write(tmp_path / "scan.nii.gz", sweep())
        for file in write_us(sweep(), tmp_path / "planning", kind="series", seed=9):
            ct = pydicom.dcmread(file)
            ct.SOPClassUID, ct.Modality = "1.2.840.10008.5.1.4.1.1.2", "CT"
            ct.save_as(file)
        (tmp_path / "notes.txt").write_text("not an image")
        cases, skipped = find_cases([tmp_path])
        assert [(case.name, case.kind, len(case.files)) for case in cases] == [
            ("sweep_1", "dicom", 5),
            ("cine", "dicom", 1),
            ("scan", "nifti", 1),
        ]
        assert [(skip.name, "CT" in skip.reason) for skip in skipped] == [("planning", True)]

    def test_two_series_in_one_folder_are_two_cases_with_different_names(self, tmp_path):
        for seed in (1, 2):
            for file in write_us(sweep(), tmp_path / str(seed), kind="series", seed=seed):
                file.rename(tmp_path / f"{seed}-{file.name}")
        cases, _ = find_cases([tmp_path])
        assert [len(case.files) for case in cases] == [5, 5]
        assert cases[1].name == f"{cases[0].name}-2"

    def test_the_files_of_a_series_given_one_by_one_are_one_case(self, tmp_path):
        files = write_us(sweep(), tmp_path / "series", kind="series")
        cases, _ = find_cases(files)
        assert [(case.name, len(case.files)) for case in cases] == [("series", 5)]

    def test_names_are_safe_and_unique_without_regard_to_case(self, tmp_path):
        for name in ("A b:c.nii.gz", "a_B_c.nrrd", "___.nii"):
            write(tmp_path / name, sweep())
        names = [case.name for case in find_cases([tmp_path])[0]]
        assert sorted(names) == ["A_b_c", "a_B_c-2", "case"] or sorted(names) == ["A_b_c-2", "a_B_c", "case"]

    def test_content_decides_before_the_suffix(self, tmp_path):
        write(tmp_path / "real.nrrd", sweep()).rename(tmp_path / "pretends.nii")
        assert [case.kind for case in find_cases([tmp_path])[0]] == ["nrrd"]

    def test_a_zip_with_a_series_and_a_detached_header_reads_like_its_folder(self, tmp_path):
        write_us(sweep(), tmp_path / "study" / "sweep", kind="series")
        write(tmp_path / "study" / "scan.mhd", sweep())
        with zipfile.ZipFile(tmp_path / "study.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            for file in (tmp_path / "study").rglob("*.*"):
                archive.write(file, file.relative_to(tmp_path / "study"))
        cases, skipped = find_cases([tmp_path / "study.zip"])
        assert {case.name for case in cases} == {"sweep", "scan"}
        assert skipped == []
        for case in cases:
            volume = read_case(pickle.loads(pickle.dumps(case)))
            assert same_grid(volume, sweep())
            np.testing.assert_array_equal(volume.array, sweep().array)

    @pytest.mark.parametrize(
        ("name", "content", "text"),
        [
            ("empty.dcm", b"", "not a DICOM image"),
            ("text.dcm", b"hello " * 100, "not a DICOM image|cannot be read"),
            ("letter.txt", b"Dear colleague", "neither DICOM, NIfTI, NRRD nor MetaImage"),
            ("broken.zip", b"PK\x03\x04 not really", "BadZipFile"),
        ],
    )
    def test_a_file_that_is_nothing_is_refused_by_its_name(self, tmp_path, *, name, content, text):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=text) as error:
            find_cases([tmp_path / name])
        assert str(error.value).startswith(f"{name}: nothing to segment")

    def test_missing_and_empty_inputs_are_refused_by_their_name(self, tmp_path):
        with pytest.raises(InputError, match="absent: no such file or folder"):
            find_cases([tmp_path / "absent"])
        (tmp_path / "hollow").mkdir()
        with pytest.raises(InputError, match="hollow: nothing to segment"):
            find_cases([tmp_path / "hollow"])

    def test_read_refuses_several_cases_and_lists_them(self, tmp_path):
        for name in ("one.nrrd", "two.nrrd"):
            write(tmp_path / name, sweep())
        with pytest.raises(InputError, match=r"2 cases \(one, two\), expected one"):
            read(tmp_path)


class TestImageFiles:
    @pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd"])
    @pytest.mark.parametrize("direction", [np.eye(3), OBLIQUE], ids=["axial", "oblique"])
    def test_each_format_keeps_place_and_grays(self, tmp_path, suffix, direction):
        volume = sweep(direction=direction)
        back = read(write(tmp_path / f"scan{suffix}", volume))
        assert same_grid(back, volume)
        np.testing.assert_array_equal(back.array, volume.array)
        assert (back.orientation, back.array.dtype) == ("file", np.uint8)
        assert len(back.source.sha256) == 64

    def test_a_nifti_without_codes_gives_its_spacing_and_assumed_axes(self, tmp_path):
        image = nib.Nifti1Image(texture(), None)
        image.header.set_zooms(SPACING_MM)
        image.set_sform(None, code=0)
        image.set_qform(None, code=0)
        nib.save(image, tmp_path / "scan.nii")
        volume = read(tmp_path / "scan.nii")
        assert volume.orientation == "assumed"
        np.testing.assert_allclose(volume.affine, np.diag([-0.5, -0.75, 2.0, 1.0]))
        options = {"frame_order": "base-to-apex", "probe_side": "bottom"}
        assert read(tmp_path / "scan.nii", **options).orientation == "option"
        with pytest.raises(GeometryError, match="3 mm contradicts 2 mm in the header's spacing"):
            read(tmp_path / "scan.nii", frame_spacing_mm=3.0)

    def test_a_nifti_in_micrometres_is_converted_to_mm(self, tmp_path):
        image = nib.Nifti1Image(texture(), np.diag([500.0, 750.0, 2000.0, 1.0]))
        image.header.set_xyzt_units("micron")
        nib.save(image, tmp_path / "scan.nii")
        assert read(tmp_path / "scan.nii").spacing_mm == pytest.approx(SPACING_MM)

    def test_options_that_contradict_the_affine_are_refused(self, tmp_path):
        path = write(tmp_path / "scan.nii", sweep())
        assert read(path, frame_order="apex-to-base").orientation == "file"
        with pytest.raises(GeometryError, match="scan: the frame order 'base-to-apex' contradicts the NIfTI sform"):
            read(path, frame_order="base-to-apex")

    def test_a_fourth_axis_of_length_1_is_dropped_and_of_length_2_refused(self, tmp_path):
        nib.save(nib.Nifti1Image(texture()[..., None], sweep().affine), tmp_path / "one.nii")
        assert same_grid(read(tmp_path / "one.nii"), sweep())
        nib.save(nib.Nifti1Image(np.stack([texture()] * 2, -1), sweep().affine), tmp_path / "two.nii")
        with pytest.raises(InputError, match=r"two: 4-D, shape \(14, 12, 5, 2\); expected 3-D"):
            read(tmp_path / "two.nii")

    def test_nan_constant_and_complex_images_are_refused(self, tmp_path):
        nan = texture(dtype=np.float32)
        nan[3, 4, 2] = np.nan
        for array, text in (
            (nan, "NaN"),
            (np.zeros(SHAPE, np.uint8), "every voxel is 0"),
            (texture(dtype=np.complex64), "complex64, expected real"),
        ):
            nib.save(nib.Nifti1Image(array, np.eye(4)), tmp_path / "bad.nii")
            with pytest.raises(InputError, match=text):
                read(tmp_path / "bad.nii")

    def test_a_damaged_nifti_and_a_damaged_nrrd_are_refused(self, tmp_path):
        for name in ("a.nii", "b.nii.gz", "c.nrrd"):
            path = write(tmp_path / name, sweep())
            path.write_bytes(path.read_bytes()[:-60])
            with pytest.raises(InputError, match="damaged"):
                read(path)

    def test_colour_becomes_luma(self, tmp_path):
        colour = np.zeros((*SHAPE, 3), np.uint8)
        colour[:] = (200, 100, 50)
        colour[0, 0, 0] = 0
        sitk.WriteImage(itk_image(colour, sweep()), str(tmp_path / "colour.nrrd"))
        assert np.unique(read(tmp_path / "colour.nrrd").array).tolist() == [0, 124]
        packed = np.ascontiguousarray(colour).view([("R", "u1"), ("G", "u1"), ("B", "u1")])[..., 0]
        nib.save(nib.Nifti1Image(packed, sweep().affine), tmp_path / "colour.nii")
        assert np.unique(read(tmp_path / "colour.nii").array).tolist() == [0, 124]
        sitk.WriteImage(itk_image(colour[..., :2], sweep()), str(tmp_path / "two.nrrd"))
        with pytest.raises(InputError, match="2 values a voxel"):
            read(tmp_path / "two.nrrd")

    def test_a_segmentation_is_no_image(self, tmp_path):
        image = itk_image((texture() > 100).astype(np.uint8), sweep())
        image.SetMetaData("Segment0_ID", "Segment_1")
        sitk.WriteImage(image, str(tmp_path / "ctv.seg.nrrd"))
        with pytest.raises(InputError, match=r"ctv\.seg\.nrrd: a segmentation"):
            read(tmp_path / "ctv.seg.nrrd")

    def test_a_nrrd_without_space_has_assumed_axes_and_without_spacing_none_at_all(self, tmp_path):
        head = "NRRD0004\ntype: uint8\ndimension: 3\nsizes: 14 12 5\nencoding: raw\n"
        body = texture().T.tobytes()
        (tmp_path / "spaced.nrrd").write_bytes(f"{head}spacings: 0.5 0.75 2\n\n".encode() + body)
        volume = read(tmp_path / "spaced.nrrd")
        assert volume.orientation == "assumed"
        np.testing.assert_allclose(volume.affine, np.diag([-0.5, -0.75, 2.0, 1.0]))
        np.testing.assert_array_equal(volume.array, texture())
        (tmp_path / "bare.nrrd").write_bytes(f"{head}\n".encode() + body)
        with pytest.raises(GeometryError, match="bare: the header has no spacing"):
            read(tmp_path / "bare.nrrd")

    def test_a_single_slice_says_that_it_has_no_volume(self, tmp_path):
        sitk.WriteImage(sitk.GetImageFromArray(texture()[..., 0].T), str(tmp_path / "flat.mha"))
        volume = read(tmp_path / "flat.mha")
        assert volume.array.shape == (14, 12, 1)
        assert "One slice only" in volume.warnings[0]

    def test_a_tiny_image_is_read(self, tmp_path):
        tiny = Volume(np.arange(8, dtype=np.int16).reshape(2, 2, 2), np.eye(4))
        nib.save(nib.Nifti1Image(tiny.array, tiny.affine), tmp_path / "tiny.nii")
        assert read(tmp_path / "tiny.nii").array.shape == (2, 2, 2)

    @settings(max_examples=15, deadline=None)
    @given(angles=st.tuples(*[st.floats(-60, 60)] * 3), suffix=st.sampled_from([".nii", ".nrrd", ".mha"]))
    @example(angles=(0.0, 0.0, 2.3e-309), suffix=".nrrd")
    @example(angles=(0.0, 0.0, 2.3e-309), suffix=".mha")
    def test_any_direction_keeps_its_place(self, tmp_path_factory, angles, suffix):
        volume = sweep(direction=Rotation.from_euler("xyz", angles, degrees=True).as_matrix())
        path = write(tmp_path_factory.mktemp("any") / f"scan{suffix}", volume)
        assert same_grid(read(path), volume)


@pytest.mark.realdata
@pytest.mark.skipif(not DATA, reason="PROSTATE_SEG_DATA is not set")
class TestRealImages:
    def test_the_sharp_trus_volume_keeps_every_drawn_pixel_of_its_fan(self):
        path = Path(DATA, "trus_sharp", "USProstate.nrrd")
        volume = read(path)
        raw = sitk.GetArrayFromImage(sitk.ReadImage(str(path))).T
        np.testing.assert_array_equal(volume.array, raw)
        assert 0.25 < volume.field_of_view[..., 0].mean() < 0.35
        assert volume.spacing_mm == pytest.approx((0.3125, 0.3125, 3.0), rel=1e-4)

    def test_trus27_keeps_more_than_99_percent_of_its_drawn_pixels(self):
        for path in sorted(Path(DATA, "trus27", "images").glob("*.nii.gz")):
            raw = np.asanyarray(nib.load(path).dataobj)
            kept = np.count_nonzero(read(path).array) / np.count_nonzero(raw)
            assert kept > 0.99, path.name
