"""Reader of panoptic files: a label map, and ``segments.json`` beside it (:mod:`prostate_seg.writing.panoptic`)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from ..geometry.volume import Array
from ..system.checked_files import read_json

MAP, SEGMENTS = "panoptic.nii.gz", "segments.json"


def is_panoptic(path: Path) -> bool:
    """Return whether a file is a panoptic map: it has the name, and its segments lie beside it."""
    return path.name == MAP and path.with_name(SEGMENTS).is_file()


def panoptic_structures(path: Path, labels: Array) -> dict[str, Array]:
    """Return the structures of a panoptic map, bool (I, J, K) by name; each is the union of its segments.

    Needles, seeds and other instances are left out: :func:`.read_things` reads them from the same segments.json.

    InputError is raised if segments.json cannot be read or does not describe the map.
    """
    file = path.with_name(SEGMENTS)
    try:
        return _structures(read_json(file), labels)
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        why = str(error) if isinstance(error, ValueError) else type(error).__name__
        raise InputError(
            f"{SEGMENTS} beside {path.name} does not describe it ({why}); write both again."
        ) from error


def _structures(document: Any, labels: Array) -> dict[str, Array]:
    names = {int(entry["id"]): str(entry["name"]) for entry in document["categories"]}
    infos = document["annotations"][0]["segments_info"]
    segments, instances = [], set()
    for one in infos:
        category, also = int(one["category_id"]), set(map(int, one.get("also", ())))
        segments.append((int(one["id"]), also if "instance" in one else {category, *also}))
        instances |= {category} if "instance" in one else set()
    unlisted = set(np.unique(labels).tolist()) - {0, *(number for number, _ in segments)}
    if unlisted:
        raise ValueError(f"the map holds the segments {sorted(unlisted)[:5]}, which are not listed")
    filled = {category for _, inside in segments for category in inside}
    if unknown := (filled | instances) - set(names):
        raise ValueError(f"a segment is of the categories {sorted(unknown)[:5]}, which are not listed")
    if len(set(names.values())) < len(names):
        raise ValueError("two categories have one name")
    return {
        name: np.isin(labels, [number for number, inside in segments if category in inside])
        for category, name in names.items()
        if category in filled or category not in instances
    }
