"""Rays from the centre of a gland in fixed directions: the field along each ray, and the radius of the boundary.

The field is usually a foreground probability. Arrays are indexed (i, j, k) on a grid with orthogonal axes.
Directions are given in these axes. Lengths are in mm.
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
BEYOND_MM = 1.0  # the image must show ultrasound at this distance beyond the boundary


@cache
def sphere() -> Array:
    """Return unit vectors (642, 3), evenly distributed over the sphere (a Fibonacci lattice)."""
    z = 1 - (2 * np.arange(DIRECTIONS) + 1) / DIRECTIONS
    turn = np.pi * (1 + 5**0.5) * np.arange(DIRECTIONS)
    flat = np.sqrt(1 - z * z)
    return cast(Array, np.stack([flat * np.cos(turn), flat * np.sin(turn), z], axis=1))


@cache
def _tree() -> cKDTree:
    return cKDTree(sphere())


@dataclass(frozen=True, eq=False)
class Rays:
    """Field along the rays from a centre.

    Attributes
    ----------
    centre_mm
        Centre (3,): index times spacing.
    profiles
        Field (642, T) at every 0.5 mm outward from the centre; 0 beyond the edges of the outer voxels.
    radii_mm
        Radii (642,) at which the field falls below the level for the last time; 0 if it never reaches the level.
    inside
        Bool (642,): the end of the radius lies in the grid, at least a quarter of a voxel from its edge, and the
        image shows ultrasound 1 mm beyond it. Otherwise the image cuts the gland.
    """

    centre_mm: Array
    profiles: Array
    radii_mm: Array
    inside: Array


def cast_rays(
    field: Array, spacing_mm: Sequence[float], *, level: float = 0.5, seen: Array | None = None
) -> Rays | None:
    """Cast rays through a field (I, J, K) from the centroid of its largest connected part at or above the level.

    The result is None if no voxel reaches the level. ``seen`` is bool (I, J, K), true at voxels that show
    ultrasound. A ray is not ``inside`` if the point 1 mm beyond its end shows no ultrasound.
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
    """Return the largest connected part of a field at or above the level, and all other parts: bool (I, J, K)."""
    parts, count = ndimage.label(field >= level)
    largest = np.bincount(parts.ravel())[1:].argmax() + 1 if count else 1
    return parts == largest, (parts != largest) & (parts != 0)


def rays_of(
    field: Array, spacing_mm: Sequence[float] | Array, centre_mm: Array, directions: Array | None = None
) -> Array:
    """Sample a field (I, J, K) at every 0.5 mm along the rays from a centre.

    The result is (N, 140) for directions (N, 3), by default the 642 rays. It is 0 beyond the edges of the outer
    voxels.
    """
    lengths = np.arange(0, REACH_MM, STEP_MM)
    directions = sphere() if directions is None else directions
    at = (centre_mm + directions[:, None] * lengths[:, None]) / np.asarray(spacing_mm)  # (N, T, 3)
    padded = np.pad(field.astype(np.float32), 1, mode="edge")  # border values reach to the edges
    found = ndimage.map_coordinates(padded, np.moveaxis(at + 1, -1, 0), order=1, mode="constant")  # (N, T)
    return cast(Array, found * ((at >= -0.5) & (at <= np.array(field.shape) - 0.5)).all(axis=-1))


def last_crossings_mm(profiles: Array, level: float = 0.5) -> Array:
    """Return the radii (N,) in mm at which profiles (N, T) fall below the level for the last time.

    The radius is 0 if the profile never reaches the level.
    """
    above = profiles >= level
    last = np.clip(above.shape[1] - 1 - above[:, ::-1].argmax(1), 0, above.shape[1] - 2)
    rays = np.arange(len(profiles))
    here, beyond = profiles[rays, last], profiles[rays, last + 1]
    share = ((here - level) / np.maximum(here - beyond, 1e-6)).clip(0, 1)
    return cast(Array, np.where(above.any(1), (last + share) * STEP_MM, 0.0))


def spread(values: Array, directions: Array) -> Array:
    """Interpolate values (642, ...) of the rays at unit vectors (M, 3).

    The four nearest rays are weighted by their inverse squared distance.
    """
    return blended(values, *neighbours(directions))


def neighbours(directions: Array) -> tuple[Array, Array]:
    """Return the four nearest rays of unit vectors (M, 3), and their weights: both (M, 4)."""
    distances, nearest = _tree().query(directions, k=NEIGHBOURS)
    weights = 1 / np.maximum(distances, 1e-3) ** 2
    return nearest, weights / weights.sum(axis=1, keepdims=True)


def blended(values: Array, nearest: Array, weights: Array) -> Array:
    """Return the weighted mean (M, ...) of values (642, ...) of neighbouring rays (:func:`neighbours`)."""
    return cast(Array, np.einsum("mk,mk...->m...", weights, values[nearest]))
