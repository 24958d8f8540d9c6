"""Panoptic files: one label map of segments, and ``segments.json`` in the terms of COCO panoptic, with millimetres.

In COCO's format each voxel belongs to one segment of one category. Structures overlap: the urethra lies in the CTV.
Therefore a segment is the set of voxels that lie in the same structures. Its ``category_id`` is the smallest of
these structures, and ``also`` lists the others. A structure is the union of its segments, so nothing is lost.

A needle or seed is an instance: its segments have its category and its name as ``instance``, and ``also`` lists the
structures around it. Its exact ends are in the list ``things``, as in ``things.json``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel
import numpy as np

from ..errors import OutputError
from ..geometry.extent import bounding_box
from ..geometry.structures import MOST_LABELS, Structure, key
from ..geometry.things import Thing, grouped, numbered, painted
from ..geometry.volume import Array, volume_ml
from ..reading.panoptic import MAP, SEGMENTS
from ..system.json_files import write_json
from .contoured_volume import RESEARCH_ONLY, ContouredVolume
from .nifti import to_nibabel
from .request import Request
from .things import things_of

MOST_SEGMENTS = 65_535
MOST_STRUCTURES = 62


@dataclass(frozen=True)
class Segment:
    """A segment of a label map: its number, the structures that hold it, smallest first, and its thing from 0."""

    number: int
    inside: tuple[str, ...]
    thing: int | None = None


def panoptic_map(masks: dict[str, Array], things: Array | None = None) -> tuple[Array, list[Segment]]:
    """Return the label map, uint16 (I, J, K), and its segments.

    ``things`` is a map of the number of the thing in each voxel, from 1. OutputError is raised for more than 62
    structures or 65 535 segments.
    """
    if len(masks) > MOST_STRUCTURES:
        raise OutputError(f"A panoptic map holds at most {MOST_STRUCTURES} structures, got {len(masks)}.")
    names = list(masks)
    shape = next(iter(masks.values())).shape
    thing = np.zeros(shape, np.uint16) if things is None else things
    most = int(thing.max()) + 1
    box = bounding_box(np.logical_or.reduce([thing > 0, *masks.values()]))
    kind = np.dtype(np.uint8 if len(masks) <= 8 else np.uint64)
    codes = np.zeros(tuple(part.stop - part.start for part in box), kind)
    for number, mask in enumerate(masks.values()):
        codes[mask[box]] |= kind.type(1 << number)
    found, inverse = np.unique(codes, return_inverse=True)
    pairs, inverse = np.unique(
        inverse.reshape(-1).astype(np.int64) * most + thing[box].reshape(-1), return_inverse=True
    )
    parts = [(int(found[pair // most]), int(pair % most)) for pair in pairs]
    background = int((0, 0) in parts)  # without one the numbers begin at 1 all the same
    if len(parts) - background > MOST_SEGMENTS:
        raise OutputError(f"A panoptic map holds at most {MOST_SEGMENTS} segments, got {len(parts) - background}.")
    labels = np.zeros(shape, np.uint16)
    labels[box] = inverse.reshape(codes.shape) + (1 - background)
    size = {name: int(np.count_nonzero(mask)) for name, mask in masks.items()}
    segments = []
    for number, (code, counted) in enumerate(parts, 1 - background):
        inside = sorted((name for n, name in enumerate(names) if code >> n & 1), key=lambda name: size[name])
        if number:
            segments.append(Segment(number, tuple(inside), counted - 1 if counted else None))
    return labels, segments


def write_panoptic(folder: Path, contoured: ContouredVolume) -> None:
    """Write ``panoptic.nii.gz`` and ``segments.json`` into a folder, which must exist. Raise OutputError."""
    affine, things = contoured.volume.affine, numbered(contoured.ctv.things)
    drawn = painted(contoured.ctv.things, affine, contoured.volume.array.shape)
    labels, segments = panoptic_map(contoured.masks, drawn)
    names = [*contoured.masks, *grouped(one for _, one in things)]
    about = {name: contoured.ctv.meaning(name) for name in dict.fromkeys(names)}
    numbers = _categories(about)
    image = to_nibabel(contoured.ctv)
    whole = nibabel.Nifti1Image(labels, image.affine, image.header)
    whole.header.set_data_dtype(np.uint16)
    document = {
        "info": {"description": f"prostate-seg, {RESEARCH_ONLY}", "model": contoured.author.name,
                 "version": contoured.author.version, "spacing_mm": list(contoured.volume.spacing_mm)},
        "categories": [_category(one, numbers[name], contoured.remark_on(name)) for name, one in about.items()],
        "annotations": [
            {
                "file_name": MAP,
                "segments_info": [
                    _segment(labels, one, _categories_of(one, numbers, things), affine) for one in segments
                ],
            }
        ],
        **things_of(contoured),
    }  # fmt: skip
    try:
        nibabel.save(whole, folder / MAP)
    except OSError as error:
        raise OutputError(f"Cannot write {MAP}: {error.strerror}.") from error
    write_json(folder / SEGMENTS, document)


def _categories(about: dict[str, Structure]) -> dict[str, int]:
    """Return the category number of each structure: its label in the table, or a free one."""
    numbers: dict[str, int] = {}
    for name, one in about.items():
        taken = set(numbers.values())
        free = next(number for number in range(MOST_LABELS + 1, 2 * MOST_LABELS) if number not in taken)
        numbers[name] = one.label if one.label and one.label not in taken else free
    return numbers


def _category(one: Structure, number: int, remark: str) -> dict[str, Any]:
    found: dict[str, Any] = {
        "id": number,
        "name": one.name,
        "isthing": int(one.kind == "thing"),
        "color": list(one.colour),
        "supercategory": one.parent or "",
        "code": {"value": one.type.value, "scheme": one.type.scheme, "meaning": one.type.meaning},
    }
    return found | ({"remark": remark} if remark else {})


def _segment(labels: Array, segment: Segment, categories: dict[str, Any], affine: Array) -> dict[str, Any]:
    mask = labels == segment.number
    box = bounding_box(mask)
    voxels = np.argwhere(mask[box]) + [part.start for part in box]
    centre = affine[:3, :3] @ voxels.mean(axis=0) + affine[:3, 3]
    return {
        "id": segment.number,
        **categories,
        "iscrowd": 0,
        "area": len(voxels),
        "volume_ml": round(volume_ml(mask, affine), 4),
        "bbox": [*(part.start for part in box), *(part.stop - part.start for part in box)],
        "centroid_ras_mm": [round(float(value), 3) for value in centre],
    }


def _categories_of(
    segment: Segment, numbers: dict[str, int], things: Sequence[tuple[str, Thing]]
) -> dict[str, Any]:
    inside = [numbers[name] for name in segment.inside]
    if segment.thing is None:
        return {"category_id": inside[0], "also": inside[1:]}
    name, thing = things[segment.thing]
    own = next(number for other, number in numbers.items() if key(other) == key(thing.structure))
    return {"category_id": own, "also": inside, "instance": name}


def write_structures(path: Path, request: Request) -> None:
    """Write the CTV and all structures into a new folder."""
    path.mkdir(exist_ok=True)
    write_panoptic(path, request.contoured)
