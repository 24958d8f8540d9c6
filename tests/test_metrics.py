import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from prostate_seg.errors import GeometryError, SettingsError
from prostate_seg.evaluation.metrics import (
    diagonal_mm,
    evaluate_masks,
    orthogonal_spacing_mm,
    overlap,
    surface,
    surface_distances,
)
from prostate_seg.evaluation.metrics.masks import boundary

EMPTY = np.zeros((4, 5, 6), bool)


def box(shape, *ranges):
    mask = np.zeros(shape, bool)
    mask[tuple(slice(*r) for r in ranges)] = True
    return mask


def ellipsoid(shape, center, radii):
    grid = np.ogrid[tuple(slice(n) for n in shape)]
    return sum(((g - c) / r) ** 2 for g, c, r in zip(grid, center, radii, strict=True)) <= 1


def brute_force_boundary(mask):
    found = []
    for voxel in np.argwhere(mask):
        for axis in range(mask.ndim):
            for step in (-1, 1):
                other = voxel.copy()
                other[axis] += step
                outside = not 0 <= other[axis] < mask.shape[axis]
                if outside or not mask[tuple(other)]:
                    found.append(tuple(voxel))
    return np.array(sorted(set(found)), float).reshape(-1, mask.ndim)


def brute_force_directed(a, b, spacing):
    p, q = brute_force_boundary(a) * spacing, brute_force_boundary(b) * spacing
    return np.sqrt(((p[:, None] - q[None]) ** 2).sum(-1)).min(1)


def test_a_cube_shifted_by_two_of_its_four_voxels_has_dice_one_half_and_distance_two_spacings():
    a = box((12, 12, 12), (2, 6), (2, 6), (2, 6))  # 64 voxels
    b = box((12, 12, 12), (4, 8), (2, 6), (2, 6))  # 32 shared
    m = evaluate_masks(a, b, (1.5, 1.0, 1.0))
    assert m.dice == 2 * 32 / 128
    assert m.hd_mm == 3.0  # 2 voxels of 1.5 mm
    assert m.volume_ml == pytest.approx(64 * 1.5 / 1000)
    assert m.volume_error_ml == m.relative_volume_error == 0.0


@pytest.mark.parametrize(("axis", "expected_mm"), [(0, 0.5 * 3), (1, 1.0 * 3), (2, 4.0 * 3)])
def test_planes_three_voxels_apart_are_three_spacings_apart_along_each_axis(axis, expected_mm):
    a, b = np.zeros((2, 8, 8, 8), bool)
    a[(slice(None),) * axis + (2,)] = True
    b[(slice(None),) * axis + (5,)] = True
    m = evaluate_masks(a, b, (0.5, 1.0, 4.0))
    assert (m.hd_mm, m.hd95_mm, m.assd_mm, m.dice) == (expected_mm, expected_mm, expected_mm, 0.0)


def test_single_voxels_at_3_and_4_mm_are_5_mm_apart():
    a, b = np.zeros((2, 9, 9, 9), bool)
    a[1, 1, 1] = b[4, 3, 1] = True
    m = evaluate_masks(a, b, (1.0, 2.0, 7.0))
    assert m.hd_mm == m.hd95_mm == m.assd_mm == 5.0


def test_hd95_is_the_larger_directed_percentile_not_that_of_both_together():
    # Reference: a line of 1 voxel. Prediction: 21 voxels on a line, at distances 0, 1, ..., 20 mm.
    a, b = np.zeros((2, 21, 3, 3), bool)
    a[:, 1, 1] = True
    b[0, 1, 1] = True
    m = evaluate_masks(a, b, (1.0, 1.0, 1.0))
    assert m.hd_mm == 20.0
    assert m.hd95_mm == 19.0  # 95 % of rank 20
    assert m.assd_mm == pytest.approx(sum(range(21)) / 22)


def test_a_twentieth_of_volume_too_much_is_a_relative_error_of_0_05():
    a, b = box((5, 5, 30), (0, 2), (0, 2), (0, 21)), box((5, 5, 30), (0, 2), (0, 2), (0, 20))
    m = evaluate_masks(a, b, (2.0, 2.0, 5.0))
    assert m.reference_volume_ml == pytest.approx(80 * 20 / 1000)
    assert m.volume_error_ml == pytest.approx(4 * 20 / 1000)
    assert m.relative_volume_error == pytest.approx(0.05)
    assert evaluate_masks(b, a, (2.0, 2.0, 5.0)).volume_error_ml == pytest.approx(-0.08)


def test_both_empty_is_dice_1_and_distance_0():
    m = evaluate_masks(EMPTY, EMPTY, (1, 1, 1))
    assert (m.dice, m.hd_mm, m.hd95_mm, m.assd_mm) == (1.0, 0.0, 0.0, 0.0)
    assert (m.volume_ml, m.volume_error_ml, m.relative_volume_error) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize("voxels", [1, 8])
