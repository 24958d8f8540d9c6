import nibabel
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from scipy.spatial.transform import Rotation

from prostate_seg.errors import OutputError
from prostate_seg.geometry.volume import Segmentation, Volume, swap_ras_lps
from prostate_seg.writing.nifti import write_nifti

SHAPE = (7, 5, 3)


def oblique(mirrored=False):
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xyz", (20, -35, 50), degrees=True).as_matrix() * (0.31, 0.42, 5.0)
    if mirrored:
        affine[:3, 0] *= -1
    affine[:3, 3] = (123.4, -210.5, 87.6)
    return affine


@pytest.fixture
def values():
    return np.arange(np.prod(SHAPE)).reshape(SHAPE)


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
@pytest.mark.parametrize("mirrored", [False, True])
def test_the_far_voxel_of_an_oblique_grid_is_read_within_a_ten_thousandth_of_a_mm(tmp_path, values, name, mirrored):
    affine = oblique(mirrored)
    write_nifti(tmp_path / name, Volume(values.astype(np.int16), affine))
    far = np.array(SHAPE) - 1
    expected = (affine @ [*far, 1])[:3]

    image = nibabel.load(tmp_path / name)
    np.testing.assert_array_equal(np.asarray(image.dataobj), values)
    np.testing.assert_allclose((image.affine @ [*far, 1])[:3], expected, atol=1e-4)
    np.testing.assert_allclose((image.get_qform() @ [*far, 1])[:3], expected, atol=1e-4)

    other = sitk.ReadImage(str(tmp_path / name))
    lps = (swap_ras_lps(affine) @ [*far, 1])[:3]
    np.testing.assert_allclose(other.TransformIndexToPhysicalPoint(far.tolist()), lps, atol=1e-4)
    assert other.GetPixel(far.tolist()) == values[tuple(far)] == values.max()


@pytest.mark.parametrize(("orientation", "code"), [("file", 1), ("option", 1), ("assumed", 2)])
def test_the_code_is_1_where_the_orientation_is_known_and_2_where_assumed(tmp_path, orientation, code):
    labels = np.zeros(SHAPE, np.uint8)
    for item in [
        Volume(labels, oblique(), orientation),
        Segmentation(labels, oblique(), orientation=orientation),
    ]:
        write_nifti(tmp_path / "a.nii.gz", item)
        header = nibabel.load(tmp_path / "a.nii.gz").header
        assert int(header["sform_code"]) == int(header["qform_code"]) == code
        assert header.get_xyzt_units()[0] == "mm"


def test_labels_are_uint8_without_scaling_and_a_probability_is_float32(tmp_path):
    labels = np.zeros(SHAPE, np.uint8)
    labels[2:4, 1:3, 1] = 1
    write_nifti(tmp_path / "ctv.nii.gz", Segmentation(labels, oblique()))
    image = nibabel.load(tmp_path / "ctv.nii.gz")
    assert image.get_data_dtype() == np.uint8
    assert np.unique(np.asarray(image.dataobj)).tolist() == [0, 1]
    assert image.header.get_slope_inter() == (None, None)
    write_nifti(tmp_path / "p.nii.gz", Volume(np.full(SHAPE, 0.25, np.float32), oblique()))
    probability = nibabel.load(tmp_path / "p.nii.gz")
    assert probability.get_data_dtype() == np.float32
    assert float(probability.get_fdata().mean()) == 0.25


def test_a_sheared_grid_keeps_its_sform_and_has_no_qform(tmp_path):
    sheared = oblique()
    sheared[:3, 2] += sheared[:3, 0] * 4
    write_nifti(tmp_path / "a.nii", Volume(np.zeros(SHAPE, np.uint8), sheared))
    image = nibabel.load(tmp_path / "a.nii")
    np.testing.assert_allclose(image.affine, sheared, atol=1e-4)
    assert int(image.header["qform_code"]) == 0


def test_the_same_volume_gives_the_same_bytes(tmp_path, values):
    for name in ("a.nii.gz", "b.nii.gz"):
        write_nifti(tmp_path / name, Volume(values, oblique()))
    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()


def test_one_slice_is_written_with_three_axes(tmp_path):
    write_nifti(tmp_path / "a.nii", Volume(np.ones((4, 3, 1), np.uint8), oblique()))
    assert nibabel.load(tmp_path / "a.nii").shape == (4, 3, 1)


def test_another_suffix_is_refused(tmp_path):
    with pytest.raises(OutputError, match=r"Cannot write a\.img: its name must end in \.nii or \.nii\.gz"):
        write_nifti(tmp_path / "a.img", Volume(np.zeros(SHAPE), oblique()))
