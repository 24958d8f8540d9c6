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
    segments = [
        (int(one["id"]), {int(one["category_id"]), *map(int, one.get("also", ()))})
        for one in document["annotations"][0]["segments_info"]
    ]
    unlisted = set(np.unique(labels).tolist()) - {0, *(number for number, _ in segments)}
    if unlisted:
        raise ValueError(f"the map holds the segments {sorted(unlisted)[:5]}, which are not listed")
    if unknown := {category for _, inside in segments for category in inside} - set(names):
        raise ValueError(f"a segment is of the categories {sorted(unknown)[:5]}, which are not listed")
    if len(set(names.values())) < len(names):
        raise ValueError("two categories have one name")
    return {
        name: np.isin(labels, [number for number, inside in segments if category in inside])
        for category, name in names.items()
    }