def test_one_empty_is_dice_0_and_infinite_distances_whichever_side_and_however_small(voxels):
    mask = EMPTY.copy()
    mask.flat[:voxels] = True
    missed, invented = evaluate_masks(EMPTY, mask, (1, 1, 1)), evaluate_masks(mask, EMPTY, (1, 1, 1))
    for m in (missed, invented):
        assert (m.dice, m.hd_mm, m.hd95_mm, m.assd_mm) == (0.0, np.inf, np.inf, np.inf)
    assert missed.relative_volume_error == -1.0
    assert missed.volume_error_ml == pytest.approx(-voxels / 1000)
    assert invented.relative_volume_error == np.inf


def test_the_image_border_counts_as_outside():
    # All 27 voxels set: only the one in the centre is not boundary, so 26 surface voxels.
    full = np.ones((3, 3, 3), bool)
    assert surface_distances(full, full, (1, 1, 1)).to_reference.size == 26
    # and a full image against its central voxel is sqrt(3) away at the corners
    assert evaluate_masks(full, box((3, 3, 3), (1, 2), (1, 2), (1, 2)), (1, 1, 1)).hd_mm == pytest.approx(3**0.5)


def test_one_slice_is_measured_in_its_plane_and_has_no_volume():
    a, b = box((9, 9, 1), (1, 6), (1, 6), (0, 1)), box((9, 9, 1), (3, 4), (3, 4), (0, 1))
    found = surface_distances(a, b, (0.5, 0.5, 3.0))
    assert found.to_reference.size == 16  # the rim of 5 x 5, not all 25
    in_3d, in_2d = evaluate_masks(a, b, (0.5, 0.5, 3.0)), evaluate_masks(a[..., 0], b[..., 0], (0.5, 0.5))
    assert in_3d == in_2d
    assert in_3d.hd_mm == pytest.approx(2 * 0.5 * 2**0.5)
    assert in_3d.volume_ml is None
    assert in_3d.relative_volume_error is None


def test_an_image_of_one_voxel_and_one_of_none_are_measured():
    assert evaluate_masks(np.ones((1, 1, 1), bool), np.ones((1, 1, 1), bool), (1, 1, 1)).hd_mm == 0.0
    assert evaluate_masks(np.ones((0, 3, 3), bool), np.ones((0, 3, 3), bool), (1, 1, 1)).dice == 1.0


def test_an_oblique_affine_keeps_its_spacing_and_a_sheared_one_is_refused():
    angle = np.radians(30)
    rotation = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    affine = np.eye(4)
    affine[:3, :3] = rotation @ np.diag([0.3, 0.4, 3.0])
    assert orthogonal_spacing_mm(affine) == pytest.approx((0.3, 0.4, 3.0))
    affine[0, 2] += 3.0  # the slices move sideways by as much as they move up: 45 degrees
    with pytest.raises(GeometryError, match=r"sheared: two of its axes meet at 5.*expected 90; resample"):
        orthogonal_spacing_mm(affine)


def test_bad_masks_and_spacings_are_refused_in_one_sentence():
    with pytest.raises(GeometryError, match=r"shape \(4, 5, 6\), the reference \(4, 5, 5\)"):
        overlap(EMPTY, EMPTY[..., :5])
    with pytest.raises(SettingsError, match=r"prediction is not a mask: it holds the value 0\.5"):
        overlap(np.full((2, 2, 2), 0.5), np.zeros((2, 2, 2)))
    with pytest.raises(SettingsError, match="reference is not a mask: it holds the value nan"):
        overlap(np.zeros((2, 2, 2)), np.full((2, 2, 2), np.nan))
    for spacing in [(1, 1), (1, 1, 0), (1, 1, np.nan), (1, 1, -2)]:
        with pytest.raises(SettingsError, match="3 positive lengths in mm"):
            surface_distances(EMPTY, EMPTY, spacing)


def test_the_diagonal_of_3_by_4_by_12_mm_is_13_mm():
    assert diagonal_mm((3, 2, 4), (1.0, 2.0, 3.0)) == pytest.approx(13.0)


masks_3d = arrays(bool, st.tuples(*[st.integers(1, 5)] * 3))
spacings = st.tuples(*[st.floats(0.2, 5.0)] * 3)


@st.composite
def pairs(draw):
    a = draw(masks_3d)
    return a, draw(arrays(bool, a.shape)), draw(spacings)


