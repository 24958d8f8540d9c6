"""Needles from a map of their cross-sections: peaks in each slice, linked across slices to straight lines.

Lengths are in mm of the grid: index times spacing, slices along the third axis.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy import ndimage

Array = np.ndarray[Any, Any]
Course = Callable[[Any], Array]  # z -> (x, y)

IN_PLANE = np.ones((3, 3, 3), bool) & [False, True, False]  # neighbours in a slice
MOST_PEAKS = 4000  # in an image; 25 needles in 100 slices have 2500
PEAK_MM = 1.0  # a peak is the highest place so far around
BESIDE_MM = 1.5  # a cross-section nearer to a needle is one of it
LEAN = 0.25  # largest sideways shift of a needle per mm along it
REACH_MM = 0.6  # sideways error of a cross-section that is still linked
GAP_MM = 10.0  # of a needle that is not seen in some slices
MISSING = 2  # number of slices in a row that a line may skip
FEWEST = 3  # cross-sections of a line
OWN = 0.5  # lowest share of them that no other line has
END_LEVEL = 0.6  # a line ends where its map falls to this share of the median along it


@dataclass(frozen=True)
class Line:
    """How needles are found.

    Attributes
    ----------
    radius_mm
        Usual radius.
    peak
        Lowest probability of a cross-section.
    score
        Lowest mean probability of a line.
    shortest_mm
        A shorter line is dropped; from this length on a line has a direction.
    """

    radius_mm: float
    peak: float
    score: float
    shortest_mm: float


@dataclass(frozen=True)
class Piece:
    """A straight piece: both ends (2, 3) in mm of the grid, its score, and whether the ends show its direction."""

    ends: Array
    score: float
    oriented: bool


def lines_in(field: Array, best: Array, spacing: Array, how: Line) -> list[Piece]:
    """Return the lines of a map (I, J, K), the most certain first, each from its lower z to its higher.

    Parameters
    ----------
    field
        Probability of a cross-section, (I, J, K).
    best
        The highest probability of all structures, (I, J, K).
    spacing
        Distances of the voxels in mm.
    how
        Limits.
    """
    points = _peaks(field, best, how.peak, spacing)
    free = np.ones(len(points), bool)
    found: list[Piece] = []
    for chain in sorted(_chains(points, how, spacing), key=lambda chain: -points[chain, 3].sum()):
        seen = points[[n for n in chain if free[n]]]
        if len(seen) < 2:
            continue
        # A needle that was broken up is one line: its other parts lie beside it. Crossing ones share points.
        low, high, course = _extent(seen, field, spacing)
        aside = np.hypot(*(points[:, :2] - course(points[:, 2:3])).T)
        near = _linked(points[:, 2], aside <= BESIDE_MM, (low + high) / 2)
        order = near[np.argsort(aside[near], kind="stable")]
        order = order[np.unique(points[order, 2], return_index=True)[1]]  # the nearest one of each slice
        if len(order) < FEWEST or free[order].mean() < OWN:
            continue
        low, high, course = _extent(points[order], field, spacing)
        piece = Piece(on(course, (low, high)), float(points[order, 3].mean()), oriented=True)
        if np.linalg.norm(piece.ends[1] - piece.ends[0]) >= how.shortest_mm and piece.score >= how.score:
            found.append(piece)
            free &= ~beside(points, piece.ends)
    return sorted(found, key=lambda piece: -piece.score)


def _linked(z: Array, near: Array, middle: float) -> Array:
    """Return the numbers of the near points in the run around the middle that has no gap above GAP_MM."""
    numbers = np.flatnonzero(near)[np.argsort(z[near], kind="stable")]
    runs = np.split(numbers, np.flatnonzero(np.diff(z[numbers]) > GAP_MM) + 1)
    return min(runs, key=lambda run: abs(np.clip(middle, z[run[0]], z[run[-1]]) - middle) if len(run) else np.inf)


def beside(points: Array, ends: Array) -> Array:
    """Return which points (N, 3 or more), x, y, z first, are cross-sections of the needle with these ends."""
    low, high = ends[np.argsort(ends[:, 2])]
    z = points[:, 2:3]
    at = low[:2] + (z - low[2]) / max(high[2] - low[2], 1e-6) * (high[:2] - low[:2])
    within = (low[2] - 1.0 <= z[:, 0]) & (z[:, 0] <= high[2] + 1.0)
    return within & (np.hypot(*(points[:, :2] - at).T) <= BESIDE_MM)


def straight(points: Array) -> Course:
    """Return the straight line z -> (x, y) through points (N, 4), by least squares weighted by probability."""
    z = points[:, 2]
    if np.ptp(z) == 0:
        return lambda at: points[:, :2].mean(axis=0) + 0 * at
    fit = np.polynomial.polynomial.polyfit(z - z.mean(), points[:, :2], 1, w=np.sqrt(points[:, 3]))
    return lambda at: fit[0] + fit[1] * (at - z.mean())


def on(course: Course, z: Sequence[float]) -> Array:
    """Return the points (2, 3) of a line at two z."""
    return np.array([[*course(at), at] for at in z])


def _peaks(field: Array, best: Array, lowest: float, spacing: Array) -> Array:
    """Return x, y, z in mm and the probability of peaks in slices, (N, 4), where no other structure is above."""
    size = [2 * max(1, int(PEAK_MM / mm)) + 1 for mm in spacing[:2]]
    top = (field == ndimage.maximum_filter(field, (*size, 1))) & (field >= lowest)
    other = ndimage.maximum_filter(best, (3, 3, 1))
    labels, count = ndimage.label(top & (field >= 0.999 * other), IN_PLANE)  # equal neighbours are one peak
    first = np.unravel_index(np.unique(labels, return_index=True)[1], labels.shape)
    places = np.stack(first, axis=-1)[labels[first] > 0] if count else np.empty((0, 3), int)
    found = np.empty((min(len(places), MOST_PEAKS), 4))
    for n, (i, j, k) in enumerate(places[np.argsort(-field[tuple(places.T)], kind="stable")[:MOST_PEAKS]]):
        part = (slice(max(i - 1, 0), i + 2), slice(max(j - 1, 0), j + 2))
        weight = field[*part, k].astype(float)
        x, y = (
            weight.sum(axis=1 - axis) @ np.arange(one.start, one.start + weight.shape[axis]) / weight.sum()
            for axis, one in enumerate(part)
        )
        found[n] = (x * spacing[0], y * spacing[1], k * spacing[2], field[i, j, k])
    return found


def _chains(points: Array, how: Line, spacing: Array) -> list[list[int]]:
    """Link peaks (N, 4) of neighbouring slices, from the most certain on; a peak is used once."""
    numbers = np.rint(points[:, 2] / spacing[2]).astype(int)
    in_slice = {int(k): np.flatnonzero(numbers == k) for k in np.unique(numbers)}
    free = np.ones(len(points), bool)
    chains = []
    for first in np.argsort(-points[:, 3], kind="stable"):
        if not free[first]:
            continue
        free[first] = False
        chain = [int(first)]
        for step in (1, -1):
            k, missed = int(numbers[first]) + step, 0
            while missed <= MISSING:
                there = in_slice.get(k, np.empty(0, int))
                there = there[free[there]]
                near = _nearest(points[chain], points[there, :2], k * spacing[2], how) if len(there) else None
                if near is None:
                    missed += 1
                else:
                    missed = 0
                    free[there[near]] = False
                    chain.append(int(there[near]))
                k += step
        chains.append(chain)
    return chains


def _nearest(chain: Array, places: Array, z: float, how: Line) -> int | None:
    """Return the number of the place (N, 2) nearest to where a chain (M, 4) reaches z, if it is near enough."""
    last = chain[np.abs(chain[:, 2] - z).argmin()]
    allowed = REACH_MM + LEAN * abs(z - last[2])
    expected = last[:2]
    if np.ptp(chain[:, 2]) >= how.shortest_mm:
        expected, allowed = straight(chain)(z), REACH_MM + 0.05 * abs(z - last[2])
    far = np.hypot(*(places - expected).T)
    nearest = int(np.argmin(far))
    return nearest if far[nearest] <= allowed else None


def _extent(points: Array, field: Array, spacing: Array) -> tuple[float, float, Course]:
    """Return the lowest and highest z of a line through cross-sections (N, 4), and its course.

    It ends where the map along it falls to END_LEVEL of the median of the cross-sections, and at the first and last
    slice of the image.
    """
    course = straight(points)
    level = END_LEVEL * float(np.median(points[:, 3]))
    numbers = np.rint(points[points[:, 3] >= level, 2] / spacing[2]).astype(int)

    def end(k: int, step: int) -> float:
        here = _along(course, field, k, spacing)
        while 0 <= k + step < field.shape[2]:
            there = _along(course, field, k + step, spacing)
            if there < level:
                return float(k + step * np.clip((here - level) / max(here - there, 1e-6), 0, 1))
            k, here = k + step, there
        return float(k)

    return end(int(numbers.min()), -1) * spacing[2], end(int(numbers.max()), 1) * spacing[2], course


def _along(course: Course, field: Array, k: int, spacing: Array) -> float:
    i, j = (round(part) for part in course(k * spacing[2]) / spacing[:2])
    if not (0 <= i < field.shape[0] and 0 <= j < field.shape[1]):
        return 0.0  # a line ends at the border of the image
    return float(field[max(i - 1, 0) : i + 2, max(j - 1, 0) : j + 2, k].max())


def from_entry(needles: list[Piece], last_z: float, *, low_first: bool) -> list[Piece]:
    """Turn all needles so that they start at the end of the image that they come nearer to.

    What counts is the median distance; if both ends have the same, the mean.

    Parameters
    ----------
    needles
        Needles, each from its lower z to its higher.
    last_z
        z of the last slice in mm.
    low_first
        Whether they start at the lower z if both ends are as near.
    """
    if not needles:
        return []
    to_end = np.array([[one.ends[0, 2], last_z - one.ends[1, 2]] for one in needles])
    low, high = (tuple(np.round([np.median(side), side.mean()], 3)) for side in to_end.T)
    turned = high < low or (high == low and not low_first)
    return [replace(one, ends=one.ends[::-1]) for one in needles] if turned else needles
