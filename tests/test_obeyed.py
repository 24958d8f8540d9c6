"""Hints are refused with both numbers, or every one is obeyed: contradictions, crossing outlines, wide brushes."""

import re
import time

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from test_correction import BALL, MIDDLE, SHAPE, SPACING, UP, at, corrected, image

from prostate_seg.correction.filled import filled
from prostate_seg.correction.moved import CONE_DEG, MANY, Gland, Places, moved
from prostate_seg.correction.placed import placed
from prostate_seg.correction.places import THINNED_MM, places_of
from prostate_seg.correction.through import pass_through
from prostate_seg.errors import GeometryError
from prostate_seg.geometry.hints import Contour, Hints, Plane, Point, Scribble

MIDDLE_SLICE = round(MIDDLE[2] / SPACING[2])


def ring(k, radius_mm, shift_mm=0.0):
    """The points of a circle around the ball's axis on a slice, or beside it."""
    angles = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    x, y = MIDDLE[0] + shift_mm + radius_mm * np.cos(angles), MIDDLE[1] + radius_mm * np.sin(angles)
    return tuple((float(a), float(b), k * SPACING[2]) for a, b in zip(x, y, strict=True))


def apart_pixels(mask, place):
    """Distance, in pixels, of a point from the nearest middle of a side between inside and outside on its slice."""
    index = np.array(place) / SPACING
    here = np.pad(mask[:, :, int(np.rint(index[2]))], 1)
    sides = [np.argwhere(here.swapaxes(0, n)[1:] != here.swapaxes(0, n)[:-1])[:, [n, 1 - n]] for n in (0, 1)]
    middles = np.concatenate([side - 1 + 0.5 * np.eye(2)[n] for n, side in enumerate(sides)])
    return float(np.linalg.norm(middles - index[:2], axis=1).min(initial=np.inf))


inside_mm = st.tuples(*[st.floats(0.1 * n * mm, 0.9 * n * mm) for n, mm in zip(SHAPE, SPACING, strict=True)])
near_mm = st.tuples(st.floats(-1, 1), st.floats(-1, 1), st.floats(-1, 1), st.floats(2, 27)).map(
    lambda v: at(np.array(v[:3]) + 1e-3, v[3])
)
place_mm = st.one_of(near_mm, near_mm, inside_mm)
slices = st.integers(MIDDLE_SLICE - 5, MIDDLE_SLICE + 5)
hint = st.one_of(
    st.builds(Point, st.sampled_from(["inside", "outside", "boundary", "boundary"]), place_mm),
    st.builds(Point, st.just("boundary"), place_mm),
    st.builds(Plane, st.sampled_from(["apex", "base"]), place_mm),
    st.builds(
        lambda side, path, r: Scribble(side, tuple(path), r),
        st.sampled_from(["inside", "outside"]),
        st.lists(place_mm, min_size=1, max_size=3),
        st.floats(0, 6),
    ),
    st.builds(
        lambda k, r, s: Contour((0.0, 0.0, k * SPACING[2]), (ring(k, r, s),)),
        slices,
        st.floats(3, 20),
        st.floats(-9, 9),
    ),
    st.builds(lambda k: Contour((0.0, 0.0, k * SPACING[2])), slices),
)


@settings(max_examples=60)
@given(st.lists(hint, min_size=1, max_size=6))
@example([Point("boundary", at(UP, 26))])
@example([Scribble("inside", (at(UP, 1),), 10.0), Point("boundary", at(UP, 1))])
@example([Plane("base", (0.0, 0.0, 40.0)), Point("boundary", (40.0, 32.0, 40.4))])
@example([Point("boundary", at((1, 0, 0), 10.0)), Point("inside", at((1, 0, 0), 16.0))])
def test_a_mix_of_hints_is_refused_with_2_numbers_or_every_one_is_obeyed(hints):
    try:
        mask = corrected(BALL, *hints) >= 0.5
    except GeometryError as error:
        text = str(error).lower()
        assert len({*re.findall(r"hint \d+", text)}) == 2 or "lies beyond all slices" in text
        return
    on_grid = placed(Hints(tuple(hints)), image())
    assert mask[tuple(on_grid.inside.T)].all()
    assert not mask[tuple(on_grid.outside.T)].any()
    assert not mask[:, :, on_grid.empty_slices()].any()
    assert all(np.array_equal(mask[:, :, k], drawn) for k, drawn in on_grid.contours.items())
    points = [one.at_mm for one in hints if isinstance(one, Point) and one.side == "boundary"]
    assert max((apart_pixels(mask, point) for point in points), default=0) <= 0.75


