"""Where in the patient: positions of voxels along left, posterior and superior; sizes; thirds and directions."""

from __future__ import annotations

import numpy as np

from ...geometry.volume import Array, bounding_box, swap_ras_lps
from .surface import SurfaceDistances

THIRDS = ("apex", "mid", "base")
DIRECTIONS = ("anterior", "posterior", "left", "right")


def centroid_lps_mm(mask: Array, affine: Array) -> Array | None:
    """Centre of a mask's voxels in LPS mm, (3,); None where it is empty."""
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
    """Size along left-right, anterior-posterior and superior-inferior in mm: from the outer faces of its voxels.

    On an oblique grid a voxel counts with its own extent along the patient's axis. Zeros where it is empty.
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
    """π/6 times the three extents, in mL: what clinicians compute from callipers (Littrup et al. 1991)."""
    return float(np.pi / 6 * np.prod(extents) / 1000.0)


def third_bounds_mm(reference: Array, affine: Array) -> Array:
    """The superior positions, (4,) mm, that cut the reference into apex, mid-gland and base of equal length."""
    low, high = _superior_range(reference, affine)
    return np.linspace(low, high, 4)


def thirds_of(shape: tuple[int, ...], affine: Array, bounds: Array) -> Array:
    """The third, 0 (apex), 1 or 2 (base), of every voxel of an image: int8 (I, J, K) or broadcastable to it.

    What lies beyond the reference belongs to the third beside it.
    """
    row = swap_ras_lps(affine)[2]
    position = np.zeros((1, 1, 1))
    for axis, length in enumerate(shape):
        if abs(row[axis]) > 1e-9:  # an axial grid needs one axis only
            sizes = [length if other == axis else 1 for other in range(3)]
            position = position + (row[axis] * np.arange(length)).reshape(sizes)
    return np.searchsorted(bounds[1:3], position + row[3], side="right").astype(np.int8)


def directions_of(voxels: Array, affine: Array, centre_lps_mm: Array) -> Array:
    """The index into DIRECTIONS of where voxels (N, 3) lie from a centre, in the transverse plane."""
    lps = swap_ras_lps(affine)
    left, posterior, _ = (voxels @ lps[:3, :3].T + lps[:3, 3] - centre_lps_mm).T
    sideways = np.abs(left) > np.abs(posterior)
    return np.where(sideways, np.where(left > 0, 2, 3), np.where(posterior > 0, 1, 0))


def by_direction(distances: SurfaceDistances, affine: Array, centre_lps_mm: Array) -> dict[str, float]:
    """Mean surface distance, both ways together, of the boundary voxels in each direction; inf for a miss."""
    if not len(distances.prediction_voxels):
        return dict.fromkeys(DIRECTIONS, float("inf"))
    sides = [directions_of(voxels, affine, centre_lps_mm) for voxels in
             (distances.prediction_voxels, distances.reference_voxels)]  # fmt: skip
    return {
        name: distances.where(sides[0] == index, sides[1] == index).assd_mm for index, name in enumerate(DIRECTIONS)
    }


def _superior_range(mask: Array, affine: Array) -> tuple[float, float]:
    """The lowest and highest outer face of a mask's voxels along superior, mm."""
    row = swap_ras_lps(affine)[2]
    box = bounding_box(mask)
    inner = mask[box]
    voxels = np.argwhere(inner & ~_surrounded(inner)) + [edge.start for edge in box]
    at = voxels @ row[:3] + row[3]
    half = 0.5 * np.abs(row[:3]).sum()
    return float(at.min() - half), float(at.max() + half)


def _surrounded(mask: Array) -> Array:
    """Voxels whose two neighbours along k are in the mask: none of them is its first or last along any axis."""
    inside = np.zeros_like(mask)
    inside[:, :, 1:-1] = mask[:, :, :-2] & mask[:, :, 2:]
    for axis in (0, 1):
        moved, source = np.moveaxis(inside, axis, 0), np.moveaxis(mask, axis, 0)
        moved[1:-1] &= source[:-2] & source[2:]
        moved[:1] = False
        moved[-1:] = False
    return inside
