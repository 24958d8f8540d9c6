"""Writers of things: ``things.json``, and markups for 3D Slicer."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..errors import OutputError
from ..geometry.structures import key, structure
from ..geometry.things import Thing
from ..reading.things import SPACE
from ..system.json_files import write_json
from .request import Request

SCHEMA = (
    "https://raw.githubusercontent.com/slicer/slicer/master/Modules/Loadable/Markups/Resources/Schema/"
    "markups-schema-v1.0.3.json#"
)


def write_things(path: Path, things: Sequence[Thing]) -> None:
    """Write things with both ends in RAS mm, radius and score. Raise OutputError if the file cannot be written."""
    rows = [
        {
            "structure": one.structure,
            "start_mm": list(one.start_mm),
            "end_mm": list(one.end_mm),
            "radius_mm": one.radius_mm,
            "score": one.score,
        }
        for one in things
    ]
    write_json(path, {"space": SPACE, "things": rows})


def write_structures(path: Path, request: Request) -> None:
    """Write the things of a case. Raise OutputError if there are none."""
    if not request.contoured.ctv.things:
        raise OutputError(f"Cannot write {path.name}: there are neither needles nor seeds; leave things out.")
    write_things(path, request.contoured.ctv.things)


def numbered(things: Sequence[Thing]) -> list[tuple[str, Thing]]:
    """Return a name for each thing: its structure and its number, counted from 1 in each structure."""
    counts: dict[str, int] = {}
    found = []
    for one in things:
        counts[key(one.structure)] = counts.get(key(one.structure), 0) + 1
        found.append((f"{one.structure} {counts[key(one.structure)]}", one))
    return found


def lines(things: Sequence[Thing]) -> list[tuple[str, str]]:
    """Return name and content (``.mrk.json``) of a Slicer line for each needle, from its entry to its tip."""
    return [
        (name, _markup("Line", [("entry", one.start_mm), ("tip", one.end_mm)], one.structure))
        for name, one in numbered(things)
        if key(one.structure) == "needle"
    ]


def points(things: Sequence[Thing]) -> list[tuple[str, str]]:
    """Return name and content (``.mrk.json``) of a list of Slicer points for each other structure."""
    groups: dict[str, list[tuple[str, tuple[float, float, float]]]] = {}
    for name, one in numbered(things):
        if key(one.structure) != "needle":
            groups.setdefault(one.structure, []).append((name, one.centre_mm))
    return [(f"{group}s", _markup("Fiducial", places, group)) for group, places in groups.items()]


def _markup(kind: str, places: Sequence[tuple[str, tuple[float, float, float]]], group: str) -> str:
    controls: list[dict[str, Any]] = [
        {"id": str(number), "label": label, "position": [-x, -y, z], "selected": True, "locked": False,
         "visibility": True, "positionStatus": "defined"}
        for number, (label, (x, y, z)) in enumerate(places, 1)
    ]  # fmt: skip
    colour = [round(part / 255, 3) for part in structure(group).colour]
    markup = {
        "type": kind,
        "coordinateSystem": "LPS",
        "coordinateUnits": "mm",
        "locked": False,
        "controlPoints": controls,
        "display": {
            "visibility": True,
            "selectedColor": colour,
            "color": colour,
            "propertiesLabelVisibility": True,
        },
    }
    return json.dumps({"@schema": SCHEMA, "markups": [markup]}, indent=1) + "\n"
