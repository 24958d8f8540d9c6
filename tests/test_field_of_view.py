"""The fan stays whole; text, rulers and colour bars around it go."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.examples import get_path

from prostate_seg.reading.dicom.pixels import decode_luma
from prostate_seg.reading.dicom.ultrasound import read_header
from prostate_seg.reading.field_of_view import blacken_outside, field_of_view, over_frames

SIZE = (320, 240)


def fan(angle_deg=60.0, turn_deg=0.0, size=SIZE):
    """Bool (I, J): a sector between two arcs, opening upwards from the bottom centre, turned by turn_deg."""
    i, j = np.indices(size)
    x, y = i - size[0] / 2, size[1] * 0.92 - j
    radius, angle = np.hypot(x, y), np.degrees(np.arctan2(x, y)) - turn_deg
    return (np.abs(angle) < angle_deg) & (radius > size[1] * 0.1) & (radius < size[1] * 0.8)


def speckled(mask, frames=3, dark=0.0):
    """Rayleigh speckle inside the mask, 0 outside; dark is the share of black pixels inside."""
    random = np.random.default_rng(5)
    speckle = np.clip(random.rayleigh(40, (*mask.shape, frames)), 1, 255)
    speckle[random.random(speckle.shape) < dark] = 0
    return (speckle * mask[..., None]).astype(np.uint8)


def with_annotations(array):
    """A gray bar, a ruler, a caption and a status line beside the fan, in every frame."""
    array = array.copy()
    array[2:8, 20:160] = np.linspace(255, 10, 140).astype(np.uint8)[None, :, None]
    array[-6:-1, 10:230:20] = 255
    for start in range(10, 90, 7):
        array[start : start + 3, 5:12] = 220
        array[start + 3 : start + 5, 8] = 220
    array[4:120, 232:236] = 90
    return array


@settings(max_examples=15, deadline=None)
@given(st.floats(35, 44), st.floats(-5, 5), st.floats(0.0, 0.4))
def test_no_pixel_of_a_fan_is_lost_and_no_annotation_kept(angle_deg, turn_deg, dark):
    shape = fan(angle_deg, turn_deg)
    clean = speckled(shape, dark=dark)
    array = with_annotations(clean)
    mask = field_of_view(array)
    assert not (shape & ~mask).any()
    blacken_outside(array, mask)
    assert not array[2:8, 20:100].any()
    assert not array[10:60, 5:12].any()


def test_the_kept_area_is_the_convex_fan_and_a_margin_of_a_few_pixels():
    shape = fan()
    mask = field_of_view(with_annotations(speckled(shape)))
    assert shape.sum() < mask.sum() < 1.3 * shape.sum()


def test_a_shadow_that_splits_the_fan_and_a_dark_far_field_stay_in_view():
    shape = fan()
    array = speckled(shape)
    array[150:170] = 0  # a shadow of 20 pixels
    array[:, :60] = array[:, :60] // 20  # a far field of a few gray levels
    assert not (shape & ~field_of_view(array)).any()


def test_an_image_without_black_surround_is_kept_whole():
    assert field_of_view(speckled(np.ones(SIZE, bool))).all()
    noise = np.random.default_rng(0).integers(3, 10, (*SIZE, 2)).astype(np.uint8)
    noise[100:200, 60:180] = 200  # the low-passed kind: bright middle, gray noise around it
    assert field_of_view(noise).all()


def test_a_nearly_black_image_is_kept_whole():
    array = np.zeros((*SIZE, 2), np.uint8)
    array[150:170, 100:110] = 255
    assert field_of_view(array).all()


def test_the_union_over_frames_counts():
    left, right = np.zeros((2, *SIZE), bool)
    left[60:170, 40:200] = right[150:260, 40:200] = True
    array = np.concatenate([speckled(left, 1), speckled(right, 1)], axis=2)
    mask = field_of_view(array)
    assert mask[60:260, 40:200].all()
    assert not mask[:50].any()


def test_nothing_beyond_the_calibrated_region_is_kept_even_where_it_is_bright():
    allowed = np.zeros(SIZE, bool)
    allowed[40:280, 20:220] = True
    mask = field_of_view(speckled(np.ones(SIZE, bool)), allowed)
    np.testing.assert_array_equal(mask, allowed)
    assert not field_of_view(speckled(fan()), np.zeros(SIZE, bool)).any()


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 3, 1), (8, 8, 4)])
def test_tiny_images_have_a_field_of_view(shape):
    array = np.random.default_rng(0).random(shape).astype(np.float32)
    assert field_of_view(array).shape == shape[:2]


def test_black_is_the_minimum_of_a_normalised_image():
    array = np.full((4, 4, 2), -1.5, np.float32)
    array[1:3, 1:3] = 2.0
    mask = np.zeros((4, 4), bool)
    mask[1:3, 1:3] = True
    array[0, 0] = 9.0
    blacken_outside(array, mask)
    assert array[0, 0, 0] == -1.5
    assert array[1, 1, 0] == 2.0


def test_a_field_of_view_over_frames_costs_no_memory():
    mask = over_frames(np.ones((512, 512), bool), 1000)
    assert mask.shape == (512, 512, 1000)
    assert mask.strides[2] == 0


def probe_in_air(size=(320, 240)):
    """A fan of gray 1 with a bright near field, as a scanner draws a probe that touches nothing."""
    shape = fan(size=size)
    _, j = np.indices(size)
    array = shape.astype(np.uint8)[..., None].copy()
    near = shape & (j > size[1] * 0.45)
    array[near] = np.random.default_rng(3).integers(60, 255, (near.sum(), 1))
    return shape, near, array


def test_g6_the_fan_of_a_probe_in_air_is_kept_whole_though_only_its_near_field_is_bright():
    shape, near, array = probe_in_air()
    mask = field_of_view(array)
    assert near.sum() < 0.75 * shape.sum()
    assert not (shape & ~mask).any()
    assert mask.sum() < 1.3 * shape.sum()


def test_g6_text_beside_a_probe_in_air_is_still_removed():
    shape, _, array = probe_in_air()
    mask = field_of_view(with_annotations(array))
    assert not (shape & ~mask).any()
    assert not mask[10:60, 5:12].any()


def test_g6_pydicoms_palette_example_cut_to_its_probe_of_which_gray_1_is_the_border_is_kept_whole():
    array = next(decode_luma(get_path("palette_color"), read_header(get_path("palette_color")))).T[..., None]
    allowed = np.zeros(array.shape[:2], bool)
    allowed[300:640, 55:230] = True
    assert ((array[..., 0] == 1) & allowed).sum() > 20000
    np.testing.assert_array_equal(field_of_view(array, allowed), allowed)


def test_g6_an_image_of_which_a_quarter_would_be_lost_to_noise_of_gray_1_is_kept_whole():
    shape = fan(30)
    array = np.random.default_rng(4).random((*SIZE, 1)) < 0.3
    array = np.where(shape[..., None], 200, array).astype(np.uint8)
    assert field_of_view(array).all()
