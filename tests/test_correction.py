"""Hints move the boundary to where they are, smoothly around them, and every one is obeyed."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_shape_prior import SHAPE, SPACING, soft_ellipsoid

from prostate_seg.assessment.rays import cast_rays, sphere
from prostate_seg.correction.between import fill_between
from prostate_seg.correction.kriging import NOTHING_KNOWN, Known, covariance
from prostate_seg.correction.moved import Gland, Places, moved
from prostate_seg.correction.obeyed import obey
from prostate_seg.correction.placed import placed
from prostate_seg.correction.places import places_of
from prostate_seg.correction.suggest import best_ray
from prostate_seg.errors import GeometryError
from prostate_seg.geometry.hints import Contour, Hints, Plane, Point, Scribble
from prostate_seg.geometry.source import Source
from prostate_seg.geometry.volume import Volume

BALL = soft_ellipsoid((20.0,) * 3)
MIDDLE = (np.array(SHAPE) - 1) / 2 * SPACING  # of the ball, in mm
UP = np.array([0.0, 0.0, 1.0])


def image(shape=SHAPE, spacing=SPACING, sha256=""):
    """A volume whose RAS mm are index times spacing."""
    return Volume(np.ones(shape, np.uint8), np.diag([*spacing, 1.0]), source=Source("array", sha256))


def corrected(field, *hints):
    """A probability corrected as a session does it, on one grid."""
    volume = image()
    on_grid = placed(Hints(hints), volume)
    result, _ = moved(Gland.of(field, SPACING), places_of(on_grid, volume.affine, volume.affine))
    return obey(result.copy(), on_grid, SPACING)


def at(direction, radius_mm):
    """A point at a distance from the ball's middle."""
    unit = np.asarray(direction, float) / np.linalg.norm(direction)
    return tuple((MIDDLE + radius_mm * unit).tolist())


def radius_along(field, direction):
    gland = Gland(field, np.zeros(SHAPE, bool), np.array(SPACING), MIDDLE)
    return float(gland.radii_along(field, np.asarray(direction, float)[None])[0])


def test_the_estimate_is_exact_at_3_known_errors_and_fades_by_e_in_35_degrees():
    known = Known(np.eye(3), np.zeros(3))
    weights = known.weights(np.array([1.0, -2.0, 3.0]))
    assert covariance(np.eye(3), np.eye(3)) @ weights == pytest.approx([1, -2, 3], abs=1e-4)
    turned = np.array([[np.sin(np.radians(35)), 0, np.cos(np.radians(35))]])
    assert covariance(turned, UP[None])[0, 0] == pytest.approx(np.exp(-1))
    assert known.left(np.eye(3)) == pytest.approx([0, 0, 0], abs=1e-5)
    assert NOTHING_KNOWN.left(np.eye(3)) == pytest.approx([1, 1, 1])


@given(
    direction=st.tuples(*[st.floats(-1, 1)] * 3).filter(lambda v: np.linalg.norm(v) > 0.2),
    radius=st.floats(15, 25),
)
@settings(max_examples=10, deadline=None)
def test_a_boundary_point_moves_a_ball_of_20_mm_there_and_leaves_the_far_side(direction, radius):
    gland = Gland.of(BALL, SPACING)
    unit = np.array(direction) / np.linalg.norm(direction)
    field, _ = moved(gland, Places(boundary=(MIDDLE + radius * unit)[None]))
    assert radius_along(field, unit) == pytest.approx(radius, abs=1.0)  # half a slice
    assert radius_along(field, -unit) == pytest.approx(20, abs=0.35)


def test_no_hint_changes_no_bit():
    gland = Gland.of(BALL, SPACING)
    field, known = moved(gland, Places())
    assert field is gland.field
    assert known is NOTHING_KNOWN
    assert np.array_equal(corrected(BALL), BALL)


@given(data=st.data())
@settings(max_examples=10, deadline=None)
def test_every_hint_is_obeyed_voxel_by_voxel(data):
    draw = data.draw
    directions = [
        v / np.linalg.norm(v) for v in (np.array([1, 0, 0.1]), np.array([-1, 0.2, 0]), np.array([0, 1, 0]))
    ]
    radii = [draw(st.floats(14, 26)) for _ in range(3)]
    inside, outside = at((0, -1, 0), draw(st.floats(8, 20))), at((0.2, -1, 1), draw(st.floats(24, 27)))
    plane = Plane("apex", at(-UP, draw(st.floats(14, 24))))
    points = [Point("boundary", at(v, r)) for v, r in zip(directions, radii, strict=True)]
    field = corrected(BALL, *points, Point("inside", inside), Point("outside", outside), plane)
    mask = field >= 0.5
    assert mask[tuple(np.rint(np.array(inside) / SPACING).astype(int))]
    assert not mask[tuple(np.rint(np.array(outside) / SPACING).astype(int))]
    heights = np.arange(SHAPE[2]) * SPACING[2]
    assert not mask[:, :, heights < plane.at_mm[2]].any()
    for point in points:
        place = np.array(point.at_mm) / SPACING
        edge = mask[:, :, round(place[2])]
        crossings = [np.argwhere(np.diff(edge, axis=axis)) + 0.5 * np.eye(2)[axis] for axis in (0, 1)]
        apart = np.linalg.norm((np.concatenate(crossings) - place[:2]) * SPACING[:2], axis=1)
        assert apart.min() <= 1.5  # one voxel


