"""Evaluation of needles and seeds: found, missed, invented, and how far off, over all cases."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..geometry.structures import key
from ..geometry.things import Thing
from ..reading.things import FILE, SUFFIX, read_things
from .metrics.things import LIMITS_MM, ThingMatches, match_things

Matches = dict[str, list[ThingMatches]]  # by structure, one for each limit


def evaluate_things(predictions: str | Path, references: str | Path) -> Matches:
    """Compare the things of cases of the same name, added up over the cases.

    A case is a file ``NAME.things.json``, or a folder NAME with ``things.json``. A reference without a prediction
    counts as missed; a prediction without a reference is left out, because its truth is unknown. The result is
    empty if there is no reference. InputError is raised for a file that cannot be read.
    """
    found, expected = _files(Path(predictions)), _files(Path(references))
    total: Matches = {}
    for case, file in expected.items():
        truth = read_things(file)
        drawn = read_things(found[case]) if case in found else ()
        for name in dict.fromkeys(one.structure for one in (*truth, *drawn)):
            matches = match_things(_only(drawn, name), _only(truth, name))
            before = total.get(name, [ThingMatches(limit) for limit in LIMITS_MM])
            total[name] = [a + b for a, b in zip(before, matches, strict=True)]
    return total


def _only(things: Sequence[Thing], name: str) -> list[Thing]:
    return [one for one in things if key(one.structure) == key(name)]


def _files(place: Path) -> dict[str, Path]:
    """Return the files of things by the name of their case."""
    if place.is_file() or not place.is_dir():
        return {"": place} if place.name.endswith(FILE) else {}
    files = {path.name.removesuffix(SUFFIX): path for path in sorted(place.glob(f"*{SUFFIX}"))}
    return files | {path.parent.name: path for path in sorted(place.glob(f"*/{FILE}"))}


def things_as_json(found: Matches) -> dict[str, Any]:
    """Return counts, RQ, errors and angles for JSON, by structure and limit."""
    return {name: [_row(one) for one in matches] for name, matches in found.items()}


def _row(one: ThingMatches) -> dict[str, Any]:
    return {
        "limit_mm": one.limit_mm,
        "matched": len(one.errors_mm),
        "missed": one.missed,
        "invented": one.invented,
        "recognition_quality": one.recognition_quality,
        "median_error_mm": one.median_error_mm,
        "median_angle_deg": float(np.median(one.angles_deg)) if one.angles_deg else None,
    }
