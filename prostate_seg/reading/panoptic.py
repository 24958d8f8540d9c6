"""Reader of panoptic files: a label map, and ``segments.json`` beside it (:mod:`prostate_seg.writing.panoptic`)."""

from __future__ import annotations

from dataclasses import dataclass
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
    names, segments = _described(path, labels)
    filled = {category for one in segments for category in one.inside}
    instances = {one.of for one in segments if one.instance}
    if not filled and instances >= set(names):
        raise InputError(f"{path.name} holds instances alone, expected a region such as the CTV.")
    return {
        name: np.isin(labels, [one.number for one in segments if category in one.inside])
        for category, name in names.items()
        if category in filled or category not in instances
    }


def panoptic_instances(path: Path, labels: Array) -> tuple[Array, tuple[str, ...]]:
    """Return a map of the instance in each voxel, uint16, from 1, and the structure of each instance.

    Segments of one category and with one ``instance`` are one instance. InputError is raised as by
    :func:`panoptic_structures`.
    """
    names, segments = _described(path, labels)
    numbers: dict[tuple[int, str], int] = {}
    found = np.zeros(labels.shape, np.uint16)
    for one in segments:
        if one.instance:
            found[labels == one.number] = numbers.setdefault((one.of, one.instance), len(numbers) + 1)
    return found, tuple(names[category] for category, _ in numbers)


@dataclass(frozen=True)
class _Segment:
    """A segment: its number, its category, its instance if it is one, and the categories of the regions around."""

    number: int
    of: int
    instance: str
    inside: frozenset[int]


def _described(path: Path, labels: Array) -> tuple[dict[int, str], list[_Segment]]:
    """Return the names of the categories, and the segments of a map. Raise InputError."""
    try:
        return _segments(read_json(path.with_name(SEGMENTS)), labels)
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        why = str(error) if isinstance(error, ValueError) else type(error).__name__
        raise InputError(
            f"{SEGMENTS} beside {path.name} does not describe it ({why}); write both again."
        ) from error


def _segments(document: Any, labels: Array) -> tuple[dict[int, str], list[_Segment]]:
    names = {int(entry["id"]): str(entry["name"]) for entry in document["categories"]}
    segments = [_segment(one) for one in document["annotations"][0]["segments_info"]]
    unlisted = set(np.unique(labels).tolist()) - {0, *(one.number for one in segments)}
    if unlisted:
        raise ValueError(f"the map holds the segments {sorted(unlisted)[:5]}, which are not listed")
    if unknown := {category for one in segments for category in (one.of, *one.inside)} - set(names):
        raise ValueError(f"a segment is of the categories {sorted(unknown)[:5]}, which are not listed")
    if len(set(names.values())) < len(names):
        raise ValueError("two categories have one name")
    return names, segments


def _segment(entry: Any) -> _Segment:
    number, category = int(entry["id"]), int(entry["category_id"])
    also = frozenset(map(int, entry.get("also", ())))
    if "instance" not in entry:
        return _Segment(number, category, "", also | {category})
    if entry.get("iscrowd"):
        raise ValueError(f"segment {number} is a crowd of instances, which cannot be counted")
    if not isinstance(entry["instance"], str) or not entry["instance"]:
        raise ValueError(f"the instance of segment {number} has no name")
    return _Segment(number, category, entry["instance"], also)
