"""The field of view: the part of an image that shows ultrasound. All other pixels are set to black.

Text, rulers, colour bars and logos around the ultrasound fan must reach neither a network nor an output. The fan is
the large, compact and convex region of the image. The field of view is the convex hull of this region in all
frames, plus a margin. It therefore includes a dark far field, a shadow or a bladder inside the fan.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import ndimage
from skimage.measure import block_reduce
from skimage.morphology import convex_hull_image

from ..geometry.volume import Array

MAX_SIDE = 512  # pixels a side of the reduced image in which the fan is searched
BLACK_LEVEL = 0.006  # of the brightest echoes: compression noise in a black background is below this
BORDER_SHARE = 0.25  # of the border: a value this frequent is the background; of several, the lowest
CLOSING = 0.006  # radius, of the shorter side: closes the gaps between speckles
OPENING = 0.018  # radius, of the shorter side: removes lines, letters and thin connections
MARGIN = 0.012  # of the shorter side: added around the convex hull
COMPANION = 0.2  # of the largest component's area: a component this large is a part of the fan, cut off by a shadow
DIGITAL_BLACK = 0.4  # of the pixels outside the fan: if fewer are black, there is no background; keep everything
CUT = 0.25  # of the pixels that are not black: if the fan excludes more, search again, in all gray values
EMPTY = 0.8  # of the pixels outside a fan in all gray values: so many must be black
SMALLEST = 0.15  # of the allowed area: a smaller region is not a fan (nearly black image); keep everything


def field_of_view(array: Array, allowed: Array | None = None) -> Array:
    """Return the field of view of an image.

    If the fan of the brighter echoes excludes more than a quarter of the pixels that are not black, the fan is
    searched again among all pixels that are not black.

    Parameters
    ----------
    array
        (I, J, K); the field of view covers all K frames.
    allowed
        bool (I, J): the calibrated region of the image; None is the whole image.

    Returns
    -------
    Array
        bool (I, J), a subset of ``allowed``. It is equal to ``allowed`` if no compact fan of at least 15 % of the
        allowed area is found, or if the background is not digital black.
    """
    allowed = np.ones(array.shape[:2], bool) if allowed is None else allowed
    if not allowed.any():
        return allowed
    columns, rows = (np.flatnonzero(allowed.any(axis)) for axis in (1, 0))
    box = (slice(columns[0], columns[-1] + 1), slice(rows[0], rows[-1] + 1))
    peak: Array = array[box].max(axis=2).astype(np.float32)
    surround = _surround(peak)
    level = BLACK_LEVEL * abs(float(np.percentile(peak, 99.5)) - surround)
    if surround - peak.min() <= level:  # noise that reaches the border is not a background
        surround = float(peak.min())
    gray = peak != surround
    fan = _fan_before(np.abs(peak - surround) > level, gray, DIGITAL_BLACK)
    if fan is not None and np.count_nonzero(gray & ~fan) > CUT * np.count_nonzero(gray):
        fan = _fan_before(gray, gray, EMPTY)  # a probe in air: a bright near field, the rest of the fan has gray 1
    if fan is None:
        return allowed
    found = np.zeros_like(allowed)
    found[box] = fan
    return found & allowed


def _fan_before(drawn: Array, gray: Array, black: float) -> Array | None:
    """Return the fan, bool (I, J), or None if there is no fan on a black background.

    Parameters
    ----------
    drawn
        bool (I, J): pixels that may belong to the fan.
    gray
        bool (I, J): pixels that are not black.
    black
        Fraction of the pixels outside the fan that must be black.
    """
    step = -(-max(drawn.shape) // MAX_SIDE)
    fan = _fan(block_reduce(drawn, (step, step), np.max))
    if fan is None:
        return None
    fan = fan.repeat(step, 0).repeat(step, 1)[: drawn.shape[0], : drawn.shape[1]]
    outside = gray[~fan]
    return None if np.count_nonzero(~outside) < black * outside.size else fan


def blacken_outside(array: Array, mask: Array) -> None:
    """Set the pixels of ``array`` (I, J, K) outside ``mask`` (I, J) to black, in place.

    Black is 0. If an image has negative values (a normalised image), black is its smallest value.
    """
    if mask.all():
        return
    black = min(0, array.min())
    for k in range(array.shape[2]):  # frame by frame, to avoid a copy of the volume
        array[..., k][~mask] = black


def over_frames(mask: Array, frames: int) -> Array:
    """Return a field of view (I, J) as a read-only view (I, J, frames), without a copy."""
    return np.broadcast_to(mask[..., None], (*mask.shape, frames))


def _surround(peak: Array) -> float:
    """Return the value of the background of an image (I, J).

    It is a frequent value of the border, or the smallest value of the image if no value is frequent.
    """
    border = np.concatenate([peak[0], peak[-1], peak[:, 0], peak[:, -1]])
    values, counts = np.unique(border, return_counts=True)
    common = values[counts >= BORDER_SHARE * border.size]
    return float(common[0] if len(common) else peak.min())


def _fan(drawn: Array) -> Array | None:
    """Return the convex fan in a binary image (I, J), or None if there is none."""
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
    """Return the morphological opening by a disk.

    Pixels beyond the border are black, so that a frame drawn along the border is removed as a thin line.
    """
    distance: Any = ndimage.distance_transform_edt(np.pad(mask, 1))
    return _dilated(np.asarray(distance > radius), radius)[1:-1, 1:-1]
