"""A gland as seen from its centre: rays in fixed directions, the field along them, and where it is left.

Arrays are indexed (i, j, k) on a grid with orthogonal axes; directions are those of the axes, lengths are mm.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import cast

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from ..geometry.volume import Array

DIRECTIONS = 642
STEP_MM = 0.5
REACH_MM = 70.0
NEIGHBOURS = 4
BEYOND_MM = 1.0  # that must be seen beyond a boundary


@cache
def sphere() -> Array:
    """Unit vectors (642, 3), evenly spread over the sphere (a Fibonacci lattice)."""
    z = 1 - (2 * np.arange(DIRECTIONS) + 1) / DIRECTIONS
    turn = np.pi * (1 + 5**0.5) * np.arange(DIRECTIONS)
    flat = np.sqrt(1 - z * z)
    return cast(Array, np.stack([flat * np.cos(turn), flat * np.sin(turn), z], axis=1))


@cache
def _tree() -> cKDTree:
    return cKDTree(sphere())


@dataclass(frozen=True, eq=False)
class Rays:
    """A field along the rays from a centre.

    centre_mm: (3,), index times spacing. profiles: (642, T), the field every 0.5 mm outward from the centre, 0
    beyond the outer voxels' edges. radii_mm: (642,), where the field falls below the level for the last time; 0
    where it never reaches it. inside: (642,), whether that place lies within the grid, a quarter of a voxel from
    its edge or further, and where the image shows anything: elsewhere the image cuts the gland.
    """

    centre_mm: Array
    profiles: Array
    radii_mm: Array
    inside: Array


def cast_rays(
    field: Array, spacing_mm: Sequence[float], *, level: float = 0.5, seen: Array | None = None
) -> Rays | None:
    """The rays of a field (I, J, K) from the centroid of its largest part at or above level; None without one.

    seen: bool (I, J, K), where the image shows anything; a ray that ends less than 1 mm from what shows
    nothing is not inside.
    """
    main, islands = main_part(field, level)
    if not main.any():
        return None
    spacing = np.asarray(spacing_mm, float)
    centre = np.argwhere(main).mean(axis=0) * spacing
    profiles = rays_of(np.where(islands, 0, field), spacing, centre)
    radii = last_crossings_mm(profiles, level)
    ends = (centre + sphere() * radii[:, None]) / spacing
    inside = ((ends >= -0.25) & (ends <= np.array(field.shape) - 0.75)).all(axis=1)
    if seen is not None:
        beyond = np.rint((centre + sphere() * (radii[:, None] + BEYOND_MM)) / spacing).astype(int)
        inside &= seen[tuple(beyond.clip(0, np.array(seen.shape) - 1).T)]
    return Rays(centre, profiles, radii, inside)


def main_part(field: Array, level: float = 0.5) -> tuple[Array, Array]:
    """Of the voxels (I, J, K) at or above the level: the largest part, and all others; both bool (I, J, K)."""
    parts, count = ndimage.label(field >= level)
    largest = np.bincount(parts.ravel())[1:].argmax() + 1 if count else 1
    return parts == largest, (parts != largest) & (parts != 0)


def rays_of(field: Array, spacing_mm: Sequence[float] | Array, centre_mm: Array) -> Array:
    """A field (I, J, K) every 0.5 mm along the rays from a centre: (642, 140), 0 beyond the outer voxels' edges."""
    lengths = np.arange(0, REACH_MM, STEP_MM)
    at = (centre_mm + sphere()[:, None] * lengths[:, None]) / np.asarray(spacing_mm)  # (N, T, 3)
    padded = np.pad(field.astype(np.float32), 1, mode="edge")  # beyond the outer voxels' centres as at these
    found = ndimage.map_coordinates(padded, np.moveaxis(at + 1, -1, 0), order=1, mode="constant")  # (N, T)
    return cast(Array, found * ((at >= -0.5) & (at <= np.array(field.shape) - 0.5)).all(axis=-1))


def last_crossings_mm(profiles: Array, level: float = 0.5) -> Array:
    """Where profiles (N, T) fall below the level for the last time, (N,) in mm; 0 where they never reach it."""
    above = profiles >= level
    last = np.clip(above.shape[1] - 1 - above[:, ::-1].argmax(1), 0, above.shape[1] - 2)
    rays = np.arange(len(profiles))
    here, beyond = profiles[rays, last], profiles[rays, last + 1]
    share = ((here - level) / np.maximum(here - beyond, 1e-6)).clip(0, 1)
    return cast(Array, np.where(above.any(1), (last + share) * STEP_MM, 0.0))


def spread(values: Array, directions: Array) -> Array:
    """Values (642, ...) of the rays between them, at unit vectors (M, 3): weighted by inverse squared distance."""
    distances, nearest = _tree().query(directions, k=NEIGHBOURS)
    weights = 1 / np.maximum(distances, 1e-3) ** 2
    weights /= weights.sum(axis=1, keepdims=True)
    return cast(Array, np.einsum("mk,mk...->m...", weights, values[nearest]))
