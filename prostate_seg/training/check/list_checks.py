"""Checks of the entries of a datalist."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from difflib import get_close_matches

from ...geometry.structures import KNOWN, key
from ..datalist import Listed
from .facts import Entry
from .findings import Finding


def entries(listed: Sequence[Listed]) -> tuple[list[Entry], list[Finding]]:
    """Return the cases under names that no two share, and what is wrong with the entries.

    A case has its own name if no other has it, otherwise section and number are added.
    """
    valid = [one for one in listed if one.case is not None]
    names = [str(one.case["case"]) for one in valid if one.case]
    cases, outside, found = [], [], []
    for one in listed:
        place = f"{one.section}[{one.number}]"
        if one.case is None:
            found.append(
                Finding("invalid_entry", (place,), f"{one.why.rstrip('.')} (training refuses it).", "error")
            )
            continue
        name = str(one.case["case"])
        name = name if names.count(name) == 1 else f"{name} ({place})"
        cases.append(Entry(name, one.section, one.case))
        outside += [name] if one.outside else []
    if outside:
        sentence = (
            f"paths of {len(outside)} case{'s' * (len(outside) > 1)} lead out of the folder of the datalist, which "
            "cannot be moved or passed on as a whole; copy the files into it."
        )
        found.append(Finding("outside_folder", tuple(outside), sentence, "note"))
    return cases, found + list(_unknown(cases))


def _unknown(cases: Sequence[Entry]) -> Iterator[Finding]:
    """Find structures that the shipped table does not have; those of one name are one finding."""
    labelled = defaultdict(list)
    for case in cases:
        for name in case.case.get("structures", {}):
            if key(name) not in KNOWN:
                labelled[name].append(case.name)
    for name, those in labelled.items():
        near = get_close_matches(key(name), KNOWN, 1)
        meant = f" (did you mean {KNOWN[near[0]].name}?)" if near else ""
        sentence = (
            f"the structure {name!r:.80} is not in the table of structures{meant}; correct its name, or describe "
            "it in a list for train --structures."
        )
        yield Finding("unknown_structure", tuple(those), sentence, "warning")
