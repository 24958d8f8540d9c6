"""Checks of the images' geometry."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np

from .facts import CaseFacts
from .findings import Finding

SHORTEST_MM, LONGEST_MM = 0.02, 10.0  # plausible spacing
FACTOR = 3.0  # a spacing is odd if it differs by this factor from that of every other case
FEWEST_CASES = 5  # of a set, to call one of them odd
FEWEST_SLICES = 5


def spacing(cases: Sequence[CaseFacts]) -> Iterator[Finding]:
    """Find spacings that are not plausible, or that no other case of the set has."""
    readable = [case for case in cases if case.shape]
    table = np.log([(np.hypot(*case.spacing_mm[:2]) / 2**0.5, case.spacing_mm[2]) for case in readable] or [(0, 0)])
    for number, case in enumerate(readable):
        shown = " x ".join(f"{mm:.3g}" for mm in case.spacing_mm)
        if not all(SHORTEST_MM <= mm <= LONGEST_MM for mm in case.spacing_mm):
            sentence = (
                f"the spacing of {shown} mm is not plausible, expected {SHORTEST_MM:g} to {LONGEST_MM:g} mm; "
                "correct the file's header, its unit may be wrong."
            )
            yield Finding("spacing", (case.entry.name,), sentence, "error")
            continue
        others = np.abs(np.delete(table, number, axis=0) - table[number])
        if len(readable) >= FEWEST_CASES and (others.min(axis=0) > np.log(FACTOR)).any():
            typical = np.exp(np.median(np.delete(table, number, axis=0), axis=0))
            sentence = (
                f"the spacing of {shown} mm differs by a factor of {FACTOR:g} or more from every other case "
                f"(median {typical[0]:.3g} mm in the slice, {typical[1]:.3g} mm between slices); check the file's "
                "header."
            )
            yield Finding("spacing", (case.entry.name,), sentence, "warning")


def few_slices(cases: Sequence[CaseFacts]) -> Iterator[Finding]:
    """Find images with too few slices for a volume, unless they are meant to be slices; all are one finding."""
    few = {
        case.entry.name: case.shape[2]
        for case in cases
        if case.shape and case.shape[2] < FEWEST_SLICES and not case.is_sheet
    }
    if few:
        counts = " or ".join(map(str, sorted(set(few.values()))))
        sentence = (
            f"the number of slices is {counts}, expected {FEWEST_SLICES} or more for a volume; leave it out, or "
            "give the whole scan."
        )
        yield Finding("few_slices", tuple(few), sentence, "warning")


def orientation(cases: Sequence[CaseFacts]) -> Iterator[Finding]:
    """Find images with unknown directions; all with the same remedy are one finding."""
    assumed = defaultdict(list)
    for case in cases:
        if case.assumed:
            assumed[remedy(case)].append(case.entry.name)
    for what, names in assumed.items():
        sentence = (
            f"the files of {len(names)} of {len(cases)} cases do not say where left, posterior and superior are; "
            f"it is assumed, so left and right may be exchanged: {what}."
        )
        yield Finding("orientation", tuple(names), sentence, "note")


def remedy(case: CaseFacts) -> str:
    """Return how the directions of an image can be stated."""
    if "set" in case.entry.provenance:
        return "look at the images and prepare again with --axes"
    if "contours_sha256" in case.entry.provenance:
        return "prepare again with --frame-order and --probe-side"
    if case.kind in ("nifti", "nrrd", "metaimage"):
        return "write the directions into the headers of image and mask"
    return "give frame_order and probe_side in the datalist"
