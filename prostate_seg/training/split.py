"""Which patients validate: every n-th, and those who did so before."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Split:
    """Patients of an earlier run, of whom every n-th was for validation; 0 for none."""

    every: int = 0
    training: frozenset[str] = frozenset()
    validation: frozenset[str] = frozenset()


def split_of(patients: Iterable[str], every: int, earlier: Split = Split()) -> Split:
    """Return the split of patients: every n-th is for validation, but at least one of two or more; 0 for none.

    Patients who were for validation stay there. Those who were for training stay there unless ``every`` changes.
    """
    ordered = sorted(set(patients))
    held: set[str] = set()
    if every:
        moved = set(ordered[every - 1 :: every])
        moved -= earlier.training if every == earlier.every else frozenset()
        held = (moved | earlier.validation) & set(ordered)
        held = held or set(ordered[1:][-1:])
    return Split(every, frozenset(ordered) - held, frozenset(held))


def divided(entries: Sequence[dict[str, Any]], parts: Split, description: str) -> dict[str, Any]:
    """Return the datalist of entries whose patients are split."""
    held = [entry["patient"] in parts.validation for entry in entries]
    return {
        "description": description,
        "training": [entry for entry, validates in zip(entries, held, strict=True) if not validates],
        "validation": [entry for entry, validates in zip(entries, held, strict=True) if validates],
    }
