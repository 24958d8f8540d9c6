"""Measurements along the patient's axes: centroid, extents, thirds from apex to base, and directions."""

from __future__ import annotations

import numpy as np

from ...geometry.extent import bounding_box
from ...geometry.volume import Array, swap_ras_lps
from .surface import SurfaceDistances

THIRDS = ("apex", "mid", "base")
DIRECTIONS = ("anterior", "posterior", "left", "right")


def centroid_lps_mm(mask: Array, affine: Array) -> Array | None:
    """Return the centroid of a mask in LPS mm, (3,); None if the mask is empty."""
    box = bounding_box(mask)
    if box[0].stop == 0:
        return None
    inner = mask[box]
    count = np.count_nonzero(inner)
    middle = np.empty(3)
    for axis in range(3):
        others = tuple(other for other in range(3) if other != axis)
        middle[axis] = box[axis].start + np.arange(inner.shape[axis]) @ inner.sum(axis=others) / count
    lps = swap_ras_lps(affine)
    return np.asarray(lps[:3, :3] @ middle + lps[:3, 3])


def extents_mm(mask: Array, affine: Array) -> tuple[float, float, float]:
    """Return the extents of a mask along left-right, anterior-posterior and superior-inferior in mm.

    They are measured between the outer faces of the voxels. On an oblique grid, the extent of a voxel along the
    patient's axis is added. The extents of an empty mask are 0.
    """
    lps = swap_ras_lps(affine)[:3, :3]
    box = bounding_box(mask)
    inner = mask[box]
    if not inner.any():
        return 0.0, 0.0, 0.0
    voxels = np.argwhere(inner & ~_surrounded(inner)) @ lps.T
    size = np.ptp(voxels, axis=0) + np.abs(lps).sum(axis=1)
    return float(size[0]), float(size[1]), float(size[2])


def ellipsoid_ml(extents: tuple[float, float, float]) -> float:
    """Return π/6 times the three extents, in mL, as in clinical calliper measurements (Littrup et al. 1991)."""
    return float(np.pi / 6 * np.prod(extents) / 1000.0)


def third_bounds_mm(reference: Array, affine: Array) -> Array:
    """Return the superior positions, (4,) in mm, that bound apex, mid-gland and base of equal length."""
    low, high = _superior_range(reference, affine)
    return np.linspace(low, high, 4)


def thirds_of(shape: tuple[int, ...], affine: Array, bounds: Array) -> Array:
    """Return the third of every voxel: 0 (apex), 1 (mid-gland) or 2 (base).

    The result is an int8 array that can be broadcast to (I, J, K). Voxels below the reference count as apex, voxels
    above it as base.
    """
    row = swap_ras_lps(affine)[2]
    position = np.zeros((1, 1, 1))
    for axis, length in enumerate(shape):
        if abs(row[axis]) > 1e-9:  # an axial grid needs only one axis
            sizes = [length if other == axis else 1 for other in range(3)]
            position = position + (row[axis] * np.arange(length)).reshape(sizes)
    return np.searchsorted(bounds[1:3], position + row[3], side="right").astype(np.int8)


def directions_of(voxels: Array, affine: Array, centre_lps_mm: Array) -> Array:
    """Return the index into DIRECTIONS for voxels (N, 3), seen from a centre in the transverse plane."""
    lps = swap_ras_lps(affine)
    left, posterior, _ = (voxels @ lps[:3, :3].T + lps[:3, 3] - centre_lps_mm).T
    sideways = np.abs(left) > np.abs(posterior)
    return np.where(sideways, np.where(left > 0, 2, 3), np.where(posterior > 0, 1, 0))


def by_direction(distances: SurfaceDistances, affine: Array, centre_lps_mm: Array) -> dict[str, float]:
    """Return the mean surface distance of the boundary voxels in each direction, over both masks together.

    The distances are infinite if the prediction is empty.
    """
    if not len(distances.prediction_voxels):
        return dict.fromkeys(DIRECTIONS, float("inf"))
    sides = [directions_of(voxels, affine, centre_lps_mm) for voxels in
             (distances.prediction_voxels, distances.reference_voxels)]  # fmt: skip
    return {
        name: distances.where(sides[0] == index, sides[1] == index).assd_mm for index, name in enumerate(DIRECTIONS)
    }


def _superior_range(mask: Array, affine: Array) -> tuple[float, float]:
    """Return the lowest and highest position of the outer voxel faces along superior, in mm."""
    row = swap_ras_lps(affine)[2]
    box = bounding_box(mask)
    inner = mask[box]
    voxels = np.argwhere(inner & ~_surrounded(inner)) + [edge.start for edge in box]
    at = voxels @ row[:3] + row[3]
    half = 0.5 * np.abs(row[:3]).sum()
    return float(at.min() - half), float(at.max() + half)


def _surrounded(mask: Array) -> Array:
    """Mark voxels with all six neighbours in the mask: no such voxel is the outermost along an axis."""
    inside = np.zeros_like(mask)
    inside[:, :, 1:-1] = mask[:, :, :-2] & mask[:, :, 2:]
    for axis in (0, 1):
        moved, source = np.moveaxis(inside, axis, 0), np.moveaxis(mask, axis, 0)
        moved[1:-1] &= source[:-2] & source[2:]
        moved[:1] = False
        moved[-1:] = False
    return inside
