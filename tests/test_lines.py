"""Needles from maps of their cross-sections: places, tips, entries, parts, and what is no needle."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from section_maps import NAMES, REVERSED, affine_of, found_in, maps_of, needle

from prostate_seg.geometry.things import Thing
from prostate_seg.inference.grouping import things_in


@settings(max_examples=25, deadline=None)
@given(
    x=st.floats(-12, 12), y=st.floats(-12, 12), tip=st.floats(-10, 20), lean=st.floats(-0.1, 0.1),
    step=st.sampled_from([0.7, 1.0, 2.0, 5.0]),
)  # fmt: skip
def test_a_needle_is_found_with_its_tip_within_half_a_step(x, y, tip, lean, step):
    affine = affine_of(step)
    truth = needle(x, y, tip, lean)
    (found,) = found_in(truth, affine=affine, shape=(100, 80, int(80 / step)))
    assert found.structure == "Needle"
    assert abs(found.end_mm[2] - truth.end_mm[2]) <= step / 2 + 0.3
    assert np.hypot(*np.subtract(found.end_mm, truth.end_mm)[:2]) <= 0.3 + 0.1 * step
    assert found.angle_to_deg(truth) < 1.5


@pytest.mark.parametrize("tips", [(5.0, 12.0, 5.0), (38.0, 38.0, 5.0), (38.0,)])
def test_needles_start_at_the_end_that_they_come_nearer_to_in_any_order_of_the_slices(tips):
    """The last slice is at 38 mm. Of needles from end to end the inferior one is the entry."""
    needles = [needle(10.0 * number, tip=tip) for number, tip in enumerate(tips)]
    for affine in (affine_of(), affine_of() @ REVERSED):
        found = found_in(*needles, affine=affine)
        assert len(found) == len(tips)
        assert all(one.start_mm[2] == pytest.approx(-40.0) and one.end_mm[2] > 3 for one in found)


def test_needles_start_near_an_end_that_none_of_them_reaches():
    # Slices from -40 to 38 mm: all start 4 mm from one end, and end 10, 5 and 28 mm from the other.
    three = [Thing("Needle", (x, 0, -36.0), (x, 0, tip), 0.65) for x, tip in ((-10, 28), (0, 33), (10, 10))]
    assert all(one.start_mm[2] < one.end_mm[2] for one in found_in(*three))
    assert len(found_in(*three)) == 3


def test_a_needle_may_be_unseen_for_10_mm_and_a_line_of_6_mm_is_none():
    assert len(found_in(needle(), without=(10, 11))) == 1
    assert len(found_in(needle(), without=range(10, 14))) == 1
    assert sorted(round(one.end_mm[2]) for one in found_in(needle(), without=range(8, 14))) == [-25, 5]
    assert found_in(Thing("Needle", (0, 0, -6), (0, 0, 0), 0.65)) == []


def test_parts_of_a_needle_beside_each_other_are_one_needle():
    # The half beyond z = -15 appears 1 mm beside, as a second chain of peaks would: one needle, not two.
    maps = maps_of(needle()).numpy()
    shifted = maps_of(needle(x=1.2)).numpy()
    maps[..., 12:] = shifted[..., 12:]
    maps[..., 11:15] = np.maximum(maps, shifted)[..., 11:15]
    (one,) = things_in(maps, affine_of(), NAMES)
    assert one.start_mm[2] == pytest.approx(-40.0)
    assert one.end_mm[2] == pytest.approx(5.0, abs=1.3)


def test_needles_on_a_grid_of_5_mm_and_crossing_ones_are_all_found():
    grid = [needle(x, y) for x in (-10.0, -5.0, 0.0, 5.0, 10.0) for y in (-5.0, 0.0, 5.0)]
    assert len(found_in(*grid)) == 15
    crossing = [needle(-3.0, lean=0.13), needle(3.0, lean=-0.13)]
    found = found_in(*crossing)
    assert sorted(round(one.start_mm[0]) for one in found) == [-3, 3]
    assert all(one.length_mm > 40 for one in found)


def test_a_faint_tail_behind_the_tip_is_no_needle_and_two_lone_peaks_are_none():
    maps = maps_of(needle()).numpy()  # the tip at 5 mm, in slice 22
    maps[0, ..., 23:26] = 0.5 * maps[0, ..., 22:23]
    (found,) = things_in(maps, affine_of(), NAMES)
    assert found.end_mm[2] == pytest.approx(5.0, abs=1.0)  # and not 11, where the tail ends
    lone = maps_of(needle(), affine=affine_of(5.0), shape=(100, 80, 16)).numpy()
    lone[..., [0, 1, 2, 3, 5, 7, 8]] = 0  # left are slices 4 and 6
    assert things_in(lone, affine_of(5.0), NAMES) == []


def test_a_cross_section_that_is_more_likely_a_seed_is_none_of_a_needle():
    maps = maps_of(needle()).numpy()
    maps[1] = 1.2 * maps[0]
    assert "Needle" not in {one.structure for one in things_in(0.8 * maps, affine_of(), NAMES)}
