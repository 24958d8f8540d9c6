"""Checks of the masks, each by itself and against the set."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from ...geometry.structures import CTV, structure
from .facts import CaseFacts
from .findings import Finding
from .masks import MaskFacts, Part

SMALLEST_ML, LARGEST_ML = 8.0, 250.0  # plausible volume of a CTV
SPREAD, FACTOR = (
    4.0,
    3.0,
)  # an odd volume: beyond so many robust standard deviations, and this factor, of the median
ODD_SHAPE_MM = 2.5  # mean distance from the nearest plausible shape
FEWEST_CASES = 8  # of a set, to call one of them odd
PIECE_ML, HOLE_ML = 0.05, 0.1
UNSEEN_SHARE, BEYOND_SHARE = 0.02, 0.05  # of a mask


def empty(cases: Sequence[CaseFacts]) -> Iterator[Finding]:
    """Find masks without a voxel; a case may have no instance of things that are counted."""
    for case, name, mask in _masks(cases):
        if mask.ml == 0 and _counted(name):
            sentence = f"the mask of {name} is empty, which means that the case has none; draw it if it has some."
            yield Finding("empty", (case.entry.name,), sentence, "note", structures=(name,))
        elif mask.ml == 0:
            sentence = f"the mask of {name} is empty; leave it out of the datalist, or draw it."
            yield Finding("empty", (case.entry.name,), sentence, "error", structures=(name,))


def gaps(cases: Sequence[CaseFacts]) -> Iterator[Finding]:
    """Find structures with slices that were left out; things that are counted may lie apart."""
    for case, name, mask in _masks(cases):
        if mask.gaps and not _counted(name):
            shown = ", ".join(str(k + 1) for k in mask.gaps[:10])
            sentence = (
                f"the mask of {name} is missing on {_slices(len(mask.gaps))} between its first and last one "
                f"({shown}); draw or interpolate it there."
            )
            yield Finding("gaps", (case.entry.name,), sentence, "error", mask.gaps[0], (name,))


def islands(cases: Sequence[CaseFacts]) -> Iterator[Finding]:
    """Find pieces of a CTV apart from the largest one."""
    for case, mask in _ctvs(cases):
        if mask.islands.ml > PIECE_ML:
            sentence = (
                f"the CTV has {mask.pieces} separate pieces; those beside the largest have {mask.islands.ml:.2f} "
                f"mL, most on slice {_number(mask.islands)}; delete them."
            )
            yield Finding("islands", (case.entry.name,), sentence, "warning", mask.islands.slice, (CTV,))


def holes(cases: Sequence[CaseFacts]) -> Iterator[Finding]:
    """Find holes in the slices of a CTV."""
    for case, mask in _ctvs(cases):
        if mask.holes.ml > HOLE_ML:
            sentence = (
                f"the CTV has holes of {mask.holes.ml:.2f} mL, most on slice {_number(mask.holes)}; fill them: the "
                "urethra is part of the CTV."
            )
            yield Finding("holes", (case.entry.name,), sentence, "warning", mask.holes.slice, (CTV,))


def unseen(cases: Sequence[CaseFacts]) -> Iterator[Finding]:
    """Find CTVs that reach beyond the field of view; half of it or more is another finding."""
    for case, mask in _ctvs(cases):
        share = mask.unseen.ml / mask.ml
        if share > 0.5:
            sentence = (
                f"{100 * share:.0f} % of the CTV lie outside the field of view of the image; the mask is probably "
                "that of another image: give the right one."
            )
            yield Finding("off_image", (case.entry.name,), sentence, "error", mask.unseen.slice, (CTV,))
        elif share > UNSEEN_SHARE:
            sentence = (
                f"{mask.unseen.ml:.2f} mL of the CTV ({100 * share:.0f} %) lie outside the field of view, most on "
                f"slice {_number(mask.unseen)}, where the image shows nothing; correct the contour, or accept that "
                "the network learns to guess."
            )
            yield Finding("unseen", (case.entry.name,), sentence, "warning", mask.unseen.slice, (CTV,))


def cut(cases: Sequence[CaseFacts]) -> Iterator[Finding]:
    """Find CTVs that touch the border of the image."""
    for case, mask in _ctvs(cases):
        if mask.ends:
            sentence = (
                f"the CTV touches the border of the image ({', '.join(mask.ends)}), so that the gland may be cut "
                "off; check the scan, and that the mask is complete."
            )
            yield Finding("cut", (case.entry.name,), sentence, "warning", _end_slice(case, mask), (CTV,))


def volume(cases: Sequence[CaseFacts]) -> Iterator[Finding]:
    """Find CTVs that are too small or large for a prostate, or for the set."""
    known = [(case, mask) for case, mask in _ctvs(cases)]
    logs = np.log([mask.ml for _, mask in known] or [1.0])
    middle = float(np.median(logs))
    width = max(SPREAD * 1.4826 * float(np.median(np.abs(logs - middle))), float(np.log(FACTOR)))
    for (case, mask), log in zip(known, logs, strict=False):
        if not SMALLEST_ML <= mask.ml <= LARGEST_ML:
            sentence = (
                f"the CTV has {mask.ml:.3g} mL, expected {SMALLEST_ML:g} to {LARGEST_ML:g} mL; check the mask and "
                "the spacing of the image."
            )
            yield Finding("volume", (case.entry.name,), sentence, "warning", structures=(CTV,))
        elif len(known) >= FEWEST_CASES and abs(log - middle) > width:
            sentence = (
                f"the CTV has {mask.ml:.0f} mL, those of the set mostly {np.exp(middle - width):.0f} to "
                f"{np.exp(middle + width):.0f} mL (median {np.exp(middle):.0f}); check the mask and the spacing of "
                "the image."
            )
            yield Finding("volume", (case.entry.name,), sentence, "warning", structures=(CTV,))


def shape(cases: Sequence[CaseFacts]) -> Iterator[Finding]:
    """Find CTVs that are no plausible shape of a prostate."""
    for case, _ in _ctvs(cases):
        if case.residual_mm is not None and case.residual_mm > ODD_SHAPE_MM:
            sentence = (
                f"the shape of the CTV is unusual: {case.residual_mm:.1f} mm on average from the nearest plausible "
                f"one, expected up to {ODD_SHAPE_MM:g} mm; check the contour."
            )
            yield Finding("shape", (case.entry.name,), sentence, "warning", structures=(CTV,))


def beyond(cases: Sequence[CaseFacts]) -> Iterator[Finding]:
    """Find structures outside the one that contains them."""
    for case, name, mask in _masks(cases):
        if mask.beyond and mask.beyond.ml > BEYOND_SHARE * mask.ml:
            parent = structure(name).parent or CTV
            sentence = (
                f"{100 * mask.beyond.ml / mask.ml:.0f} % of {name} ({mask.beyond.ml:.2f} mL) lie outside the "
                f"{parent}, which contains it, most on slice {_number(mask.beyond)}; correct one of the two."
            )
            yield Finding(
                "outside_parent", (case.entry.name,), sentence, "warning", mask.beyond.slice, (name, parent)
            )


def _masks(cases: Sequence[CaseFacts]) -> Iterator[tuple[CaseFacts, str, MaskFacts]]:
    for case in cases:
        for name, mask in (case.masks or {}).items():
            yield case, name, mask


def _counted(name: str) -> bool:
    return structure(name).kind == "thing"


def _ctvs(cases: Sequence[CaseFacts]) -> Iterator[tuple[CaseFacts, MaskFacts]]:
    """Yield the cases with a CTV that is not empty."""
    for case in cases:
        if case.ctv and case.ctv.ml > 0:
            yield case, case.ctv


def _end_slice(case: CaseFacts, mask: MaskFacts) -> int | None:
    if "first slice" in mask.ends:
        return 0
    return case.shape[2] - 1 if case.shape and "last slice" in mask.ends else None


def _number(part: Part) -> int:
    return (part.slice or 0) + 1


def _slices(count: int) -> str:
    return "1 slice" if count == 1 else f"{count} slices"
