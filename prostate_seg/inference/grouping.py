"""Things from maps of their cross-sections: peaks in each slice, linked across slices to straight pieces.

A map gives for each voxel the probability that the axis of a needle, seed or calcification crosses the slice there.
Needles are lines that run through the slices from one end of the image; seeds and calcifications are short. Lengths
are in mm of the grid: index times spacing, slices along the third axis.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
from scipy import ndimage

from ..geometry.structures import key
from ..geometry.things import Thing
from ..geometry.volume import spacing_of

Array = np.ndarray[Any, Any]

IN_PLANE = np.ones((3, 3, 3), bool) & [False, True, False]  # neighbours in a slice
MOST_PEAKS = 4000  # of a structure in an image; 25 needles in 100 slices have 2500
APART_MM = 1.5  # between two cross-sections in a slice
LEAN = 0.25  # largest sideways shift of a needle or seed per mm along it
REACH_MM = 0.6  # sideways error of a cross-section that is still linked
NEEDLE_LENGTH_MM = 10.0  # a shorter line is no needle
SEED_LENGTH_MM = 4.5  # of the usual seeds for brachytherapy (AAPM TG-43)
SEEN_MM = 0.8 * SEED_LENGTH_MM  # shortest run of cross-sections that shows the direction of a seed


@dataclass(frozen=True)
class Kind:
    """How the cross-sections of a structure are linked.

    Attributes
    ----------
    radius_mm
        Usual radius.
    peak
        Lowest probability of a cross-section.
    score
        Lowest mean probability of a piece.
    shortest_mm
        A shorter piece is dropped.
    longest_mm
        A longer piece is cut into pieces of this length or less.
    missing
        Number of slices in a row that a piece may skip.
    oriented
        Whether the ends of every piece show its direction.
    """

    radius_mm: float
    peak: float
    score: float
    shortest_mm: float = 0.0
    longest_mm: float = np.inf
    missing: int = 0
    oriented: bool = False


@dataclass(frozen=True)
class Piece:
    """A straight piece: both ends (2, 3) in mm of the grid, its score, and whether they show its direction."""

    ends: Array
    score: float
    oriented: bool


KINDS = {  # by the key of the structure, needles first: what is beside a needle belongs to it
    "needle": Kind(0.65, 0.4, 0.55, shortest_mm=NEEDLE_LENGTH_MM, missing=2, oriented=True),
    "seed": Kind(0.4, 0.3, 0.45, longest_mm=SEED_LENGTH_MM + 1.0),
    "calcification": Kind(1.0, 0.3, 0.5),
}


def things_in(probability: Array, affine: Array, names: Sequence[str]) -> list[Thing]:
    """Return the needles, seeds and calcifications that maps show, the most certain first.

    Parameters
    ----------
    probability
        Map of each structure, (S, I, J, K), 0 to 1.
    affine
        Affine of the grid in RAS mm.
    names
        Names of the S structures.

    Returns
    -------
    list of Thing
        Needles run from their entry to their tip. The entry is at the end of the image that more needles reach. A
        seed is oriented if its cross-sections alone span most of its length, a calcification never.
    """
    spacing = np.array(spacing_of(affine))
    best = probability.max(axis=0)
    fields = {key(name): (name, field) for name, field in zip(names, probability, strict=True)}
    needles: list[Array] = []
    found: list[Thing] = []
    for kind, how in KINDS.items():
        if kind not in fields:
            continue
        name, field = fields[kind]
        peaks = _peaks(field, best, how.peak, spacing)
        points = [one for one in peaks if not any(_beside(one, line) for line in needles)]
        pieces = [piece for chain in _chains(points, how, spacing) for piece in _pieces(chain, field, how, spacing)]
        kept = [one for one in pieces if _length(one.ends) >= how.shortest_mm and one.score >= how.score]
        if kind == "needle":
            needles = [one.ends for one in kept]
            kept = _from_entry(kept, (field.shape[2] - 1) * spacing[2])
        for one in sorted(kept, key=lambda piece: -piece.score):
            (x, y, z), (u, v, w) = (one.ends / spacing @ affine[:3, :3].T + affine[:3, 3]).tolist()
            found.append(Thing(name, (x, y, z), (u, v, w), how.radius_mm, round(one.score, 3), one.oriented))
    return found


def _peaks(field: Array, best: Array, lowest: float, spacing: Array) -> list[Array]:
    """Return x, y, z in mm and the probability of each peak in each slice where no other structure is above."""
    size = [2 * max(1, int(APART_MM / mm / 1.5)) + 1 for mm in spacing[:2]]
    top = (field == ndimage.maximum_filter(field, (*size, 1))) & (field >= lowest)
    other = ndimage.maximum_filter(best, (3, 3, 1))
    found = []
    labels, count = ndimage.label(top & (field >= 0.999 * other), IN_PLANE)  # equal neighbours are one peak
    first = np.unravel_index(np.unique(labels, return_index=True)[1], labels.shape)
    places = np.stack(first, axis=-1)[labels[first] > 0] if count else np.empty((0, 3), int)
    for i, j, k in places[np.argsort(-field[tuple(places.T)], kind="stable")[:MOST_PEAKS]]:
        part = (slice(max(i - 1, 0), i + 2), slice(max(j - 1, 0), j + 2))
        weight = field[*part, k].astype(float)
        rows, columns = np.indices(weight.shape)
        x, y = (
            (weight * at).sum() / weight.sum() + one.start for at, one in zip((rows, columns), part, strict=True)
        )
        found.append(np.array([x * spacing[0], y * spacing[1], k * spacing[2], field[i, j, k]]))
    return found


def _chains(points: list[Array], kind: Kind, spacing: Array) -> list[list[Array]]:
    """Link peaks of neighbouring slices, from the most certain on; a peak is used once."""
    by_slice: dict[int, list[Array]] = {}
    for one in points:
        by_slice.setdefault(round(one[2] / spacing[2]), []).append(one)
    used: set[int] = set()
    chains = []
    for first in sorted(points, key=lambda one: -one[3]):
        if id(first) in used:
            continue
        used.add(id(first))
        chain = [first]
        for step in (1, -1):
            k, missed = round(first[2] / spacing[2]) + step, 0
            while missed <= kind.missing:
                free = [one for one in by_slice.get(k, []) if id(one) not in used]
                near = _nearest(chain, free, k * spacing[2])
                if near is None:
                    missed += 1
                else:
                    missed = 0
                    used.add(id(near))
                    chain.append(near)
                k += step
        chains.append(sorted(chain, key=lambda one: one[2]))
    return chains


def _nearest(chain: list[Array], free: list[Array], z: float) -> Array | None:
    """Return the free peak nearest to where a chain reaches z, if it is near enough."""
    if not free:
        return None
    at = np.array(chain)
    last = at[np.abs(at[:, 2] - z).argmin()]
    allowed = REACH_MM + LEAN * abs(z - last[2])
    expected = last[:2]
    if np.ptp(at[:, 2]) >= NEEDLE_LENGTH_MM:  # long enough for a direction
        expected, allowed = _line(at)(z), REACH_MM + 0.05 * abs(z - last[2])
    far = [float(np.hypot(*(one[:2] - expected))) for one in free]
    nearest = int(np.argmin(far))
    return free[nearest] if far[nearest] <= allowed else None


def _line(points: Array) -> Any:
    """Return the function z -> (x, y) of the straight line through points, by least squares weighted by score."""
    z = points[:, 2]
    if np.ptp(z) == 0:
        return lambda at: points[:, :2].mean(axis=0)
    fit = np.polynomial.polynomial.polyfit(z - z.mean(), points[:, :2], 1, w=np.sqrt(points[:, 3]))
    return lambda at: fit[0] + fit[1] * (at - z.mean())


def _pieces(chain: list[Array], field: Array, kind: Kind, spacing: Array) -> list[Piece]:
    """Return the pieces of a chain, cut off at the first and last slice."""
    points = np.array(chain)
    line = _line(points)
    low, high = _extent(points, line, field, spacing)
    border = np.array([-0.5, field.shape[2] - 0.5]) * spacing[2]
    if np.isinf(kind.longest_mm):
        return [Piece(_on(line, np.array([low, high])), float(points[:, 3].mean()), kind.oriented)]
    count = max(1, int(np.ceil((high - low - spacing[2]) / kind.longest_mm)))
    pieces = []
    for first, last in pairwise(np.linspace(low, high, count + 1)):
        inside = points[(points[:, 2] >= first) & (points[:, 2] <= last)]
        middle = (first + last) / 2
        slope = line(middle + 1.0) - line(middle)
        half = 0.5 * SEED_LENGTH_MM / np.sqrt(1 + slope @ slope)
        ends = _on(line, np.clip([middle - half, middle + half], *border))
        score = float((inside if len(inside) else points)[:, 3].mean())
        pieces.append(Piece(ends, score, count == 1 and bool(np.ptp(points[:, 2]) >= SEEN_MM)))
    return pieces


def _on(line: Any, z: Array) -> Array:
    """Return the points (2, 3) of a line at two z."""
    return np.array([[*line(at), at] for at in z])


def _extent(points: Array, line: Any, field: Array, spacing: Array) -> tuple[float, float]:
    """Return the lowest and highest z of a piece: where the map along its line falls to half of the piece's median.

    At the first and last slice of the image the piece ends there.
    """
    level = 0.5 * float(np.median(points[:, 3]))
    numbers = np.rint(points[:, 2] / spacing[2]).astype(int)

    def end(k: int, step: int) -> float:
        here = _along(line, field, k, spacing)
        while 0 <= k + step < field.shape[2]:
            there = _along(line, field, k + step, spacing)
            if there < level:
                return float(k + step * np.clip((here - level) / max(here - there, 1e-6), 0, 1))
            k, here = k + step, there
        return float(k)

    return end(int(numbers.min()), -1) * spacing[2], end(int(numbers.max()), 1) * spacing[2]


def _along(line: Any, field: Array, k: int, spacing: Array) -> float:
    i, j = (round(part) for part in line(k * spacing[2]) / spacing[:2])
    i, j = np.clip(i, 0, field.shape[0] - 1), np.clip(j, 0, field.shape[1] - 1)
    return float(field[max(i - 1, 0) : i + 2, max(j - 1, 0) : j + 2, k].max())


def _beside(point: Array, line: Array) -> bool:
    """Return whether a cross-section is one of a needle."""
    low, high = line
    if not low[2] - 1.0 <= point[2] <= high[2] + 1.0:
        return False
    at = low[:2] + (point[2] - low[2]) / max(high[2] - low[2], 1e-6) * (high[:2] - low[:2])
    return bool(np.hypot(*(point[:2] - at)) <= APART_MM)


def _length(ends: Array) -> float:
    return float(np.linalg.norm(ends[1] - ends[0]))


def _from_entry(needles: list[Piece], last_z: float) -> list[Piece]:
    """Turn all needles so that they start at the end of the image that more of them reach."""
    low = sum(one.ends[0, 2] <= 0 for one in needles)
    high = sum(one.ends[1, 2] >= last_z for one in needles)
    return [replace(one, ends=one.ends[::-1]) for one in needles] if high > low else needles
