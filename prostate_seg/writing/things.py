"""Writers of things: ``things.json``, and markups for 3D Slicer."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..geometry.structures import key
from ..geometry.things import Point, Thing, grouped, numbered
from ..geometry.volume import Segmentation
from ..reading.things import IMAGE, LEARNT, SPACE
from ..system.json_files import write_json
from .contoured_volume import ContouredVolume
from .request import Request

NEEDLE = "needle"  # key of the structure that is always drawn as a line
LINES = {NEEDLE: ("entry", "tip"), "seed": ("end 1", "end 2")}  # names of the ends, by the key of the structure
SCHEMA = (
    "https://raw.githubusercontent.com/slicer/slicer/master/Modules/Loadable/Markups/Resources/Schema/"
    "markups-schema-v1.0.3.json#"
)


def write_things(path: Path, things: Sequence[Thing]) -> None:
    """Write things with both ends in RAS mm, radius, score and direction. Raise OutputError."""
    write_json(path, {"space": SPACE, "things": rows_of(things)})


def write_things_of(path: Path, request: Request) -> None:
    """Write the things of a request, the digest of its image, and which of them were learnt on phantoms."""
    write_json(path, things_of(request.contoured))


def things_of(contoured: ContouredVolume) -> dict[str, Any]:
    """Return the things of a contoured volume as the content of ``things.json``."""
    marked = [name for name in grouped(contoured.ctv.things) if contoured.remark_on(name)]
    return {
        "space": SPACE,
        IMAGE: contoured.volume.source.sha256,
        LEARNT: marked,
        "things": rows_of(contoured.ctv.things),
    }


def rows_of(things: Sequence[Thing]) -> list[dict[str, Any]]:
    """Return things as rows of ``things.json``."""
    return [
        {
            "structure": one.structure,
            "start_mm": list(one.start_mm),
            "end_mm": list(one.end_mm),
            "radius_mm": one.radius_mm,
            "score": one.score,
            "direction": None if one.direction is None else [round(part, 6) for part in one.direction],
        }
        for one in things
    ]


def lines(segmentation: Segmentation) -> list[tuple[str, str]]:
    """Return name and content (``.mrk.json``) of Slicer lines, in the order of the things.

    A needle's line runs from its entry to its tip. A seed has a line if its direction is known.
    """
    found = []
    for name, one in numbered(segmentation.things):
        if labels := LINES.get(key(one.structure)):
            ends = zip(labels, (one.start_mm, one.end_mm), strict=True)
            if one.direction is not None or key(one.structure) == NEEDLE:
                bare = key(one.structure) != NEEDLE
                found.append((_file(name), _markup(segmentation, "Line", list(ends), one.structure, bare=bare)))
    return found


def points(segmentation: Segmentation) -> list[tuple[str, str]]:
    """Return name and content (``.mrk.json``) of a list of Slicer points for each other structure."""
    found = []
    for name, things in grouped(segmentation.things).items():
        if key(name) != NEEDLE:
            places = [(label, one.centre_mm) for label, one in numbered(things)]
            found.append((_file(f"{name}s"), _markup(segmentation, "Fiducial", places, name)))
    return found


def _file(name: str) -> str:
    return name.replace("/", "-")


def _markup(
    segmentation: Segmentation, kind: str, places: Sequence[tuple[str, Point]], name: str, *, bare: bool = False
) -> str:
    """Return a markup of Slicer; a bare one shows no names and lengths, which would hide a hundred seeds."""
    controls: list[dict[str, Any]] = [
        {"id": str(number), "label": label, "position": [-x, -y, z], "selected": True, "locked": False,
         "visibility": True, "positionStatus": "defined"}
        for number, (label, (x, y, z)) in enumerate(places, 1)
    ]  # fmt: skip
    colour = [round(part / 255, 3) for part in segmentation.meaning(name).colour]
    markup = {
        "type": kind,
        "coordinateSystem": "LPS",
        "coordinateUnits": "mm",
        "locked": False,
        "controlPoints": controls,
        "display": {"visibility": True, "selectedColor": colour, "color": colour}
        | ({"propertiesLabelVisibility": False, "pointLabelsVisibility": False} if bare else {}),
    }
    return json.dumps({"@schema": SCHEMA, "markups": [markup]}, indent=1) + "\n"
