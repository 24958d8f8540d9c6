"""Findings: what is wrong with training data, in one sentence each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")  # the worst first
NAMED = 5  # cases that a line names


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong.

    Attributes
    ----------
    kind
        Name of the check, as in the table of docs/check-data.md.
    cases
        Names of the cases.
    sentence
        What is wrong, the numbers, and what to do.
    severity
        ``error``: training stops, learns something wrong, or its validation is not independent. ``warning``: look
        at it. ``note``: it may be intended.
    slice
        Slice (axis k, from 0) that shows it; None for the one with the largest area of the mask.
    structures
        Names of the structures that it is about; empty if it is about the image or the entry.
    """

    kind: str
    cases: tuple[str, ...]
    sentence: str
    severity: Severity
    slice: int | None = None
    structures: tuple[str, ...] = ()

    @property
    def line(self) -> str:
        """The finding in one line, with its cases."""
        return f"{self.severity}: {self.kind}: {listed(self.cases)}: {self.sentence}"


def listed(names: Sequence[str]) -> str:
    """Return up to five names, and the number of the others."""
    more = f" and {len(names) - NAMED} others" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def worst_first(findings: Iterable[Finding]) -> list[Finding]:
    """Return findings by severity, kind and case."""
    return sorted(findings, key=lambda one: (SEVERITIES.index(one.severity), one.kind, one.cases))
