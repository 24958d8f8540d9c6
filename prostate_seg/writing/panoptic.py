"""Panoptic files: one label map of segments, and ``segments.json`` in the terms of COCO panoptic, with millimetres.

In COCO's format each voxel belongs to one segment of one category. Structures overlap: the urethra lies in the CTV.
Therefore a segment is the set of voxels that lie in the same structures. Its ``category_id`` is the smallest of
these structures, and ``also`` lists the others. A structure is the union of its segments, so nothing is lost.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel
import numpy as np

from ..errors import OutputError
from ..geometry.extent import bounding_box
from ..geometry.structures import MOST_LABELS, Structure
from ..geometry.volume import Array, volume_ml
from ..reading.panoptic import MAP, SEGMENTS
from ..system.json_files import write_json
from .contoured_volume import RESEARCH_ONLY, ContouredVolume
from .nifti import to_nibabel
from .request import Request

MOST_SEGMENTS = 65_535
MOST_STRUCTURES = 62


def panoptic_map(masks: dict[str, Array]) -> tuple[Array, list[tuple[int, list[str]]]]:
    """Return the label map, uint16 (I, J, K), and for each segment its number and the structures that hold it.

    The structures of a segment are sorted by size, smallest first. OutputError is raised for more than 62
    structures or 65 535 segments.
    """
    if len(masks) > MOST_STRUCTURES:
        raise OutputError(f"A panoptic map holds at most {MOST_STRUCTURES} structures, got {len(masks)}.")
    names = list(masks)
    shape = next(iter(masks.values())).shape
    box = bounding_box(np.logical_or.reduce(list(masks.values())))
    kind = np.dtype(np.uint8 if len(masks) <= 8 else np.uint64)
    codes = np.zeros(tuple(part.stop - part.start for part in box), kind)
    for number, mask in enumerate(masks.values()):
        codes[mask[box]] |= kind.type(1 << number)
    found, inverse = np.unique(codes, return_inverse=True)
    if len(found) - 1 > MOST_SEGMENTS:
        raise OutputError(f"A panoptic map holds at most {MOST_SEGMENTS} segments, got {len(found) - 1}.")
    size = {name: int(np.count_nonzero(mask)) for name, mask in masks.items()}
    labels = np.zeros(shape, np.uint16)
    background = int(bool(found.size) and found[0] == 0)  # without one the numbers begin at 1 all the same
    labels[box] = inverse.reshape(codes.shape) + (1 - background)
    segments: list[tuple[int, list[str]]] = []
    for code in found[found != 0].tolist():
        inside = sorted((name for n, name in enumerate(names) if code >> n & 1), key=lambda name: size[name])
        segments.append((len(segments) + 1, inside))
    return labels, segments


def write_panoptic(folder: Path, contoured: ContouredVolume) -> None:
    """Write ``panoptic.nii.gz`` and ``segments.json`` into a folder, which must exist. Raise OutputError."""
    labels, segments = panoptic_map(contoured.masks)
    about = {name: contoured.ctv.meaning(name) for name in contoured.masks}
    numbers = _categories(about)
    image = to_nibabel(contoured.ctv)
    whole = nibabel.Nifti1Image(labels, image.affine, image.header)
    whole.header.set_data_dtype(np.uint16)
    affine = contoured.volume.affine
    document = {
        "info": {"description": f"prostate-seg, {RESEARCH_ONLY}", "model": contoured.author.name,
                 "version": contoured.author.version, "spacing_mm": list(contoured.volume.spacing_mm)},
        "categories": [_category(one, numbers[name], contoured.remark_on(name)) for name, one in about.items()],
        "annotations": [
            {
                "file_name": MAP,
                "segments_info": [
                    _segment(labels, (number, inside), numbers, affine) for number, inside in segments
                ],
            }
        ],
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


def _segment(
    labels: Array, segment: tuple[int, list[str]], numbers: dict[str, int], affine: Array
) -> dict[str, Any]:
    number, inside = segment
    mask = labels == number
    box = bounding_box(mask)
    voxels = np.argwhere(mask[box]) + [part.start for part in box]
    centre = affine[:3, :3] @ voxels.mean(axis=0) + affine[:3, 3]
    return {
        "id": number,
        "category_id": numbers[inside[0]],
        "also": [numbers[name] for name in inside[1:]],
        "iscrowd": 0,
        "area": len(voxels),
        "volume_ml": round(volume_ml(mask, affine), 4),
        "bbox": [*(part.start for part in box), *(part.stop - part.start for part in box)],
        "centroid_ras_mm": [round(float(value), 3) for value in centre],
    }


def write_structures(path: Path, request: Request) -> None:
    """Write the CTV and all structures into a new folder."""
    path.mkdir(exist_ok=True)
    write_panoptic(path, request.contoured)