K = MIDDLE_SLICE * SPACING[2]
FAR = at((1, 0, 0), 18.0)
AXIS = at(UP, 0)
OFF = (MIDDLE[0] + 15 + 1.4 * SPACING[0], float(MIDDLE[1]), K)
BEYOND = (*FAR[:2], K + 0.4 * SPACING[2])
AGAINST = {
    "amid a brush inside": (Scribble("inside", (AXIS,), 9.0), Point("boundary", AXIS), "it lies amid its voxels"),
    "amid a brush outside": (Scribble("outside", (FAR,), 6.0), Point("boundary", FAR), "it lies amid its voxels"),
    "no slice between": (
        Plane("apex", (0.0, 0.0, K + 0.3 * SPACING[2])),
        Plane("base", (0.0, 0.0, K + 0.9 * SPACING[2])),
        "no slice lies between them",
    ),
    "1.4 pixels off": (
        Contour((0.0, 0.0, K), (ring(MIDDLE_SLICE, 15.0),)),
        Point("boundary", OFF),
        "it is not on the contour of slice",
    ),
    "0.4 slices beyond": (
        Plane("base", (0.0, 0.0, K)),
        Point("boundary", BEYOND),
        "it lies beyond the plane of the",
    ),
}


@pytest.mark.parametrize("name", AGAINST)
def test_5_contradictions_of_the_boundary_and_of_planes_are_refused(name):
    one, other, why = AGAINST[name]
    with pytest.raises(
        GeometryError, match=rf"Hint \d .* contradicts hint \d .*: .*{why}.*; leave one of the two out"
    ):
        placed(Hints((one, other)), image())


def test_a_plane_beyond_the_last_slice_is_refused_as_nothing_would_be_left():
    top = (SHAPE[2] - 0.6) * SPACING[2]
    with pytest.raises(GeometryError, match=r"Hint 1 \(plane of the apex\) lies beyond all slices"):
        placed(Hints((Plane("apex", (0.0, 0.0, top)),)), image())


def test_a_point_6_mm_above_a_ball_of_20_mm_is_on_the_boundary_of_its_slice():
    point = at(UP, 26.0)
    mask = corrected(BALL, Point("boundary", point)) >= 0.5
    assert apart_pixels(mask, point) <= 0.75
    assert mask[:, :, int(np.rint(point[2] / SPACING[2]))].any()


def test_through_a_full_and_an_empty_slice_the_boundary_passes_at_the_point_by_1_pixel_each():
    for full in (True, False):
        before = np.full((9, 9), full)
        after, missed = pass_through(before, np.zeros((9, 9), bool), np.array([[4.2, 4.0]]), (1.0, 1.0))
        assert missed is None
        assert int((after != before).sum()) == 1


def test_2_points_with_1_free_pixel_between_fixed_ones_cannot_both_be_passed():
    inside = np.zeros((7, 7), bool)
    inside[:3] = True
    fixed = np.ones((7, 7), bool)
    _, missed = pass_through(inside, fixed, np.array([[2.5, 3.0], [5.5, 3.0]]), (1.0, 1.0))
    assert missed == 1


def square(low, high):
    return np.array([[low, low], [high, low], [high, high], [low, high]], float)


def test_outlines_that_cross_or_repeat_each_other_are_refused_and_holes_and_islands_are_not():
    hole, island = square(4.5, 7.5), square(15.5, 18.5)
    mask = filled([square(1.5, 10.5), hole, island], (20, 20), "hint 1 (contour)")
    assert int(mask.sum()) == 9 * 9 - 3 * 3 + 3 * 3
    for other in (square(3.5, 12.5), square(1.5, 10.5)):
        with pytest.raises(GeometryError, match=r"Hint 1 \(contour\) has outlines 2 and 3 that cross each other"):
            filled([island, square(1.5, 10.5), other], (20, 20), "hint 1 (contour)")


def test_a_brush_of_50_mm_is_answered_in_seconds_and_few_points_are_all_kept():
    hints = Hints((Scribble("inside", (tuple(map(float, MIDDLE)),), 50.0),))
    volume = image()
    places = places_of(placed(hints, volume), volume.affine, volume.affine)
    gland = Gland.of(BALL, SPACING)
    start = time.monotonic()
    _, known = moved(gland, places)
    assert time.monotonic() - start < 20  # 236 s before points were thinned, about 1 s now
    assert len(places.inside) > MANY
    assert len(known.directions) < 1000
    few = np.array([at((np.cos(a), np.sin(a), 0), 22.0) for a in np.radians(np.arange(0, 360, CONE_DEG))])
    _, known = moved(gland, Places(inside=few))
    assert len(known.directions) >= len(few)  # 3.8 mm apart


@settings(max_examples=20)
@given(st.integers(1, 400), st.integers(0, 9))
def test_of_the_voxels_of_a_brush_the_first_in_each_cube_counts(count, seed):
    volume = image()
    voxels = np.argwhere(BALL >= 0.5)[np.random.default_rng(seed).permutation(count)]
    on_grid = placed(Hints(()), volume)
    thinned = places_of(type(on_grid)(on_grid.slices, inside=voxels), volume.affine, volume.affine).inside
    _, first = np.unique(np.rint(voxels * SPACING / THINNED_MM), axis=0, return_index=True)
    np.testing.assert_allclose(thinned, (voxels * SPACING)[np.sort(first)])
