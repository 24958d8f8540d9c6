"""Outlines of a mask on one slice, half-way between voxel centres inside and outside."""

from __future__ import annotations

import numpy as np
from skimage.measure import find_contours

from .volume import Array


def outlines(mask: Array) -> list[Array]:
    """Return the closed outlines of a mask on a slice, bool (I, J): those around its parts and those of its holes.

    Each outline is (P, 2) in continuous (i, j) and does not repeat its first point. Points on straight runs are
    omitted. An outline around a part and one around a hole run in opposite directions. The voxel centres with an
    odd number of outlines around them are exactly the mask. The list is empty if the mask is empty.
    """
    if not mask.any():
        return []
    occupied = [np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0)]
    box = tuple(slice(int(hit[0]), int(hit[-1]) + 1) for hit in occupied)
    padded = np.pad(mask[box], 1).astype(np.uint8)
    offset = np.array([hit[0] - 1 for hit in occupied], float)
    return [_cornered(line[:-1]) + offset for line in find_contours(padded, 0.5, fully_connected="low")]


def _cornered(line: Array) -> Array:
    """Return a closed line without the points on straight runs."""
    before, after = line - np.roll(line, 1, axis=0), np.roll(line, -1, axis=0) - line
    corner = np.abs(before[:, 0] * after[:, 1] - before[:, 1] * after[:, 0]) > 1e-9
    return line[corner]
