"""Seeds and calcifications from a map of their cross-sections.

Seeds have a known length: the map is smoothed in each slice and averaged along the slices over that length (a
matched filter). The best fit is taken first, and no other one where its seed lies. Calcifications have any size:
what hangs together is one. Lengths are in mm of the grid: index times spacing, slices along the third axis.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import ndimage

from .lines import MOST_PEAKS, Piece, beside, on, straight

Array = np.ndarray[Any, Any]

SECTION_MM = 0.8  # standard deviation of a cross-section in a map (SectionMapsd), and of the smoothing
STEP_MM = 0.5  # of the places along the slices
BEYOND_MM = 0.25  # distance of a slice from the end of a piece that it still shows: SectionMapsd
PEAK_MM = (1.0, 1.0, 2.0)  # a best place is the highest so far around
ACROSS_MM = 2.5  # two pieces side by side are at least so far apart
SEEN = 0.8  # share of its length that shows the direction of a piece


@dataclass(frozen=True)
class Spot:
    """How pieces of a known length are found.

    Attributes
    ----------
    radius_mm
        Usual radius.
    fit
        Lowest mean of the smoothed map along a piece; a perfect one has 1 on average.
    score
        Lowest mean probability of its cross-sections.
    length_mm
        Its length.
    """

    radius_mm: float
    fit: float
    score: float
    length_mm: float


@dataclass(frozen=True)
class Blob:
    """How pieces of any size are found.

    Attributes
    ----------
    radius_mm
        Usual radius.
    score
        Lowest probability at the best place of a piece.
    edge
        Lowest probability of its voxels.
    """

    radius_mm: float
    score: float
    edge: float


def blobs_in(field: Array, spacing: Array, how: Blob, lines: Sequence[Array] = ()) -> list[Piece]:
    """Return what hangs together in a map, the most certain first; parameters as of :func:`spots_in`."""
    labels, count = ndimage.label(field >= how.edge, np.ones((3, 3, 3)))
    where = np.nonzero(labels)  # few voxels: faster than functions of whole images
    numbers, weights = labels[where] - 1, field[where].astype(float)
    scores = np.zeros(count)
    np.maximum.at(scores, numbers, weights)
    moments = [np.bincount(numbers, weights * index, count) for index in where]
    centres = np.stack(moments, axis=-1) / np.bincount(numbers, weights, count)[:, None] * spacing
    found = []
    for at, score, box in zip(centres, scores, ndimage.find_objects(labels), strict=True):
        if score >= how.score and not any(beside(at[None], line)[0] for line in lines):
            ends = np.array([[*at[:2], k * spacing[2]] for k in (box[2].start, box[2].stop - 1)])
            found.append(Piece(ends, float(score), oriented=False))
    return sorted(found, key=lambda piece: -piece.score)


def spots_in(field: Array, spacing: Array, how: Spot, lines: Sequence[Array] = ()) -> list[Piece]:
    """Return the pieces of known length of a map (I, J, K), the most certain first.

    Parameters
    ----------
    field
        Probability of a cross-section, (I, J, K).
    spacing
        Distances of the voxels in mm.
    how
        Limits.
    lines
        Both ends (2, 3) in mm of each needle; what lies beside one is no piece.
    """
    mean, fit, z = _means(field, spacing, how.length_mm)
    size = [2 * max(1, int(reach / mm)) + 1 for reach, mm in zip(PEAK_MM, (*spacing[:2], STEP_MM), strict=True)]
    top = (fit >= how.fit) & (mean >= 0.5 * how.fit) & (mean == ndimage.maximum_filter(mean, size))
    places = np.argwhere(top)
    places = places[np.argsort(-mean[tuple(places.T)], kind="stable")[:MOST_PEAKS]]
    taken = np.empty((0, 3))
    found = []
    for i, j, n in places:
        points = _sections(field, (i, j), z[n], spacing=spacing, length_mm=how.length_mm)
        score = float(points[:, 3].mean())
        if score < how.score:
            continue
        at = np.array([*np.average(points[:, :2], axis=0, weights=points[:, 3]), z[n]])
        across = np.hypot(*(taken[:, :2] - at[:2]).T)
        if ((across < ACROSS_MM) & (np.abs(taken[:, 2] - at[2]) < how.length_mm)).any():
            continue
        if any(beside(at[None], line)[0] for line in lines):
            continue
        taken = np.vstack([taken, at])
        found.append(_piece(points, at, score, border=(np.array([0, field.shape[2]]) - 0.5) * spacing[2], how=how))
    return sorted(found, key=lambda piece: -piece.score)


def _means(field: Array, spacing: Array, length_mm: float) -> tuple[Array, Array, Array]:
    """Return the mean of the map along a piece at each place, the same over its part in the image, and z in mm."""
    smooth = ndimage.gaussian_filter(field, (*(SECTION_MM / spacing[:2]), 0))
    smooth *= 2  # the peak of a smoothed cross-section is half as high
    count, step = field.shape[2], spacing[2]
    z = np.arange(-0.5 * step + STEP_MM / 2, (count - 0.5) * step, STEP_MM)
    low = np.clip(np.floor(z / step).astype(int), 0, count - 1)
    high = np.minimum(low + 1, count - 1)
    share = np.clip(z / step - low, 0, 1).astype(np.float32)
    along = smooth[..., low] * (1 - share) + smooth[..., high] * share
    size = max(1, round(length_mm / STEP_MM))
    mean = ndimage.uniform_filter1d(along, size, axis=2, mode="constant") / _most(step, size, length_mm)
    inside = ndimage.uniform_filter1d(np.ones(len(z), np.float32), size, mode="constant")
    return mean + 1e-3 * mean / inside, mean / inside, z  # of equal means the one nearest to the border


def _most(step: float, size: int, length_mm: float) -> float:
    """Return the mean that a perfect piece has, averaged over the places between two slices where it may lie."""
    slices = np.arange(-40, 41) * step
    offsets = (np.arange(20) + 0.5) / 20 * step
    samples = (np.arange(-8 * size, 8 * size + 1)) * STEP_MM
    best = []
    for offset in offsets:
        shown = np.abs(slices - offset) <= length_mm / 2 + BEYOND_MM
        best.append(ndimage.uniform_filter1d(np.interp(samples, slices, shown), size).max())
    return float(np.mean(best))


def _sections(field: Array, place: tuple[int, int], z: float, *, spacing: Array, length_mm: float) -> Array:
    """Return x, y, z in mm and the weight of the cross-sections of a piece, one a slice, (N, 4)."""
    reach = max(length_mm / 2, spacing[2] / 2) + 1e-6
    first = max(0, int(np.ceil((z - reach) / spacing[2])))
    last = min(field.shape[2] - 1, int(np.floor((z + reach) / spacing[2])))
    part = tuple(slice(max(at - 2, 0), at + 3) for at in place)
    weight = field[*part, first : last + 1].astype(float) ** 2 + 1e-9
    total = weight.sum(axis=(0, 1))
    rows, columns = (np.arange(one.start, one.start + n) for one, n in zip(part, weight.shape, strict=False))
    x = np.tensordot(rows, weight.sum(axis=1), 1) / total * spacing[0]
    y = np.tensordot(columns, weight.sum(axis=0), 1) / total * spacing[1]
    return np.stack([x, y, np.arange(first, last + 1) * spacing[2], field[*part, first : last + 1].max((0, 1))], -1)


def _piece(points: Array, at: Array, score: float, *, border: Array, how: Spot) -> Piece:
    """Return the piece of this middle, cut off at the border of the image, lowest and highest z."""
    points = points[points[:, 3] >= 0.5 * how.score]
    oriented = len(points) > 1 and bool(np.ptp(points[:, 2]) >= SEEN * how.length_mm)
    slope = np.zeros(2)
    if oriented:
        course = straight(points)
        slope = course(1.0) - course(0.0)
    half = 0.5 * how.length_mm / np.sqrt(1 + slope @ slope)
    ends = np.clip([at[2] - half, at[2] + half], *border)
    return Piece(on(lambda z: at[:2] + slope * (z - at[2]), ends), score, oriented)
