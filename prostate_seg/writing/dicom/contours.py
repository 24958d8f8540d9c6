"""Closed contours of a mask on one slice, half-way between voxel centres inside and outside."""

from __future__ import annotations

import numpy as np
from skimage.measure import approximate_polygon, points_in_poly

from ...geometry.outlines import outlines
from ...geometry.volume import Array

MOST_CHANGE = 0.005  # of the area of a slice by thinning
HALVINGS = 6


def closed_contours(mask: Array) -> list[Array]:
    """Return the outlines of a mask on a slice, bool (I, J).

    Each outline is (P, 2) in continuous (i, j) and does not repeat its first point. The list is empty if the mask
    is empty.

    A contour point lies half-way between a voxel inside and its neighbour outside. Testing which voxel centres lie
    inside therefore gives exactly the mask. A hole is joined to its surrounding outline by a line that is passed
    twice (keyhole, PS3.3 C.8.8.6.3). Points on straight runs are omitted.
    """
    if not mask.any():
        return []
    found = outlines(mask)
    areas = np.array([_signed_area(line) for line in found])
    turn = np.sign(areas[np.abs(areas).argmax()])  # the largest outline is not a hole
    outer = [(line, abs(area)) for line, area in zip(found, areas, strict=True) if area * turn > 0]
    holes = [line for line, area in zip(found, areas, strict=True) if area * turn < 0]
    outer.sort(key=lambda entry: entry[1])  # smallest first: a hole belongs to the smallest outline around it
    lines = [line for line, _ in outer]
    for hole in holes:
        inside = next(n for n, (line, _) in enumerate(outer) if points_in_poly(hole[:1], line)[0])
        lines[inside] = _joined(lines[inside], hole)
    return lines[::-1]


def thinned(lines: list[Array], tolerance: float) -> list[Array]:
    """Return the outlines of a slice with fewer points.

    A point moves by at most ``tolerance`` (Douglas and Peucker 1973). The tolerance is halved until the enclosed
    area changes by at most 0.5 %; if nothing is left of it, the outlines stay as they are.

    Parameters
    ----------
    lines
        Outlines (P, 2) in mm, as from :func:`closed_contours`.
    tolerance
        Largest distance in mm.
    """
    area = sum(abs(_signed_area(line)) for line in lines)
    for _ in range(HALVINGS):
        fewer = [approximate_polygon(np.concatenate([line, line[:1]]), tolerance)[:-1] for line in lines]
        if min(map(len, fewer), default=0) >= 3:
            changed = abs(sum(abs(_signed_area(line)) for line in fewer) - area)
            if changed <= MOST_CHANGE * area:
                return fewer
        tolerance /= 2
    return lines


def _signed_area(line: Array) -> float:
    x, y = line.T
    return 0.5 * float(x @ np.roll(y, -1) - y @ np.roll(x, -1))


def _joined(line: Array, hole: Array) -> Array:
    """Return an outline and its hole as one line, joined at their nearest points.

    The hole runs in the opposite direction.
    """
    apart = ((line[:, None] - hole[None]) ** 2).sum(axis=-1)
    at, entry = np.unravel_index(apart.argmin(), apart.shape)
    around = np.roll(hole, -entry, axis=0)
    return np.concatenate([line[: at + 1], around, around[:1], line[at:]])
