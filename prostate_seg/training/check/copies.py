"""Comparison of all small pictures with each other, by matrix products."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from ...geometry.volume import Array
from .appearance import FEWEST, SIZE, Picture

ROWS = 256  # pictures that are compared with all others at a time


def pairs_alike(
    pictures: Sequence[Picture], least: float, *, flipped: int | None = None
) -> Iterator[tuple[int, int, float]]:
    """Yield the pairs a < b of pictures whose correlation is at least ``least``, and the correlation.

    The correlation is computed over the voxels that show ultrasound in both. If these are fewer than 30 %, the pair
    is left out. With ``flipped`` the second picture is reversed along this axis first.
    """
    values, seen = _tables(pictures, None)
    others, others_seen = (values, seen) if flipped is None else _tables(pictures, flipped)
    for start in range(0, len(pictures), ROWS):
        rows = slice(start, start + ROWS)
        found = _correlations(values[rows], seen[rows], others[start:], others_seen[start:])
        for a, b in np.argwhere(found >= least):
            if a < b:
                yield start + int(a), start + int(b), float(found[a, b])


def _tables(pictures: Sequence[Picture], flipped: int | None) -> tuple[Array, Array]:
    parts = []
    for part in ("values", "seen"):
        table = np.stack([getattr(one, part) for one in pictures]).astype(np.float32)
        if flipped is not None:
            table = np.flip(table.reshape(-1, *SIZE), flipped + 1).reshape(table.shape)
        parts.append(table)
    return parts[0], parts[1]


def _correlations(values: Array, seen: Array, others: Array, others_seen: Array) -> Array:
    """Return the correlations (m, n) of pictures (m, P) and (n, P); -1 if the two show too little in common.

    The pictures are 0 where they show no ultrasound.
    """
    count = seen @ others_seen.T
    enough = np.maximum(count, 1)
    sums, other_sums = values @ others_seen.T, seen @ others.T
    spread = (values**2) @ others_seen.T - sums**2 / enough
    other_spread = seen @ (others**2).T - other_sums**2 / enough
    covariance = values @ others.T - sums * other_sums / enough
    found = covariance / np.sqrt(np.maximum(spread * other_spread, 1e-9))
    return np.where(count >= FEWEST * values.shape[1], found, -1.0)
