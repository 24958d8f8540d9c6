"""Reader of ``things.json``: needles, seeds and other instances (:mod:`prostate_seg.writing.things`)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ..errors import GeometryError, InputError
from ..geometry.things import Thing
from ..system.checked_files import read_json, shortened
from .panoptic import SEGMENTS

FILE, SUFFIX = "things.json", ".things.json"
SPACE = "RAS mm"
IMAGE, LEARNT = "image_sha256", "phantom_trained"
MOST_THINGS = 10_000
DIRECTION_TOLERANCE = 1e-3  # of each part of a unit vector


def read_things(path: Path) -> tuple[Thing, ...]:
    """Read the things of a file. Raise InputError if it cannot be read or a thing is not valid."""
    content = _content(path)
    if path.name == SEGMENTS and "things" not in content:
        return ()  # a panoptic file of stuff alone
    rows = content.get("things")
    if not isinstance(rows, list) or len(rows) > MOST_THINGS:
        raise InputError(f"{path.name} holds no list of at most {MOST_THINGS} things; write it again.")
    if content.get("space") != SPACE:
        raise InputError(f"{path.name} has the space {shortened(content.get('space'))}, expected {SPACE!r}.")
    return tuple(_thing(row, number, path.name) for number, row in enumerate(rows, 1))


def lists_things(path: Path) -> bool:
    """Return whether a file lists the ends of its things; a panoptic file may have their voxels alone."""
    return "things" in _content(path)


def image_of_things(path: Path) -> str:
    """Return the SHA-256 of the image that the things of a file lie in; empty if the file does not say."""
    return str(_content(path).get(IMAGE) or "")


def phantom_trained_things(path: Path) -> tuple[str, ...]:
    """Return the names of the structures in a file whose model was trained on phantoms alone."""
    names = _content(path).get(LEARNT) or []
    return tuple(str(name) for name in names) if isinstance(names, list) else ()


def _content(path: Path) -> dict[str, Any]:
    try:
        content = read_json(path)
    except OSError as error:
        raise InputError(f"The things in {path.name} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise InputError(f"{path.name} is not JSON: {error}.") from error
    return content if isinstance(content, dict) else {}


def _thing(row: Any, number: int, file: str) -> Thing:
    needed = {"structure", "start_mm", "end_mm", "radius_mm"}
    if not isinstance(row, dict) or not needed <= set(row) <= {*needed, "score", "direction"}:
        got = shortened(sorted(row)) if isinstance(row, dict) else shortened(row)
        raise InputError(
            f"Thing {number} of {file} has {got}, expected {', '.join(sorted(needed))}, score and direction."
        )
    ends = [row["start_mm"], row["end_mm"]]
    whole = all(isinstance(end, list) and len(end) == 3 for end in ends)
    numbers = [row["radius_mm"], row.get("score", 1.0), *(part for end in ends if whole for part in end)]
    if not whole or any(isinstance(part, bool) or not isinstance(part, int | float) for part in numbers):
        raise InputError(f"Thing {number} of {file} has no two ends of three numbers, a radius and a score.")
    start, end = (tuple(map(float, part)) for part in ends)
    known = row.get("direction", ()) is not None  # an older file has no directions: its ends show them
    try:
        found = Thing(row["structure"], start, end, float(numbers[0]), float(numbers[1]), known)  # type: ignore[arg-type]
    except GeometryError as error:
        raise InputError(f"Thing {number} of {file} is not valid: {error}") from error
    if row.get("direction") is not None and not _along(found, row["direction"]):
        raise InputError(
            f"Thing {number} of {file} has the direction {shortened(row['direction'])}, expected the unit vector "
            "from start_mm to end_mm, or null if it is not known."
        )
    return found


def _along(thing: Thing, direction: Any) -> bool:
    """Return whether a direction is the unit vector along a thing."""
    numbers = isinstance(direction, list) and all(type(part) in (int, float) for part in direction)
    if not numbers or len(direction) != 3 or thing.direction is None:
        return False
    return bool(np.abs(np.subtract(direction, thing.direction)).max() < DIRECTION_TOLERANCE)