def test_a_contour_is_taken_voxel_by_voxel_and_moves_the_slices_beside_it():
    k = SHAPE[2] // 2
    angles = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    ring = [(MIDDLE[0] + 25 * np.cos(a), MIDDLE[1] + 25 * np.sin(a), k * SPACING[2]) for a in angles]
    mask = corrected(BALL, Contour(ring[0], (tuple(ring),))) >= 0.5
    area = mask[:, :, k].sum() * 1.5**2
    assert area == pytest.approx(np.pi * 25**2, rel=0.03)
    beside = mask[:, :, k + 1].sum() * 1.5**2
    assert beside > 1.2 * np.pi * 20**2


def test_a_scribble_outside_pushes_the_boundary_back():
    path = (at((1, -0.3, 0), 17.0), at((1, 0, 0), 17.0), at((1, 0.3, 0), 17.0))
    mask = corrected(BALL, Scribble("outside", path, 2.0)) >= 0.5
    assert not mask[tuple(np.rint(np.array(path[1]) / SPACING).astype(int))]
    assert radius_along(mask.astype(np.float32), (1, 0, 0.2)) < 19.5  # beside the stroke


def test_kriging_is_what_moves_the_gland_without_it_3_points_change_little():
    truth = soft_ellipsoid((23.0, 20.0, 20.0)) >= 0.5
    points = [Point("boundary", at(v, 23.0)) for v in ((1, 0, 0), (-1, 0, 0))]
    volume = image()
    alone = obey(BALL.copy(), placed(Hints(tuple(points)), volume), SPACING) >= 0.5
    mask = corrected(BALL, *points) >= 0.5
    first, pulled, kriged = (int((one ^ truth).sum()) for one in (BALL >= 0.5, alone, mask))
    assert kriged < 0.75 * first
    assert kriged < 0.85 * pulled


def test_the_edge_is_sharper_at_a_hint_and_as_before_on_the_far_side():
    soft = soft_ellipsoid((20.0,) * 3, edge_mm=12.0)
    field = corrected(soft, Point("boundary", at((1, 0, 0), 20.0)))
    near, far = (tuple(np.rint(np.array(at(v, 17.0)) / SPACING).astype(int)) for v in ((1, 0, 0), (-1, 0, 0)))
    assert field[near] > soft[near] + 0.1
    assert field[far] == pytest.approx(soft[far], abs=0.02)


def test_slices_between_contours_of_a_cylinder_are_the_cylinder():
    disc = (np.indices((60, 60)) - 29.5) ** 2
    disc = disc.sum(axis=0) <= 15**2
    field = np.zeros((60, 60, 12), np.float32)
    fill_between(field, {2: disc, 9: disc}, pixel_mm=(1.0, 1.0), gap_mm=2.0)
    assert all(np.array_equal(field[:, :, k] >= 0.5, disc) for k in range(3, 9))
    assert not field[:, :, [0, 1, 10, 11]].any()


def test_contours_40_mm_apart_determine_nothing_between_them():
    disc = np.ones((8, 8), bool)
    field = np.zeros((8, 8, 21), np.float32)
    fill_between(field, {0: disc, 20: disc}, pixel_mm=(1.0, 1.0), gap_mm=2.0)
    assert not field.any()


def test_the_best_place_for_a_hint_is_where_the_edge_is_widest_and_no_hint_was():
    offsets = np.moveaxis(np.indices(SHAPE), 0, -1) * SPACING - MIDDLE
    distance = np.linalg.norm(offsets, axis=-1)
    edge = np.where(offsets[..., 0] > 0.7 * distance, 12.0, 2.0)
    field = np.clip(0.5 + (20 - distance) / edge, 0, 1).astype(np.float32)
    rays = cast_rays(field, SPACING)
    ray, gain = best_ray(rays, NOTHING_KNOWN)
    assert sphere()[ray, 0] > 0.7
    assert 0.1 < gain < 1
    other, less = best_ray(rays, Known(sphere()[[ray]], np.zeros(1)))
    assert less < gain
    assert sphere()[other] @ sphere()[ray] < 0.9


@pytest.mark.parametrize(
    ("hints", "told"),
    [
        ((Plane("apex", at(UP, 10)), Plane("base", at(-UP, 10))), "the apex lies above the base"),
        ((Point("inside", at(UP, 5)), Point("outside", at(UP, 5))), "both hold the same voxel"),
        ((Plane("base", at(UP, 5)), Point("inside", at(UP, 15))), "it lies beyond the plane of the base"),
        ((Plane("base", at(UP, 5)), Point("boundary", at(UP, 15))), "it lies beyond the plane of the base"),
        ((Contour(at(UP, 1)), Point("inside", (40.0, 32.0, 36.0))), "it is not inside the contour of slice"),
    ],
)
def test_two_hints_that_contradict_each_other_are_both_named(hints, told):
    with pytest.raises(GeometryError) as error:
        placed(Hints(hints), image())
    assert told in str(error.value)
    assert "hint 1" in str(error.value).lower()
    assert "hint 2" in str(error.value).lower()


def test_a_point_outside_the_image_and_hints_for_another_image_are_refused():
    with pytest.raises(GeometryError, match=r"Hint 1 \(inside point\) lies outside the image by 66\.7 voxels"):
        placed(Hints((Point("inside", (-100.75, 0.0, 0.0)),)), image())
    with pytest.raises(GeometryError, match=r"another image .*abababab, here is cdcdcdcd"):
        placed(Hints((), "ab" * 32), image(sha256="cd" * 32))


def test_more_than_1000_hints_are_refused():
    with pytest.raises(GeometryError, match="1001 hints were given, expected at most 1000"):
        Hints((Point("inside", (0.0, 0.0, 0.0)),) * 1001)
