"""Seeds and calcifications from maps of their cross-sections: places, directions, scores, and what is none."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from section_maps import NAMES, affine_of, found_in, maps_of, seed

from prostate_seg.geometry.things import Thing, check_inside
from prostate_seg.inference.grouping import things_in


def test_a_seed_has_its_length_and_two_seeds_on_one_track_are_two():
    affine = affine_of(1.0)
    found = found_in(seed(z=0.0), seed(z=6.0), affine=affine, shape=(100, 80, 80))
    assert sorted(round(one.centre_mm[2]) for one in found) == [0, 6]
    assert [one.length_mm for one in found] == pytest.approx([4.5, 4.5], abs=0.05)
    ((long),) = [found_in(Thing("Seed", (0, 0, 0), (0, 0, 10), 0.4), affine=affine, shape=(100, 80, 80))]
    assert len(long) == 2  # 10 mm without a gap are two seeds end to end


def test_a_seed_at_the_last_slice_is_cut_off_there():
    (found,) = found_in(seed(z=39.0))
    check_inside([found], affine_of(), (100, 80, 40), tolerance_mm=0.0)
    assert found.length_mm < 4.5


@settings(max_examples=20, deadline=None)
@given(z=st.floats(-10, 10), step=st.sampled_from([1.0, 2.5, 2.5000001, 3.0, 5.0]), height=st.floats(0.1, 1.0))
def test_no_seed_is_more_certain_than_its_map_and_a_map_below_0_4_shows_none(z, step, height):
    maps = maps_of(seed(z=z), affine=affine_of(step), shape=(100, 80, int(80 / step))).numpy() * height
    found = things_in(maps, affine_of(step), NAMES)
    assert all(0.4 <= one.score <= height + 1e-3 for one in found)
    assert len(found) == 1 or height < 0.65


def test_a_wide_faint_blob_and_a_gray_map_are_no_seeds():
    across = np.hypot(*(np.indices((60, 60)) - 30)) * 0.6
    maps = np.zeros((3, 60, 60, 12), np.float32)
    maps[1, ..., 4:9] = 0.36 * np.exp(-(across**2) / (2 * 1.6**2))[..., None]
    assert things_in(maps, affine_of(1.0), NAMES) == []
    maps[1, ..., 4:9] = 0.3
    assert things_in(maps, affine_of(1.0), NAMES) == []


def test_seeds_5_mm_apart_are_two_and_two_places_within_1_mm_are_one():
    assert len(found_in(seed(x=-2.5), seed(x=2.5))) == 2
    assert len(found_in(seed(x=-0.5), seed(x=0.5))) == 1


def test_a_calcification_that_fades_along_the_slices_stays_in_the_image():
    maps = np.zeros((3, 40, 40, 30), np.float32)
    maps[2, 20, 20] = 0.31
    maps[2, 20, 20, :2] = 1.0
    (found,) = things_in(maps.astype(np.float16), affine_of(), NAMES)
    check_inside([found], affine_of(), (40, 40, 30), tolerance_mm=0.0)
    assert found.length_mm == pytest.approx(58.0)


def test_a_voxel_that_is_no_number_costs_nothing_else():
    maps = maps_of(seed(x=-5.0), seed(x=5.0)).numpy()
    maps[1, 20, 20, 0] = np.nan
    assert len(things_in(maps, affine_of(), NAMES)) == 2


def test_the_score_is_the_mean_probability_and_at_0_45_there_is_no_seed():
    maps = maps_of(seed()).numpy()
    assert things_in(0.65 * maps, affine_of(), NAMES)[0].score == pytest.approx(0.65, abs=0.05)
    assert things_in(0.45 * maps, affine_of(), NAMES) == []


@settings(max_examples=20, deadline=None)
@given(
    x=st.floats(-12, 12), y=st.floats(-12, 12), z=st.floats(-37.5, 35.5), turned=st.booleans(),
    step=st.sampled_from([0.8, 1.0, 2.0, 4.0]),
)  # fmt: skip
def test_a_seed_in_the_image_is_found_within_half_a_step_along_and_0_3_mm_across(x, y, z, step, turned):
    count = int(80 / step)
    affine = affine_of(step) @ (
        np.diag([1, 1, -1, 1]) + np.eye(4, k=1) * [[0, 0, 0, count - 1]] if turned else np.eye(4)
    )
    (found,) = found_in(seed(x, y, z), affine=affine, shape=(100, 80, count))
    assert abs(found.centre_mm[2] - z) <= step / 2 + 0.5
    assert np.hypot(found.centre_mm[0] - x, found.centre_mm[1] - y) <= 0.3
    assert found.score > 0.7


def test_half_a_seed_is_worth_half_a_score():
    # 4.5 mm of map give 1; a blob of one slice of 1 mm gives a quarter, and is no seed.
    maps = maps_of(seed(), affine=affine_of(1.0), shape=(100, 80, 80)).numpy()
    assert things_in(maps, affine_of(1.0), NAMES)[0].score > 0.95
    for k in (0, 40, 79):
        one = np.zeros_like(maps)
        one[..., k] = maps[..., 40]
        assert things_in(one, affine_of(1.0), NAMES) == []
