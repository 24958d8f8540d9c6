"""Points through which the boundary passes on a slice: between two neighbouring pixels, one inside and one outside.

The middle of a pair's common side is within three quarters of a pixel of the point. Every straight line through the
point has such a pair, so a point on an outline fits the pixels inside this outline.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..geometry.volume import Array

NEAR_PIXELS = 0.75


def pairs_near(point: Array, pixel_mm: Sequence[float], shape: Sequence[int]) -> Array:
    """Return the pairs of neighbouring pixels (n, 2, 2) near a point (i, j), the nearest first.

    One pixel of a pair may lie just outside the slice, which has ``shape``.
    """
    mm = np.asarray(pixel_mm, float)
    near_mm = NEAR_PIXELS * mm.max()
    ranges = [
        range(int(at - near_mm / one) - 1, int(at + near_mm / one) + 2) for at, one in zip(point, mm, strict=True)
    ]
    first = np.array(np.meshgrid(*ranges, indexing="ij")).reshape(2, -1).T
    pairs = np.concatenate([np.stack([first, first + step], axis=1) for step in np.eye(2, dtype=int)])
    apart = np.linalg.norm((pairs.mean(axis=1) - point) * mm, axis=1)
    there = ((pairs >= -1) & (pairs <= np.asarray(shape))).all(axis=(1, 2)) & (apart <= near_mm)
    return np.asarray(pairs[there][np.argsort(apart[there], kind="stable")])


def may_pass(inside: Array, fixed: Array, point: Array, pixel_mm: Sequence[float]) -> bool:
    """Return whether the boundary can pass through a point if the fixed pixels (I, J) stay as they are."""
    rows, columns = np.moveaxis(pairs_near(point, pixel_mm, inside.shape) + 1, 2, 0)
    states, held = np.pad(inside, 1)[rows, columns], np.pad(fixed, 1, constant_values=True)[rows, columns]
    return bool(((states[:, 0] != states[:, 1]) | ~held.all(axis=1)).any())


def pass_through(inside: Array, fixed: Array, points: Array, pixel_mm: Sequence[float]) -> tuple[Array, int | None]:
    """Change single pixels of a mask (I, J) that are not fixed, so that its boundary passes through points (n, 2).

    Returns
    -------
    Array
        The mask.
    int or None
        Index of a point through which the boundary cannot pass together with the others.
    """
    mask, held = np.pad(inside, 1), np.pad(fixed, 1, constant_values=True)
    left = [n for n, point in enumerate(points) if not _hold(mask, held, point, pixel_mm)]
    for n in left:
        if _hold(mask, held, points[n], pixel_mm):
            continue
        pairs = pairs_near(points[n], pixel_mm, inside.shape) + 1
        free = next((pixel for pair in pairs for pixel in pair if not held[tuple(pixel)]), None)
        if free is None:
            return mask[1:-1, 1:-1], n
        mask[tuple(free)] ^= True
        _hold(mask, held, points[n], pixel_mm)
    return mask[1:-1, 1:-1], None


def _hold(mask: Array, held: Array, point: Array, pixel_mm: Sequence[float]) -> bool:
    """Fix the nearest pair at which the boundary passes through a point. Return whether there is one."""
    shape = (mask.shape[0] - 2, mask.shape[1] - 2)
    for one, other in pairs_near(point, pixel_mm, shape) + 1:
        if mask[tuple(one)] != mask[tuple(other)]:
            held[tuple(one)] = held[tuple(other)] = True
            return True
    return False
