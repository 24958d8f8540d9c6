import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.extra.numpy import arrays
from skimage.draw import polygon2mask

from prostate_seg.writing.dicom.contours import closed_contours


def test_a_single_voxel_at_3_5_is_a_diamond_half_a_voxel_around_it():
    mask = np.zeros((7, 9), bool)
    mask[3, 5] = True
    (line,) = closed_contours(mask)
    assert sorted(map(tuple, line.tolist())) == [(2.5, 5.0), (3.0, 4.5), (3.0, 5.5), (3.5, 5.0)]


def test_a_rectangle_of_40_by_20_voxels_needs_8_points_and_not_120():
    mask = np.zeros((60, 40), bool)
    mask[10:50, 10:30] = True
    (line,) = closed_contours(mask)
    assert len(line) == 8


def test_an_empty_slice_has_no_contour():
    assert closed_contours(np.zeros((5, 5), bool)) == []


def test_two_parts_that_touch_at_a_corner_are_two_contours():
    mask = np.zeros((6, 6), bool)
    mask[1:3, 1:3] = mask[3:5, 3:5] = True
    assert len(closed_contours(mask)) == 2


def test_a_ring_is_one_contour_with_a_bridge_and_its_area_is_that_of_64_minus_16_voxels_less_the_corners():
    mask = np.zeros((12, 12), bool)
    mask[2:10, 2:10] = True
    mask[4:8, 4:8] = False
    (line,) = closed_contours(mask)
    x, y = line.T
    area = abs(0.5 * (x @ np.roll(y, -1) - y @ np.roll(x, -1)))
    assert area == pytest.approx((64 - 4 / 8) - (16 - 4 / 8))  # each corner, inside or outside, cuts off 1/8 voxel


def test_an_island_in_a_hole_is_a_contour_of_its_own():
    mask = np.ones((15, 15), bool)
    mask[3:12, 3:12] = False
    mask[6:9, 6:9] = True
    assert len(closed_contours(mask)) == 2


@settings(max_examples=60, deadline=None)
@given(arrays(bool, (9, 8)))
def test_counting_voxel_centres_inside_the_contours_gives_back_any_mask_exactly(mask):
    again = np.zeros(mask.shape, bool)
    for line in closed_contours(mask):
        again ^= polygon2mask(mask.shape, line)
    assert np.array_equal(again, mask)
