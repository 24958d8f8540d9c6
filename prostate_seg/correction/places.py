"""Hints on the grid of an image as places in mm of the grid of a network."""

from __future__ import annotations

import numpy as np
from skimage.measure import find_contours

from ..geometry.volume import Array, spacing_of
from .moved import Places
from .placed import Placed

ON_OUTLINE = 24  # points of a contour
THINNED_MM = 3.0  # of the voxels of a scribble, one in a cube of this size counts
THIRD = 2  # axis of the network's grid along which the gland's ends lie


def places_of(placed: Placed, affine: Array, grid_affine: Array) -> Places:
    """Return hints on a grid with an affine as places on another grid with parallel axes.

    A contour becomes 24 points of the boundary; one without an outline gives none.
    """
    index = np.linalg.inv(grid_affine) @ affine  # voxel of the image -> voxel of the network's grid
    spacing = np.array(spacing_of(grid_affine))

    def there(points: Array) -> Array:
        return np.asarray((points @ index[:3, :3].T + index[:3, 3]) * spacing)

    outlines = [there(_on_outline(placed, k)) for k, mask in sorted(placed.contours.items()) if mask.any()]
    low, high = _ends(placed, index, spacing)
    return Places(
        np.concatenate([there(placed.boundary), *outlines]),
        _thinned(there(placed.inside)),
        _thinned(there(placed.outside)),
        low,
        high,
        spacing_of(affine)[placed.slices.axis],
    )


def _on_outline(placed: Placed, k: int) -> Array:
    """Return points (24, 3) at equal distances on the longest outline of a contoured slice, in voxels."""
    mask = placed.contours[k]
    line = max(find_contours(np.pad(mask, 1).astype(np.float32), 0.5), key=len) - 1
    steps = np.concatenate([[0], np.linalg.norm(np.diff(line, axis=0), axis=1).cumsum()])
    at = np.linspace(0, steps[-1], ON_OUTLINE, endpoint=False)
    points = np.empty((ON_OUTLINE, 3))
    across = [axis for axis in range(3) if axis != placed.slices.axis]
    for column, axis in enumerate(across):
        points[:, axis] = np.interp(at, steps, line[:, column])
    points[:, placed.slices.axis] = k
    return points


def _thinned(points: Array) -> Array:
    """Return the first point in each cube."""
    if not len(points):
        return points
    cubes = np.rint(points / THINNED_MM).astype(int)
    cubes -= cubes.min(axis=0)
    cube = np.ravel_multi_index(tuple(cubes.T), tuple(cubes.max(axis=0) + 1))
    first = np.full(cube.max() + 1, -1)
    first[cube[::-1]] = np.arange(len(points))[::-1]  # of equal ones the last assignment stays
    return np.asarray(points[np.sort(first[first >= 0])])


def _ends(placed: Placed, index: Array, spacing: Array) -> tuple[float | None, float | None]:
    """Return the lowest and the highest end of the gland along the third axis of the network's grid, in mm."""
    axis = placed.slices.axis
    if int(np.abs(index[:3, axis]).argmax()) != THIRD:
        return None, None
    heights = {end: (at * index[THIRD, axis] + index[THIRD, 3]) * spacing[THIRD] for end, at in placed.ends.items()}
    upward = (index[THIRD, axis] > 0) == placed.slices.rises
    low, high = ("apex", "base") if upward else ("base", "apex")
    return heights.get(low), heights.get(high)