@settings(max_examples=60, deadline=None)
@given(pairs())
def test_both_exact_ways_equal_brute_force_over_all_pairs_of_boundary_voxels(pair):
    a, b, spacing = pair
    if not (a.any() and b.any() and min(a.shape) > 1):
        return
    expected = brute_force_directed(a, b, spacing), brute_force_directed(b, a, spacing)
    found = surface_distances(a, b, spacing)
    np.testing.assert_allclose(np.sort(found.to_reference), np.sort(expected[0]), atol=1e-9)
    np.testing.assert_allclose(np.sort(found.to_prediction), np.sort(expected[1]), atol=1e-9)
    surfaces = [boundary(m, (0, 1, 2)) for m in (a, b)]
    for way in (surface._to_nearest, surface._to_nearest_by_transform):
        np.testing.assert_allclose(way(*surfaces, np.array(spacing)), expected[0], atol=1e-9)
    m = evaluate_masks(a, b, spacing)
    assert m.hd_mm == pytest.approx(max(e.max() for e in expected))
    assert m.hd95_mm == pytest.approx(max(np.percentile(e, 95) for e in expected), abs=1e-9)
    assert m.assd_mm == pytest.approx(np.concatenate(expected).mean(), abs=1e-9)
    assert m.hd_mm <= diagonal_mm(a.shape, spacing)


@settings(max_examples=40, deadline=None)
@given(pairs())
def test_metrics_are_symmetric_zero_on_the_diagonal_and_scale_with_the_spacing(pair):
    a, b, spacing = pair
    there, back = evaluate_masks(a, b, spacing), evaluate_masks(b, a, spacing)
    for name in ("dice", "hd_mm", "hd95_mm", "assd_mm"):
        assert getattr(there, name) == pytest.approx(getattr(back, name))
    same = evaluate_masks(a, a, spacing)
    assert (same.dice, same.hd_mm, same.hd95_mm, same.assd_mm) == (1.0, 0.0, 0.0, 0.0)
    doubled = evaluate_masks(a, b, tuple(2 * s for s in spacing))
    assert doubled.dice == there.dice
    assert doubled.hd95_mm == pytest.approx(2 * there.hd95_mm)
    flipped = evaluate_masks(a[::-1, :, ::-1], b[::-1, :, ::-1], spacing)
    assert flipped.assd_mm == pytest.approx(there.assd_mm)


PAIRS_OF_SOLIDS = [
    (((24, 20, 12), (9, 7, 4)), ((25, 21, 13), (8, 8, 4)), (0.4, 0.5, 3.0)),  # close: the KD-tree's way
    (((14, 12, 8), (5, 5, 3)), ((32, 28, 14), (6, 5, 4)), (1.0, 1.0, 1.0)),  # apart: the transform's way
]


@pytest.mark.parametrize(("first", "second", "spacing"), PAIRS_OF_SOLIDS)
def test_solid_ellipsoids_agree_with_simpleitk_and_monai(first, second, spacing):
    sitk = pytest.importorskip("SimpleITK")
    torch = pytest.importorskip("torch")
    monai_metrics = pytest.importorskip("monai.metrics")
    shape = (48, 42, 24)
    a, b = ellipsoid(shape, *first), ellipsoid(shape, *second)
    m = evaluate_masks(a, b, spacing)

    images = [sitk.GetImageFromArray(x.transpose(2, 1, 0).astype(np.uint8)) for x in (a, b)]
    for image in images:
        image.SetSpacing(spacing)
    peer = sitk.HausdorffDistanceImageFilter()
    peer.Execute(*images)
    assert m.hd_mm == pytest.approx(peer.GetHausdorffDistance(), abs=1e-4)

    tensors = [torch.as_tensor(x[None, None].astype(np.float32)) for x in (a, b)]
    options = {"include_background": True, "spacing": list(spacing)}
    hd = monai_metrics.compute_hausdorff_distance(*tensors, **options)
    hd95 = monai_metrics.compute_hausdorff_distance(*tensors, percentile=95, **options)
    assd = monai_metrics.compute_average_surface_distance(*tensors, symmetric=True, **options)
    assert [m.hd_mm, m.hd95_mm, m.assd_mm] == pytest.approx([float(hd), float(hd95), float(assd)], abs=1e-4)


def test_simpleitk_measures_sets_not_surfaces_so_a_hollow_box_in_a_full_one_differs():
    """SimpleITK asks how far each voxel of the solid is from the shell (its centre: 3 mm); the boundaries
    of the solid and of the shell share the outer face, and the shell's inner face is 1 mm from it."""
    sitk = pytest.importorskip("SimpleITK")
    solid = box((13, 13, 13), (2, 11), (2, 11), (2, 11))
    shell = solid & ~box((13, 13, 13), (4, 9), (4, 9), (4, 9))  # two voxels thick
    peer = sitk.HausdorffDistanceImageFilter()
    peer.Execute(*[sitk.GetImageFromArray(x.astype(np.uint8)) for x in (solid, shell)])
    assert peer.GetHausdorffDistance() == pytest.approx(3.0)
    assert evaluate_masks(solid, shell, (1, 1, 1)).hd_mm == 1.0
