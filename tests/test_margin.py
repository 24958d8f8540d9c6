import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from prostate_seg.errors import GeometryError, SettingsError
from prostate_seg.geometry.margin import Margin, enlarged
from prostate_seg.geometry.volume import affine_from_lps

LPS_1_MM = affine_from_lps(
    np.eye(3), np.ones(3), np.zeros(3)
)  # i to the left, j to the posterior, k to the superior


def one_voxel(shape=(21, 21, 21)):
    mask = np.zeros(shape, bool)
    mask[tuple(n // 2 for n in shape)] = True
    return mask


def reach(grown):
    """How far a mask goes from the middle voxel of 21: left, right, posterior, anterior, superior, inferior."""
    at = np.argwhere(grown) - 10
    return [int(v) for pair in zip(at.max(0), -at.min(0), strict=True) for v in pair]


def test_3_mm_with_0_to_the_posterior_reaches_3_voxels_in_five_directions_and_none_in_the_sixth():
    grown = enlarged(one_voxel(), LPS_1_MM, Margin.parse("3,posterior=0"))
    assert reach(grown) == [3, 3, 0, 3, 3, 3]


def test_a_uniform_margin_of_5_mm_around_a_voxel_is_the_515_voxels_of_a_ball_of_radius_5():
    assert enlarged(one_voxel(), LPS_1_MM, Margin.parse("5")).sum() == 515


def test_different_margins_in_all_six_directions_go_where_they_belong():
    margin = Margin(left=1, right=2, posterior=3, anterior=4, superior=5, inferior=6)
    assert reach(enlarged(one_voxel(), LPS_1_MM, margin)) == [1, 2, 3, 4, 5, 6]


def test_directions_are_the_patients_and_not_the_arrays():
    turned = affine_from_lps(np.diag([-1.0, -1.0, 1.0])[[1, 0, 2]], np.ones(3), np.zeros(3))  # i to the anterior
    grown = enlarged(one_voxel(), turned, Margin.parse("0,posterior=4"))
    assert reach(grown) == [0, 4, 0, 0, 0, 0]


def test_slices_5_mm_apart_get_no_voxel_from_a_margin_of_3_mm_along_them():
    coarse = affine_from_lps(np.eye(3), np.array([1.0, 1.0, 5.0]), np.zeros(3))
    assert reach(enlarged(one_voxel(), coarse, Margin.parse("3"))) == [3, 3, 3, 3, 0, 0]


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 1000), st.floats(0.5, 4), st.sampled_from([(1, 1, 1), (0.4, 0.7, 2.0)]))
def test_a_uniform_margin_is_all_voxels_within_that_distance_of_the_mask(seed, mm, spacing):
    mask = np.zeros((26, 24, 22), bool)
    mask[11:15, 10:14, 9:13] = np.random.default_rng(seed).random((4, 4, 4)) < 0.2
    mask[12, 12, 11] = True
    affine = affine_from_lps(np.eye(3), np.array(spacing, float), np.zeros(3))
    distance = ndimage.distance_transform_edt(~mask, sampling=spacing)
    clear = np.abs(distance - mm) > 1e-3
    assert np.array_equal(enlarged(mask, affine, Margin.parse(f"{mm}"))[clear], (distance <= mm)[clear])


def test_an_empty_mask_stays_empty():
    assert not enlarged(np.zeros((4, 4, 4), bool), LPS_1_MM, Margin.parse("3")).any()


def test_a_margin_that_leaves_the_image_is_refused_with_the_share_that_would_be_lost():
    mask = np.zeros((9, 9, 9), bool)
    mask[4, 4, 0] = True
    with pytest.raises(GeometryError, match=r"of the mask with its margin lies outside the image; give a smaller"):
        enlarged(mask, LPS_1_MM, Margin.parse("2"))


def test_a_margin_with_directions_is_refused_where_the_image_has_none_and_a_uniform_one_is_not():
    with pytest.raises(GeometryError, match="does not say which way its axes point; give --frame-order"):
        enlarged(one_voxel(), LPS_1_MM, Margin.parse("3,posterior=0"), "assumed")
    assert enlarged(one_voxel(), LPS_1_MM, Margin.parse("1"), "assumed").sum() == 7


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("three", "The margin is 'three', expected mm such as 3"),
        ("3,back=0", "directions are left, right, anterior"),
        ("3,posterior", "The margin is '3,posterior'"),
        ("3,posterior=-1", "The posterior margin is -1 mm, expected 0 to 30"),
        ("nan", "margin is nan mm"),
    ],
)
def test_a_margin_that_cannot_be_meant_is_refused(text, said):
    with pytest.raises(SettingsError, match=said):
        Margin.parse(text)
