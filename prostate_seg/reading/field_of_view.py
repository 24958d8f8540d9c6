"""Where in an image the scanner drew ultrasound, and black everywhere else.

Text, rulers, colour bars and logos around the fan must neither reach a network nor an output. The fan is
found by its content: it is the large, compact, convex thing. What is kept is its convex hull plus a margin,
over all frames, so that a dark far field, a shadow or a bladder inside the fan stays in view.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import ndimage
from skimage.measure import block_reduce
from skimage.morphology import convex_hull_image

from ..geometry.volume import Array

MAX_SIDE = 512  # the fan is looked for in an image of at most this many pixels a side
BLACK_LEVEL = 0.006  # of the brightest echoes: what compression leaves in the black surround
BORDER_SHARE = 0.25  # of the border: a value this frequent is the surround, the lowest one if several
CLOSING = 0.006  # of the shorter side: bridges the gaps between speckles
OPENING = 0.018  # of the shorter side: removes lines and letters, cuts thin links
MARGIN = 0.012  # of the shorter side: kept around the hull
COMPANION = 0.2  # of the largest component's area: a part of the fan that a shadow cuts off
DIGITAL_BLACK = 0.4  # of what lies outside the fan: a surround of noise is no surround, keep everything
CUT = 0.25  # of all that is not black: a fan that leaves more of it outside is looked for again, in every gray
EMPTY = 0.8  # of what lies outside a fan of every gray: digital black
SMALLEST = 0.15  # of the allowed area: a smaller find is no fan (nearly black image), keep everything


def field_of_view(array: Array, allowed: Array | None = None) -> Array:
    """Where the scanner drew ultrasound.

    array: (I, J, K), the union over all K frames counts. allowed: bool (I, J), the calibrated region of the
    image; None is all of it. Returns bool (I, J), a subset of allowed. Everything allowed is returned if
    no compact fan of at least 15 % of it is found, if the surround is not digital black, or if more than a
    quarter of what is not black would be lost.
    """
    allowed = np.ones(array.shape[:2], bool) if allowed is None else allowed
    if not allowed.any():
        return allowed
    columns, rows = (np.flatnonzero(allowed.any(axis)) for axis in (1, 0))
    box = (slice(columns[0], columns[-1] + 1), slice(rows[0], rows[-1] + 1))
    peak: Array = array[box].max(axis=2).astype(np.float32)
    surround = _surround(peak)
    level = BLACK_LEVEL * abs(float(np.percentile(peak, 99.5)) - surround)
    if surround - peak.min() <= level:  # a noise floor that reaches the border is no surround
        surround = float(peak.min())
    gray = peak != surround
    fan = _fan_before(np.abs(peak - surround) > level, gray, DIGITAL_BLACK)
    if fan is not None and np.count_nonzero(gray & ~fan) > CUT * np.count_nonzero(gray):
        fan = _fan_before(gray, gray, EMPTY)  # a probe in air: a bright near field, the rest of the fan at gray 1
    if fan is None:
        return allowed
    found = np.zeros_like(allowed)
    found[box] = fan
    return found & allowed


def _fan_before(drawn: Array, gray: Array, black: float) -> Array | None:
    """The fan that drawn pixels (I, J) make, or None if there is none before a surround of digital black.

    gray: what is not black. black: the share of the surround that must be.
    """
    step = -(-max(drawn.shape) // MAX_SIDE)
    fan = _fan(block_reduce(drawn, (step, step), np.max))
    if fan is None:
        return None
    fan = fan.repeat(step, 0).repeat(step, 1)[: drawn.shape[0], : drawn.shape[1]]
    outside = gray[~fan]
    return None if np.count_nonzero(~outside) < black * outside.size else fan


def blacken_outside(array: Array, mask: Array) -> None:
    """Set array (I, J, K) to black, in place, where mask (I, J) is False.

    Black is 0, or the smallest value of an image that has negative ones (a normalised one).
    """
    if mask.all():
        return
    black = min(0, array.min())
    for k in range(array.shape[2]):  # frame by frame: no copy of the volume
        array[..., k][~mask] = black


def over_frames(mask: Array, frames: int) -> Array:
    """A field of view (I, J) as (I, J, frames), read-only and without its own memory."""
    return np.broadcast_to(mask[..., None], (*mask.shape, frames))


def _surround(peak: Array) -> float:
    """The value of the surround of an image (I, J), by its border; the smallest where none is frequent."""
    border = np.concatenate([peak[0], peak[-1], peak[:, 0], peak[:, -1]])
    values, counts = np.unique(border, return_counts=True)
    common = values[counts >= BORDER_SHARE * border.size]
    return float(common[0] if len(common) else peak.min())


def _fan(drawn: Array) -> Array | None:
    """The convex fan in a drawn/black image (I, J), or None where there is none."""
    side = min(drawn.shape)
    opened = _opened(_closed(drawn, CLOSING * side), OPENING * side)
    labels, count = ndimage.label(opened)
    if not count:
        return None
    areas = np.bincount(labels.ravel())[1:]
    kept = np.isin(labels, 1 + np.flatnonzero(areas >= COMPANION * areas.max()))
    fan: Array = convex_hull_image(kept)
    if np.count_nonzero(fan) < SMALLEST * fan.size:
        return None
    return _dilated(fan, (MARGIN + CLOSING) * side + 1)


def _dilated(mask: Array, radius: float) -> Array:
    if not mask.any():
        return mask
    distance: Any = ndimage.distance_transform_edt(~mask)
    return np.asarray(distance <= radius)


def _closed(mask: Array, radius: float) -> Array:
    padded = np.pad(mask, int(radius) + 2)
    distance: Any = ndimage.distance_transform_edt(_dilated(padded, radius))
    trim = int(radius) + 2
    return np.asarray(distance > radius)[trim:-trim, trim:-trim]


def _opened(mask: Array, radius: float) -> Array:
    """Opening by a disk. Beyond the border counts as black: a frame drawn along it is a thin line."""
    distance: Any = ndimage.distance_transform_edt(np.pad(mask, 1))
    return _dilated(np.asarray(distance > radius), radius)[1:-1, 1:-1]
