"""The check of a datalist: read each case once, then compare."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from ...assessment.shape_model import ShapeModel
from ...errors import SettingsError
from ...inference.released import released_bundle
from ...system.parallel import in_processes
from ..datalist import load_each
from . import copy_checks, geometry_checks, label_checks, pair_checks
from .facts import CaseFacts, Entry, case_facts, unreadable
from .findings import Finding, worst_first
from .list_checks import entries

CHECKS: tuple[Callable[[Sequence[CaseFacts]], Iterator[Finding]], ...] = (
    geometry_checks.spacing,
    geometry_checks.few_slices,
    geometry_checks.orientation,
    pair_checks.edges,
    pair_checks.mirrored,
    copy_checks.same_image,
    copy_checks.near_copies,
    copy_checks.patients,
    label_checks.empty,
    label_checks.gaps,
    label_checks.islands,
    label_checks.holes,
    label_checks.unseen,
    label_checks.cut,
    label_checks.volume,
    label_checks.shape,
    label_checks.beyond,
)
# What follows from a finding is not a finding of its own: for each kind, the kinds that it hides in the same case.
# A finding about structures hides only what is about one of them.
HIDES: Mapping[str, set[str]] = {
    "spacing": {"volume", "shape", "edges", "mirrored_mask", "mirrored_image"},
    "few_slices": {"volume", "shape", "cut", "edges", "mirrored_mask", "mirrored_image"},
    "off_image": {"cut", "shape", "edges", "mirrored_mask", "outside_parent", "islands"},
    "other_image": {"edges", "mirrored_mask", "unseen"},
    "gaps": {"islands", "shape"},
    "mirrored_image": {"mirrored_mask", "edges"},
    "mirrored_mask": {"outside_parent"},
    "volume": {"shape", "edges", "mirrored_mask"},
    "shape": {"edges", "mirrored_mask"},
}


@dataclass(frozen=True)
class Checked:
    """Result of a check.

    Attributes
    ----------
    entries
        The cases by name.
    findings
        What is wrong, the worst first.
    rows
        Numbers of each case that could be read, for tables.
    """

    entries: Mapping[str, Entry]
    findings: tuple[Finding, ...]
    rows: tuple[Mapping[str, Any], ...]


def check_data(datalist: Path, *, jobs: int = 1, watch: Callable[[int], None] | None = None) -> Checked:
    """Check a datalist and its files.

    One case at a time is in memory in each process; of a case about 50 kB are kept.

    Parameters
    ----------
    datalist
        Path of the datalist.
    jobs
        Number of processes.
    watch
        Called with the number of finished cases after each.

    Raises
    ------
    SettingsError
        The datalist cannot be read, or holds no case.
    """
    listed = load_each(datalist)
    if not listed:
        raise SettingsError(
            f"The datalist {datalist} holds no case; add cases, or make one by prostate-seg prepare."
        )
    cases, findings = entries(listed)
    facts = []
    for number, (entry, found) in enumerate(zip(cases, _each(cases, jobs), strict=True), 1):
        facts.append(found or unreadable(entry, "its process died: too little memory, or a decoder crashed"))
        if watch is not None:
            watch(number)
    findings += [one for case in facts for one in case.found]
    findings += [one for check in CHECKS for one in check(facts)]
    sheets = {case.entry.name for case in facts if case.is_sheet}
    rows = tuple(_row(case) for case in facts if case.shape)
    shown = tuple(worst_first(_without_effects(findings, sheets)))
    return Checked({entry.name: entry for entry in cases}, shown, rows)


def _each(cases: Sequence[Entry], jobs: int) -> Iterator[CaseFacts | None]:
    work = partial(case_facts, model=ShapeModel.load(released_bundle() / "models" / "shape_model.npz"))
    if min(jobs, len(cases)) <= 1:
        return map(work, cases)
    return in_processes(work, cases, min(jobs, len(cases)))


def _without_effects(findings: Sequence[Finding], sheets: set[str]) -> Iterator[Finding]:
    """Yield the findings without those that follow from another one of the same case.

    Cases in ``sheets`` are single slices by intention, so what follows from few slices is no finding.
    """
    causes = defaultdict(list)  # structures of the findings that hide a kind of finding in a case
    for name in sheets:
        for kind in HIDES["few_slices"]:
            causes[name, kind].append(set[str]())
    for one in findings:
        for kind in HIDES.get(one.kind, ()):
            for name in one.cases:
                causes[name, kind].append(set(one.structures))
    for one in findings:
        about = set(one.structures)
        if not all(any(not cause or cause & about for cause in causes[name, one.kind]) for name in one.cases):
            yield one


def _row(case: CaseFacts) -> dict[str, Any]:
    assert case.shape is not None
    ctv = case.ctv
    return {
        "case": case.entry.name,
        "section": case.entry.section,
        "voxels": list(case.shape),
        "spacing_mm": [round(mm, 4) for mm in case.spacing_mm],
        "ctv_ml": None if ctv is None else round(ctv.ml, 2),
        "from_plausible_shape_mm": None if case.residual_mm is None else round(case.residual_mm, 2),
        "structures": sorted(case.masks or {}),
    }
