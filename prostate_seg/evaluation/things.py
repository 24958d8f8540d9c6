"""Evaluation of needles and seeds: found, missed, invented, and how far off, over all cases."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from ..geometry.structures import key
from ..geometry.things import grouped
from ..reading.things import FILE, SUFFIX, read_things
from .metrics.things import LIMITS_MM, ThingMatches, match_things

Matches = dict[str, list[ThingMatches]]  # by structure, one for each limit


def evaluate_things(
    predictions: str | Path, references: str | Path, names: Sequence[str] = ()
) -> tuple[Matches, list[str]]:
    """Compare the things of cases of the same name, added up over the cases.

    A case is a file ``NAME.things.json``, or a folder NAME with ``things.json``. A reference without a prediction
    counts as missed; a prediction without a reference is left out, because its truth is unknown. The matches are
    empty if there is no reference. With ``names``, only things of these structures count. The second part of the
    result are the reasons why files could not be read.
    """
    found, expected = _files(Path(predictions)), _files(Path(references))
    wanted = {key(name) for name in names}
    total: Matches = {}
    shown: dict[str, str] = {}
    errors = []
    for case, file in expected.items():
        try:
            truth = grouped(read_things(file))
            drawn = grouped(read_things(found[case]) if case in found else ())
        except InputError as error:
            errors.append(f"{case}: {error}")
            continue
        for name in (*truth, *drawn):
            shown.setdefault(key(name), name)
        by_key = [{key(name): things for name, things in part.items()} for part in (drawn, truth)]
        for one in dict.fromkeys([*by_key[1], *by_key[0]]):
            if not wanted or one in wanted:
                matches = match_things(by_key[0].get(one, []), by_key[1].get(one, []))
                before = total.get(shown[one], [ThingMatches(limit) for limit in LIMITS_MM])
                total[shown[one]] = [a + b for a, b in zip(before, matches, strict=True)]
    return total, errors


def _files(folder: Path) -> dict[str, Path]:
    """Return the files of things in a folder by the name of their case."""
    if not folder.is_dir():
        return {}
    files = {path.name.removesuffix(SUFFIX): path for path in sorted(folder.glob(f"[!.]*{SUFFIX}"))}
    return files | {path.parent.name: path for path in sorted(folder.glob(f"*/{FILE}"))}


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
