"""Writers of things: ``things.json``, and markups for 3D Slicer."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Markup:
    """A markup of 3D Slicer.

    Attributes
    ----------
    name
        Name of the markup and of its file.
    content
        Content of its file, ``.mrk.json``.
    bare
        Whether its labels are hidden; those of a hundred seeds would hide the image.
    """

    name: str
    content: str
    bare: bool = False


def lines(segmentation: Segmentation) -> list[Markup]:
    """Return Slicer lines, in the order of the things.

    A needle's line runs from its entry to its tip. A seed has a line if its direction is known.
    """
    found = []
    for name, one in numbered(segmentation.things):
        kind = key(one.structure)
        if kind in LINES and (kind == NEEDLE or one.direction is not None):
            ends = list(zip(LINES[kind], (one.start_mm, one.end_mm), strict=True))
            found.append(_markup(segmentation, "Line", name=_file(name), places=ends, structure=one.structure))
    return found


def points(segmentation: Segmentation) -> list[Markup]:
    """Return a list of Slicer points for each structure but needles."""
    found = []
    for name, things in grouped(segmentation.things).items():
        if key(name) != NEEDLE:
            places = [(label, one.centre_mm) for label, one in numbered(things)]
            found.append(_markup(segmentation, "Fiducial", name=_file(f"{name}s"), places=places, structure=name))
    return found


def _file(name: str) -> str:
    return name.replace("/", "-")


def _markup(
    segmentation: Segmentation, kind: str, *, name: str, places: Sequence[tuple[str, Point]], structure: str
) -> Markup:
    bare = kind == "Line" and key(structure) != NEEDLE
    controls: list[dict[str, Any]] = [
        {"id": str(number), "label": label, "position": [-x, -y, z], "selected": True, "locked": False,
         "visibility": True, "positionStatus": "defined"}
        for number, (label, (x, y, z)) in enumerate(places, 1)
    ]  # fmt: skip
    colour = [round(part / 255, 3) for part in segmentation.meaning(structure).colour]
    markup = {
        "type": kind,
        "coordinateSystem": "LPS",
        "coordinateUnits": "mm",
        "locked": False,
        "controlPoints": controls,
        "display": {"visibility": True, "selectedColor": colour, "color": colour}
        | ({"propertiesLabelVisibility": False, "pointLabelsVisibility": False} if bare else {}),
    }
    content = json.dumps({"@schema": SCHEMA, "markups": [markup]}, indent=1) + "\n"
    return Markup(name, content, bare)
