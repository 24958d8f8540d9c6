"""The pixels inside the outlines of a contour."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from skimage.draw import polygon2mask

from ..errors import GeometryError
from ..geometry.volume import Array


def filled(outlines: Sequence[Array], shape: Sequence[int], name: str) -> Array:
    """Return the pixels (I, J) whose centre has an odd number of outlines (P, 2) around it.

    Raise GeometryError, with the name of the contour, if two outlines cross: one must be inside the other, as that
    of a hole, or apart from it, as that of an island.
    """
    mask = np.zeros(shape, bool)
    parts = [_part(outline, shape) for outline in outlines]
    for box, inside in parts:
        mask[box] ^= inside
    lows, highs = (
        np.array([[getattr(edge, end) for edge in box] for box, _ in parts]) for end in ("start", "stop")
    )
    for n in range(1, len(parts)):
        meeting = ((lows[:n] < highs[n]) & (lows[n] < highs[:n])).all(axis=1)
        for m in np.flatnonzero(meeting):
            if _cross(parts[m], parts[n]):
                raise GeometryError(
                    f"{name[:1].upper()}{name[1:]} has outlines {m + 1} and {n + 1} that cross each other, so it "
                    "is not clear what is inside; draw them apart, or one within the other."
                )
    return mask


Part = tuple[tuple[slice, slice], Array]


def _part(outline: Array, shape: Sequence[int]) -> Part:
    """Return the box of an outline, and the pixels inside the outline within it."""
    last = np.asarray(shape) - 1
    low = np.ceil(outline.min(axis=0)).astype(int).clip(0, last)
    high = np.floor(outline.max(axis=0)).astype(int).clip(low, last) + 1
    return (slice(low[0], high[0]), slice(low[1], high[1])), polygon2mask(tuple(high - low), outline - low)


def _cross(one: Part, other: Part) -> bool:
    """Return whether two outlines share pixels, and neither is within the other."""
    (first, a), (second, b) = one, other
    low = [max(p.start, q.start) for p, q in zip(first, second, strict=True)]
    high = [min(p.stop, q.stop) for p, q in zip(first, second, strict=True)]
    shared = np.count_nonzero(
        a[low[0] - first[0].start : high[0] - first[0].start, low[1] - first[1].start : high[1] - first[1].start]
        & b[
            low[0] - second[0].start : high[0] - second[0].start,
            low[1] - second[1].start : high[1] - second[1].start,
        ]
    )
    sizes = np.count_nonzero(a), np.count_nonzero(b)
    return bool(0 < shared < min(sizes) or 0 < shared == max(sizes))
