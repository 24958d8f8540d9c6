import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from prostate_seg.errors import GeometryError, InputError, ProstateSegError
from prostate_seg.geometry.volume import (
    Segmentation,
    Volume,
    affine_from_lps,
    lps_from_affine,
    reindexed,
    same_grid,
    spacing_of,
    swap_ras_lps,
)


def oblique(spacing=(0.3, 0.4, 3.0), origin=(10.0, -20.0, 30.0), angles=(20, -35, 50)):
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xyz", angles, degrees=True).as_matrix() * spacing
    affine[:3, 3] = origin
    return affine


def volume(affine, shape=(4, 3, 2)):
    return Volume(np.zeros(shape, np.uint8), affine)


def test_ras_and_lps_differ_in_the_signs_of_x_and_y_only():
    affine = np.diag([2.0, 3.0, 4.0, 1.0])
    affine[:3, 3] = (5.0, 6.0, 7.0)
    lps = swap_ras_lps(affine)
    np.testing.assert_array_equal(lps @ [1, 1, 1, 1], [-(5 + 2), -(6 + 3), 7 + 4, 1])
    np.testing.assert_array_equal(swap_ras_lps(lps), affine)


def test_the_identity_direction_of_dicom_runs_to_the_left_and_posterior():
    affine = affine_from_lps(np.eye(3), np.array([0.5, 0.5, 2.0]), np.array([1.0, 2.0, 3.0]))
    # one voxel along i is 0.5 mm to the patient's left: x falls in RAS
    np.testing.assert_allclose(affine @ [1, 1, 1, 1], [-1.5, -2.5, 5.0, 1.0])


@settings(max_examples=50, deadline=None)
@given(
    st.tuples(*[st.floats(0.05, 10.0)] * 3),
    st.tuples(*[st.floats(-500, 500)] * 3),
    st.tuples(*[st.integers(-180, 180)] * 3),
    st.booleans(),
)
def test_any_rotated_anisotropic_grid_survives_the_way_to_lps_and_back(spacing, origin, angles, mirrored):
    affine = oblique(spacing, origin, angles)
    if mirrored:
        affine[:3, 2] *= -1
    direction, found_spacing, found_origin = lps_from_affine(affine)
    np.testing.assert_allclose(found_spacing, spacing)
    np.testing.assert_allclose(found_origin, np.array(origin) * (-1, -1, 1))
    np.testing.assert_allclose(direction.T @ direction, np.eye(3), atol=1e-12)
    np.testing.assert_allclose(affine_from_lps(direction, found_spacing, found_origin), affine, atol=1e-9)


def test_spacing_is_the_length_of_each_column_whatever_its_direction():
    assert spacing_of(oblique()) == pytest.approx((0.3, 0.4, 3.0))
    assert volume(oblique()).spacing_mm == pytest.approx((0.3, 0.4, 3.0))


def test_a_thousand_voxels_of_half_a_by_one_by_four_mm_are_two_millilitres():
    labels = np.zeros((12, 12, 12), np.uint8)
    labels[1:11, 1:11, 1:11] = 1
    labels[0, 0, 0] = 2  # another structure is not the CTV
    affine = oblique((0.5, 1.0, 4.0))
    assert Segmentation(labels, affine).volume_ml == pytest.approx(2.0)
    assert Segmentation(np.zeros((3, 3, 3), np.uint8), affine).volume_ml == 0.0


def test_the_volume_of_a_sheared_grid_is_its_determinant_not_the_product_of_its_spacings():
    affine = np.diag([1.0, 1.0, 1.0, 1.0])
    affine[0, 2] = 1.0  # slices slide by 1 mm each: spacing along k is sqrt(2), the voxel's volume still 1
    labels = np.ones((10, 10, 10), np.uint8)
    assert Segmentation(labels, affine).volume_ml == pytest.approx(1.0)


def test_grids_are_the_same_within_a_micrometre_at_every_corner():
    affine = oblique()
    assert same_grid(volume(affine), Segmentation(np.zeros((4, 3, 2), np.uint8), affine))
    moved = affine.copy()
    moved[0, 3] += 0.0009
    assert same_grid(volume(affine), volume(moved))
    moved[0, 3] += 0.0002
    assert not same_grid(volume(affine), volume(moved))
    assert not same_grid(volume(affine), volume(affine, (4, 3, 3)))


def test_a_turn_of_a_hundredth_of_a_degree_is_seen_at_the_far_corner_only():
    straight, turned = np.eye(4), np.eye(4)
    turned[:3, :3] = Rotation.from_euler("z", 0.01, degrees=True).as_matrix()
    assert same_grid(volume(straight, (2, 2, 2)), volume(turned, (2, 2, 2)))  # 0.0002 mm
    assert not same_grid(volume(straight, (200, 2, 2)), volume(turned, (200, 2, 2)))  # 0.035 mm


def test_with_array_keeps_the_place_and_checks_the_axes():
    first = volume(oblique())
    second = first.with_array(np.ones((4, 3, 2), np.float32))
    np.testing.assert_array_equal(second.affine, first.affine)
    with pytest.raises(GeometryError, match=r"3 axes, got 2 \(shape \(4, 3\)\)"):
        first.with_array(np.ones((4, 3)))


def test_four_axes_a_foreign_field_of_view_and_other_label_types_are_refused():
    with pytest.raises(GeometryError, match=r"got 4 \(shape \(2, 2, 2, 3\)\); give one channel"):
        Volume(np.zeros((2, 2, 2, 3)), np.eye(4))
    with pytest.raises(
        GeometryError, match=r"field of view has shape \(2, 2, 1\), expected the image's \(2, 2, 2\)"
    ):
        Volume(np.zeros((2, 2, 2)), np.eye(4), field_of_view=np.ones((2, 2, 1), bool))
    with pytest.raises(GeometryError, match="uint8 array with 3 axes, got int64"):
        Segmentation(np.zeros((2, 2, 2), np.int64), np.eye(4))


@pytest.mark.parametrize("bad", [np.eye(3), np.full((4, 4), np.nan)])
def test_an_affine_is_a_finite_4_by_4_matrix(bad):
    with pytest.raises(GeometryError, match="finite 4x4 matrix in mm"):
        Volume(np.zeros((2, 2, 2)), bad)


@pytest.mark.parametrize("diagonal", [(1, 1, 0, 1), (0, 0, 0, 1)])
def test_an_affine_without_thickness_is_refused(diagonal):
    with pytest.raises(GeometryError, match="maps the grid onto a plane"):
        Volume(np.zeros((2, 2, 2)), np.diag(np.array(diagonal, float)))


def test_an_affine_is_a_copy_that_nobody_changes_later():
    affine = np.eye(4)
    kept = Volume(np.zeros((2, 2, 2)), affine)
    affine[0, 0] = 7.0
    assert kept.affine[0, 0] == 1.0
    with pytest.raises(ValueError, match="read-only"):
        kept.affine[0, 0] = 2.0


def test_a_geometry_error_is_an_input_error_is_one_of_ours():
    assert issubclass(GeometryError, InputError)
    assert issubclass(InputError, ProstateSegError)
    assert issubclass(InputError, ValueError)


def test_voxel_3_of_every_second_voxel_from_10_on_is_voxel_16():
    affine = np.diag([2.0, 1.0, 4.0, 1.0])
    coarse = reindexed(affine, scale=(2, 1, 1), shift=(10, 0, 0))
    assert (coarse @ [3, 0, 0, 1]).tolist() == (affine @ [16, 0, 0, 1]).tolist() == [32, 0, 0, 1]
