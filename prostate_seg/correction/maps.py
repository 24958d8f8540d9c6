"""Hints as channels of a network: maps of the distance to them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..geometry.volume import Array
from .moved import Places

CHANNELS = 4  # apex, base, boundary, sides
NEAR_MM = 4.0  # standard deviation of the bump at a point
FALL_MM = 8.0  # distance from a plane at which its map has fallen to 1/e of the way
FAR = 0.3  # value far from a plane; 0 says that there is no plane
CUT = 3.0  # standard deviations after which a bump is 0


def hint_maps(places: Places, shape: Sequence[int], spacing_mm: Sequence[float]) -> Array:
    """Return the maps (4, I, J, K) in [-1, 1] of hints on a grid whose third axis runs from apex to base.

    The maps of the apex and of the base are positive inside their planes and negative beyond. The map of the
    boundary is 1 at its points. The map of the sides is 1 at points inside and -1 at points outside. A map without
    hints is 0.
    """
    maps = np.zeros((CHANNELS, *shape), np.float32)
    heights = np.arange(shape[2]) * spacing_mm[2]
    for channel, plane, sign in ((0, places.below, 1.0), (1, places.above, -1.0)):
        if plane is not None:
            inside = (heights - plane) * sign
            maps[channel] = np.where(inside >= 0, 1, -1) * (FAR + (1 - FAR) * np.exp(-np.abs(inside) / FALL_MM))
    _bumps(maps[2], places.boundary, spacing_mm)
    _bumps(maps[3], places.inside, spacing_mm)
    beyond = np.zeros_like(maps[3])
    _bumps(beyond, places.outside, spacing_mm)
    maps[3] -= beyond
    return maps


def _bumps(field: Array, points: Array, spacing_mm: Sequence[float]) -> None:
    """Raise a field to the nearest of the Gaussian bumps at points (n, 3) in mm."""
    for point in points:
        axes, box = [], []
        for size, mm, at in zip(field.shape, spacing_mm, point, strict=True):
            low, high = (int(np.clip(np.ceil((at + cut) / mm), 0, size)) for cut in (-CUT * NEAR_MM, CUT * NEAR_MM))
            box.append(slice(low, high))
            axes.append(np.exp(-((np.arange(low, high) * mm - at) ** 2) / (2 * NEAR_MM**2)))
        part = tuple(box)
        field[part] = np.maximum(field[part], np.einsum("i,j,k->ijk", *axes))
