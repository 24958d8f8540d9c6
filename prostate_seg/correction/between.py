"""The slices between contours: interpolated from the contours, and led by the probability.

The signed distance to the contour is interpolated along the slices by a monotone cubic (Fritsch and Carlson 1980),
as in shape-based interpolation (Raya and Udupa 1990). The same is done with the difference between the contours'
and the probability's distance, which is added to the probability's own distance in every slice. The mask's distance
is the weighted mean of both.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from scipy import ndimage
from scipy.interpolate import PchipInterpolator

from ..geometry.extent import bounding_box
from ..geometry.volume import Array

FARTHEST_MM = 30.0  # contours farther apart do not determine what lies between them
OWN_SHARE = 0.5  # weight of the probability's own shape
PIXEL_MM = 0.5  # distances are computed on pixels of about this size
MARGIN_MM = 8.0
CLIP_MM = 15.0  # distances beyond this do not matter
EDGE_MM = 0.5  # half-width of the edge on a contour's slice
EDGE_SLOPE = 0.05  # growth of this width with the distance to the next contour


def fill_between(
    probability: Array, contours: dict[int, Array], *, pixel_mm: tuple[float, float], gap_mm: float
) -> None:
    """Replace, in place, the slices of a probability (I, J, K) between contours at most 30 mm apart.

    Parameters
    ----------
    probability
        Foreground probability; the slices follow each other along k.
    contours
        Mask of each contoured slice, bool (I, J), by its index k.
    pixel_mm
        Spacing along i and j.
    gap_mm
        Distance of the slices.
    """
    known = sorted(k for k, mask in contours.items() if mask.any())
    run: list[int] = []
    for k, following in pairwise([*known, -1]):
        run.append(k)
        if following < 0 or (following - k) * gap_mm > FARTHEST_MM:
            if len(run) > 1:
                _fill(probability, {n: contours[n] for n in run}, pixel_mm, gap_mm)
            run = []


def _fill(probability: Array, contours: dict[int, Array], pixel_mm: tuple[float, float], gap_mm: float) -> None:
    known = sorted(contours)
    all_slices = slice(known[0], known[-1] + 1)
    drawn = np.logical_or.reduce([*contours.values(), (probability[:, :, all_slices] >= 0.5).any(axis=2)])
    box = tuple(
        slice(max(0, part.start - round(MARGIN_MM / mm)), part.stop + round(MARGIN_MM / mm))
        for part, mm in zip(bounding_box(drawn), pixel_mm, strict=True)
    )
    steps = [max(1, int(PIXEL_MM / mm)) for mm in pixel_mm]
    thin = (slice(box[0].start, box[0].stop, steps[0]), slice(box[1].start, box[1].stop, steps[1]))
    size = (pixel_mm[0] * steps[0], pixel_mm[1] * steps[1])
    wanted = [k for k in range(known[0] + 1, known[-1]) if k not in contours]
    own = {k: signed_distance_mm(probability[*thin, k] >= 0.5, size) for k in [*known, *wanted]}
    given = np.stack([signed_distance_mm(contours[k][thin], size) for k in known])
    apart = np.stack([given[n] - own[k] for n, k in enumerate(known)])
    shape, difference = (PchipInterpolator(known, part, axis=0)(wanted) for part in (given, apart))
    for n, k in enumerate(wanted):
        distance = (1 - OWN_SHARE) * shape[n] + OWN_SHARE * (own[k] + difference[n])
        full = np.s_[box[0], box[1], k]
        fine = _enlarged(distance, steps, probability[full].shape)
        width = EDGE_MM + EDGE_SLOPE * gap_mm * min(abs(k - one) for one in known)
        probability[full] = 1 / (1 + np.exp(-fine / width))


def signed_distance_mm(mask: Array, pixel_mm: tuple[float, float]) -> Array:
    """Return the distance to the boundary of a mask (I, J) in mm, positive inside, at most 15 mm."""
    if not mask.any() or mask.all():
        return np.full(mask.shape, CLIP_MM if mask.any() else -CLIP_MM)
    inside, outside = (ndimage.distance_transform_edt(part, sampling=pixel_mm) for part in (mask, ~mask))
    return np.asarray(np.clip(inside - outside, -CLIP_MM, CLIP_MM))


def _enlarged(distance: Array, steps: list[int], shape: tuple[int, ...]) -> Array:
    """Return a distance at every ``steps``-th pixel on all pixels, by linear interpolation."""
    if steps == [1, 1]:
        return distance
    at = np.meshgrid(*(np.arange(n) / step for n, step in zip(shape, steps, strict=True)), indexing="ij")
    return np.asarray(ndimage.map_coordinates(distance, at, order=1, mode="nearest"))
