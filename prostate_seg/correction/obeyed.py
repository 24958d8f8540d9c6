"""The last step of a correction: every hint is obeyed on the grid of the image."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from ..geometry.volume import Array
from .between import fill_between, signed_distance_mm
from .placed import Placed, contradiction
from .through import pass_through

REACH_MM = 4.0  # standard deviation of the bump that moves the boundary to a point
NEAR_VOXELS = 0.6  # the boundary may be that far from its point
ROUNDS = 3


def obey(probability: Array, placed: Placed, spacing_mm: tuple[float, float, float]) -> Array:
    """Return a probability that obeys every hint at 0.5. The array (I, J, K) is changed.

    Slices between contours are replaced by :func:`.between.fill_between`. Then the boundary on a point's slice, and
    a little on its neighbours, moves to the point. Then contours, voxels inside and outside, and empty slices
    beyond the planes are set. If the boundary then misses a point, single pixels beside the point are changed.

    Raises
    ------
    GeometryError
        The boundary cannot pass through two points that are close to each other.
    """
    axis = placed.slices.axis
    turned = np.moveaxis(probability, axis, 2)  # a view
    across = [n for n in range(3) if n != axis]
    pixel_mm, gap_mm = (spacing_mm[across[0]], spacing_mm[across[1]]), spacing_mm[axis]
    fill_between(turned, placed.contours, pixel_mm=pixel_mm, gap_mm=gap_mm)
    for _ in range(ROUNDS):
        moved = [_pull(turned, point[[*across, axis]], pixel_mm, gap_mm) for point in placed.boundary]
        if not any(moved):
            break
    for k, mask in placed.contours.items():
        turned[:, :, k] = mask
    probability[tuple(placed.inside.T)] = 1
    probability[tuple(placed.outside.T)] = 0
    turned[:, :, placed.empty_slices()] = 0
    for k in np.unique(np.rint(placed.boundary[:, axis]).astype(int)).clip(0, turned.shape[2] - 1):
        _thread(turned[:, :, k], placed, k, pixel_mm)
    return probability


def _thread(probability: Array, placed: Placed, k: int, pixel_mm: tuple[float, float]) -> None:
    """Change a slice (I, J), in place, so that its boundary passes through the points on it."""
    axis = placed.slices.axis
    across = [n for n in range(3) if n != axis]
    here = np.flatnonzero(np.rint(placed.boundary[:, axis]).clip(0, placed.slices.count - 1) == k)
    points, before = placed.boundary[here][:, across], probability >= 0.5
    fixed = np.full(before.shape, k in placed.contours)
    for voxels in (placed.inside, placed.outside):
        fixed[tuple(voxels[voxels[:, axis] == k][:, across].T)] = True
    after, missed = pass_through(before, fixed, points, pixel_mm)
    if missed is not None:
        apart = np.linalg.norm(points - points[missed], axis=1)
        apart[missed] = np.inf
        one, other = (placed.names[here[n]] for n in (missed, int(apart.argmin())))
        raise contradiction(one, other, "the boundary cannot pass through both")
    probability[after != before] = after[after != before]


def _pull(probability: Array, point: Array, pixel_mm: tuple[float, float], gap_mm: float) -> bool:
    """Move the boundary of (I, J, K) to a point on the slice nearest to it; return whether it had to move."""
    k = int(np.clip(np.rint(point[2]), 0, probability.shape[2] - 1))
    box, here = _around(point, 4 * REACH_MM, pixel_mm)
    off = _off_mm(probability[*box, k] >= 0.5, here, pixel_mm)
    if abs(off) <= NEAR_VOXELS * max(pixel_mm):
        return False
    # No voxel changes farther away than this, and all distances that matter are known within it.
    reach_mm = abs(off) + REACH_MM * np.sqrt(2 * max(0.0, np.log(abs(off) / min(pixel_mm))))
    box, here = _around(point, min(reach_mm, 4 * REACH_MM), pixel_mm)
    grid = np.indices(probability[*box, k].shape)
    square = sum(((grid[n] - here[n]) * pixel_mm[n]) ** 2 for n in (0, 1))
    neighbours = range(max(0, k - round(REACH_MM / gap_mm)), k + round(REACH_MM / gap_mm) + 1)
    for n in (one for one in neighbours if one < probability.shape[2]):
        bump = -off * np.exp(-(square + ((n - k) * gap_mm) ** 2) / (2 * REACH_MM**2))
        before = signed_distance_mm(probability[*box, n] >= 0.5, pixel_mm)
        after = before + bump
        changed = (before > 0) != (after > 0)
        probability[*box, n][changed] = (1 / (1 + np.exp(-after)))[changed]
    return True


def _around(point: Array, reach_mm: float, pixel_mm: tuple[float, float]) -> tuple[tuple[slice, slice], Array]:
    """Return a box (i, j) around a point, and the point's place in it."""
    reach = [int(np.ceil(reach_mm / mm)) for mm in pixel_mm]
    low = [max(0, int(point[n]) - reach[n]) for n in (0, 1)]
    first, second = (slice(low[n], int(point[n]) + reach[n] + 2) for n in (0, 1))
    return (first, second), point[:2] - low


def _off_mm(mask: Array, point: Array, pixel_mm: tuple[float, float]) -> float:
    """Return how far a point (i, j) is inside a mask in mm; negative if it is outside."""
    distance = signed_distance_mm(mask, pixel_mm)
    return float(ndimage.map_coordinates(distance, point[:, None], order=1, mode="nearest")[0])
