"""Checks for the same image twice, and for one patient in two sections."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from .copies import pairs_alike
from .facts import CaseFacts
from .findings import Finding, Severity

GLAND, WHOLE = 0.88, 0.94  # least correlation of two copies: of their glands, and of their fields of view
MIRRORED = 0  # axis (left-right) along which copies are compared reversed


def same_image(cases: Sequence[CaseFacts]) -> Iterator[Finding]:
    """Find images with equal gray values."""
    groups = defaultdict(list)
    for case in cases:
        if case.shape:
            groups[case.voxels_sha256].append(case)
    for group in groups.values():
        if len(group) > 1:
            severity, why = _consequence(group)
            sentence = f"the images of these {len(group)} cases are the same, voxel for voxel,{why}; keep one."
            yield Finding("same_image", _names(group), sentence, severity)


def near_copies(cases: Sequence[CaseFacts]) -> Iterator[Finding]:
    """Find images of several patients that show the same scan: resampled, cropped, shifted, or of another gain."""
    alike: dict[tuple[int, int], tuple[float, bool]] = {}
    for part, least in (("gland", GLAND), ("whole", WHOLE)):
        known = [number for number, case in enumerate(cases) if getattr(case, part) is not None]
        pictures = [getattr(cases[number], part) for number in known]
        for flipped in (None, MIRRORED):
            for a, b, value in pairs_alike(pictures, least, flipped=flipped) if pictures else ():
                pair = (known[a], known[b])
                alike[pair] = max(alike.get(pair, (0.0, False)), (value, flipped is not None))
    pairs = {
        pair: how
        for pair, how in alike.items()
        if cases[pair[0]].voxels_sha256 != cases[pair[1]].voxels_sha256
        and _of_two_patients(*(cases[n] for n in pair))
    }
    for group in _connected(pairs):
        inside = [how for pair, how in pairs.items() if pair[0] in group]
        members = [cases[number] for number in sorted(group)]
        severity, why = _consequence(members)
        mirrored = " mirrored," if max(inside)[1] else ""
        sentence = (
            f"the images of these {len(group)} cases show the same scan (resampled,{mirrored} cropped or of "
            f"another gain: correlation up to {max(inside)[0]:.2f}){why}; keep one, or give them one patient."
        )
        yield Finding("near_copy", _names(members), sentence, severity)


def patients(cases: Sequence[CaseFacts]) -> Iterator[Finding]:
    """Find patients in two sections, and patients that are spelled in two ways."""
    spelled = defaultdict(list)
    for case in cases:
        if case.entry.patient is not None:
            spelled["".join(case.entry.patient.casefold().split())].append(case)
    for group in spelled.values():
        leaks = len({case.entry.section for case in group}) > 1
        where = " and ".join(sorted({case.entry.section for case in group}))
        if len({case.entry.patient for case in group}) > 1:
            sentence = (
                "the patients of these cases differ only in upper and lower case or blanks, and count as several"
                f"{f' (in {where})' if leaks else ''}; spell them in one way."
            )
            yield Finding("patient_names", _names(group), sentence, "error" if leaks else "warning")
        elif leaks:
            sentence = (
                f"these cases are of one patient and in {where}, so the result on one is no measure for new "
                "patients (training refuses it); keep each patient in one section."
            )
            yield Finding("patient_leak", _names(group), sentence, "error")


def _of_two_patients(a: CaseFacts, b: CaseFacts) -> bool:
    """Return whether two cases count as two patients, as a case without a patient does by itself."""
    return a.entry.patient is None or a.entry.patient != b.entry.patient


def _consequence(group: Sequence[CaseFacts]) -> tuple[Severity, str]:
    """Return the severity of copies, and a clause that says why."""
    sections = sorted({case.entry.section for case in group})
    if len(sections) > 1:
        return "error", f" and in {' and '.join(sections)}, so the result on them is no measure for new patients"
    if any(_of_two_patients(group[0], other) for other in group[1:]):
        return "warning", " under several patients, whom train --folds may put in different folds"
    return "warning", " and count several times"


def _names(group: Sequence[CaseFacts]) -> tuple[str, ...]:
    return tuple(case.entry.name for case in group)


def _connected(pairs: Iterable[tuple[int, int]]) -> list[set[int]]:
    """Return the connected groups of pairs."""
    groups: list[set[int]] = []
    for pair in pairs:
        touched = [group for group in groups if group & set(pair)]
        groups = [group for group in groups if group not in touched] + [set(pair).union(*touched)]
    return groups
