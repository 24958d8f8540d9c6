"""Checks whether an image and its mask belong together, by comparison with the other cases of the set."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from ...geometry.structures import CTV
from ...geometry.volume import Array
from .appearance import SIZE, Picture, likeness
from .facts import AXES, CaseFacts
from .findings import Finding
from .geometry_checks import remedy

FEWEST_CASES = 8  # of a set, to compare one with the others
LOW = 0.6  # times the median likeness of the edges: below, the mask is suspected
GAIN = 0.2  # by which the likeness of the edges grows if a reversed mask is turned back
SHARE = 0.25  # of the typical difference to the mirror image: beyond, with the other sign, an image is reversed
SIDED = 0.1  # least typical difference of a set to its mirror image, to judge by it


def edges(cases: Sequence[CaseFacts]) -> Iterator[Finding]:
    """Find masks whose contour runs along other edges than those of the other cases, or that are reversed."""
    known = [case for case in cases if case.edges]
    if len(known) < FEWEST_CASES:
        return
    patterns = [[case.edges[number] for case in known] for number in range(1 + len(AXES))]
    own = likeness(patterns[0])
    mirrored = np.stack([likeness(patterns[0], turned) for turned in patterns[1:]])
    typical = float(np.median(own))
    for case, value, turned in zip(known, own, mirrored.T, strict=True):
        best = int(turned.argmax())
        if turned[best] - value > GAIN and turned[best] > LOW * typical:
            sentence = (
                f"the mask of the CTV fits better if it is reversed ({AXES[best]}): then its edges agree with "
                f"those of the other cases to {turned[best]:.2f}, now to {value:.2f} (median of the set "
                f"{typical:.2f}); look whether mask or image is mirrored."
            )
            yield Finding("mirrored_mask", (case.entry.name,), sentence, "warning", structures=(CTV,))
        elif value < LOW * typical:
            sentence = (
                f"the edges along the contour of the CTV agree with those of the other cases only to {value:.2f} "
                f"(median of the set {typical:.2f}); look whether the mask belongs to this image."
            )
            yield Finding("edges", (case.entry.name,), sentence, "warning", structures=(CTV,))


def mirrored(cases: Sequence[CaseFacts]) -> Iterator[Finding]:
    """Find images that are mirrored or upside down in comparison with the other cases.

    Their small pictures of the field of view and of the gland are compared with the mean of the others, as they are
    and reversed. The set must have a typical side along an axis, as above and below the probe.
    """
    known = [case for case in cases if case.whole is not None]
    if len(known) < FEWEST_CASES:
        return
    gains = _gains([case.whole for case in known if case.whole])
    glands = [number for number, case in enumerate(known) if case.gland is not None]
    if len(glands) >= FEWEST_CASES:
        gains[:, glands] = (gains[:, glands] + _gains([case.gland for case in known if case.gland])) / 2
    typical = np.median(gains, axis=1)
    for number, case in enumerate(known):
        for axis in np.flatnonzero((typical < -SIDED) & (gains[:, number] > -SHARE * typical)):
            sentence = (
                f"the image looks reversed ({AXES[axis]}): its likeness to the other cases is "
                f"{gains[axis, number]:+.2f} when it is reversed, theirs mostly {typical[axis]:+.2f}; look at "
                f"it, and if it is, {remedy(case)}."
            )
            yield Finding("mirrored_image", (case.entry.name,), sentence, "warning")


def _gains(pictures: Sequence[Picture]) -> Array:
    """Return the gain in likeness to the others if a picture is reversed along each axis: (3, n)."""
    own = _likeness(pictures, None)
    return np.stack([_likeness(pictures, axis) - own for axis in range(len(AXES))])


def _likeness(pictures: Sequence[Picture], flipped: int | None) -> Array:
    """Return the correlation of each picture with the mean of the others, where it shows ultrasound."""
    values, seen = (
        np.stack([getattr(one, part) for one in pictures]).astype(np.float32) for part in ("values", "seen")
    )
    means = (values.sum(axis=0) - values) / np.maximum(seen.sum(axis=0) - seen, 1)
    if flipped is not None:
        values, seen = (
            np.flip(part.reshape(-1, *SIZE), flipped + 1).reshape(part.shape) for part in (values, seen)
        )
    count = np.maximum(seen.sum(axis=1, keepdims=True), 1)
    centred = [(part - (part * seen).sum(axis=1, keepdims=True) / count) * seen for part in (values, means)]
    scale = np.sqrt((centred[0] ** 2).sum(axis=1) * (centred[1] ** 2).sum(axis=1))
    return np.asarray((centred[0] * centred[1]).sum(axis=1) / np.maximum(scale, 1e-6))
