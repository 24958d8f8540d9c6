"""Writers of NRRD and MetaImage volumes, and of segmentations for 3D Slicer (``.seg.nrrd``)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk  # noqa: N813

from ..errors import OutputError
from ..geometry.extent import bounding_box
from ..geometry.structures import MOST_LABELS, Code, Structure
from ..geometry.things import numbered, voxels_of
from ..geometry.volume import Array, Segmentation, Volume, lps_from_affine
from ..system.atomic import checked_suffix, replacing, stored_array
from ..system.source_digest import FIELD, LEARNT, field_of, tag_of
from .request import Request

# Slicer's terminology contexts. The targets use the terminology file that :mod:`.slicer_scene` writes. Slicer shows
# them even if this file is not loaded.
ANATOMY_CONTEXT = "Segmentation category and type - 3D Slicer General Anatomy list"
TARGET_CONTEXT = "Targets of prostate radiotherapy - prostate-seg"
_REGION_CONTEXT = "Anatomic codes - DICOM master list"
_LEVEL = 3  # compression level: twice as fast as the default; higher levels hardly make speckle smaller


def write_nrrd(path: str | os.PathLike[str], item: Volume | Segmentation) -> None:
    """Write a volume, or a segmentation's labels as a plain label map, to ``.nrrd`` or ``.mha``.

    The file is compressed. Positions are in LPS mm, as usual in both formats. Raise OutputError.
    """
    path = Path(path)
    checked_suffix(path, ".nrrd", ".mha")
    _write(to_simpleitk(item), path)


def write_seg_nrrd(path: str | os.PathLike[str], segmentation: Segmentation) -> None:
    """Write a segmentation to ``.seg.nrrd``: one segment for each structure, with colour and terminology.

    A name without voxels becomes an empty segment. Structures that overlap lie in several layers, as 3D Slicer
    stores them. Codes and colours are those of :mod:`prostate_seg.geometry.structures`. The header keys are those
    of 3D Slicer's Segmentations module. A tag identifies the image on which the mask was drawn
    (:mod:`prostate_seg.system.source_digest`). Raise OutputError if the file cannot be written, if a label has no
    name, or if there are more than 255 structures.
    """
    path = Path(path)
    checked_suffix(path, ".seg.nrrd")
    if not isinstance(segmentation, Segmentation):
        raise OutputError(f"Cannot write {path.name}: .seg.nrrd holds a segmentation, got a volume.")
    nameless = sorted(set(np.unique(segmentation.labels).tolist()) - {0} - set(segmentation.names))
    if nameless:
        raise OutputError(f"Cannot write {path.name}: labels {nameless} have no name; add them to the names.")
    _write_segments(path, segmentation, *layered(segmentation, path.name))


def _write_segments(
    path: Path, segmentation: Segmentation, layers: Sequence[Array], segments: Sequence[Segment]
) -> None:
    image = to_simpleitk(replace(segmentation, labels=layers[0], structures={}))
    if len(layers) > 1:
        flat = sitk.GetImageFromArray(
            np.stack(layers, axis=-1).transpose(2, 1, 0, 3), isVector=True
        )  # (k, j, i, L)
        flat.CopyInformation(image)
        if segmentation.orientation == "assumed":
            flat.SetMetaData("orientation", "assumed")
        image = flat
    else:
        image.EraseMetaData(FIELD)  # the segments have a tag
    for key, value in _slicer_keys(segmentation, segments).items():
        image.SetMetaData(key, value)
    _write(image, path)


@dataclass(frozen=True)
class Segment:
    """Place of a structure in a ``.seg.nrrd``: its name, its value, and the number of its layer.

    An instance has the name of its ``structure`` too, and its own ``number``: the values of instances begin again
    at 1 in each layer.
    """

    name: str
    value: int
    layer: int = 0
    structure: str = ""
    number: int = 0


def layered(segmentation: Segmentation, file: str) -> tuple[list[Array], list[Segment]]:
    """Return the layers, uint8 (I, J, K), of all structures, and the place of each structure.

    The first layer holds the labels. A further structure goes into the first layer that it does not overlap.
    OutputError is raised if there are more than 255 structures; ``file`` names the output.
    """
    layers = [segmentation.labels]
    segments = [Segment(name, label) for label, name in sorted(segmentation.names.items())]
    free_values = iter(sorted(set(range(1, MOST_LABELS + 1)) - set(segmentation.names)))
    for name, mask in segmentation.structures.items():
        value = next(free_values, 0)
        if not value:
            raise OutputError(f"Cannot write {file}: it has more than {MOST_LABELS} structures; leave some out.")
        box = bounding_box(mask)
        free = (number for number, layer in enumerate(layers) if not layer[box][mask[box]].any())
        place = next(free, len(layers))
        if place == len(layers):
            layers.append(np.zeros_like(segmentation.labels))
        elif place == 0 and layers[0] is segmentation.labels:
            layers[0] = segmentation.labels.copy()
        layers[place][box][mask[box]] = value
        segments.append(Segment(name, value, place))
    return layers, segments


def layers_of_things(segmentation: Segmentation) -> tuple[list[Array], list[Segment]]:
    """Return the layers, uint8 (I, J, K), of all needles, seeds and calcifications, and the place of each.

    A thing goes into the first layer that has a value left and that it does not overlap.
    """
    layers: list[Array] = []
    counts: list[int] = []
    segments = []
    for number, (name, thing) in enumerate(numbered(segmentation.things), 1):
        at = tuple(voxels_of(thing, segmentation.affine, segmentation.labels.shape).T)
        free = (n for n, layer in enumerate(layers) if counts[n] < MOST_LABELS and not layer[at].any())
        place = next(free, len(layers))
        if place == len(layers):
            layers.append(np.zeros_like(segmentation.labels))
            counts.append(0)
        counts[place] += 1
        layers[place][at] = counts[place]
        segments.append(Segment(name, counts[place], place, thing.structure, number))
    return layers, segments


def _slicer_keys(segmentation: Segmentation, segments: Sequence[Segment]) -> dict[str, str]:
    extent = " ".join(f"0 {length - 1}" for length in segmentation.labels.shape)
    keys = {
        "Segmentation_MasterRepresentation": "Binary labelmap",
        "Segmentation_ContainedRepresentationNames": "Binary labelmap|",
        "Segmentation_ReferenceImageExtentOffset": "0 0 0",
    }
    for index, segment in enumerate(segments):
        kind = segment.structure or segment.name
        meaning = segmentation.meaning(kind)
        colour = [round(part / 255, 3) for part in meaning.colour]
        keys |= {
            f"Segment{index}_ID": f"Segment_{segment.number or segment.value}",
            f"Segment{index}_Name": segment.name,
            f"Segment{index}_NameAutoGenerated": "0",
            f"Segment{index}_Color": " ".join(f"{part:g}" for part in colour),
            f"Segment{index}_ColorAutoGenerated": "0",
            f"Segment{index}_LabelValue": str(segment.value),
            f"Segment{index}_Layer": str(segment.layer),
            f"Segment{index}_Extent": extent,
            f"Segment{index}_Tags": (
                f"{tag_of(segmentation.source_sha256)}Segmentation.Status:completed|"
                f"{learnt_tag(segmentation, kind)}TerminologyEntry:{terminology_entry(meaning)}|"
            ),
        }
    return keys


def learnt_tag(segmentation: Segmentation, name: str) -> str:
    """Return the tag of a structure whose model was trained on phantoms alone, or an empty text."""
    return f"{LEARNT}:phantoms|" if name in segmentation.phantom_trained else ""


def terminology_entry(meaning: Structure) -> str:
    """Return Slicer's TerminologyEntry for a structure.

    It holds context, category, type and modifier, then context, region and modifier of the anatomic region.
    """
    context = ANATOMY_CONTEXT if meaning.region is None else TARGET_CONTEXT
    region = "^^" if meaning.region is None else _term(meaning.region)
    return f"{context}~{_term(meaning.category)}~{_term(meaning.type)}~^^~{_REGION_CONTEXT}~{region}~^^"


def _term(code: Code) -> str:
    return f"{code.scheme}^{code.value}^{code.meaning}"


def to_simpleitk(item: Volume | Segmentation) -> Any:
    """Return a volume, or a segmentation's labels as uint8, as an image of SimpleITK; positions are in LPS mm."""
    direction, spacing, origin = lps_from_affine(item.affine)
    image = sitk.GetImageFromArray(np.ascontiguousarray(stored_array(item).transpose(2, 1, 0)))  # (k, j, i)
    image.SetDirection(direction.ravel().tolist())
    image.SetSpacing(spacing.tolist())
    image.SetOrigin(origin.tolist())
    if item.orientation == "assumed":
        image.SetMetaData("orientation", "assumed")  # our own key; other programs keep or drop it
    for key, value in field_of(item.source_sha256 if isinstance(item, Segmentation) else "").items():
        image.SetMetaData(key, value)
    return image


def _write(image: Any, path: Path) -> None:
    with replacing(path) as temporary:
        try:
            sitk.WriteImage(image, str(temporary), useCompression=True, compressionLevel=_LEVEL)
            sitk.ReadImage(str(temporary))  # finds an incomplete file: on a full disk the writer raises no error
        except RuntimeError as error:
            raise OSError(str(error).strip().splitlines()[-1]) from error


def write_image(path: Path, request: Request) -> None:
    """Write the volume."""
    write_nrrd(path, request.contoured.volume)


def write_structures(path: Path, request: Request) -> None:
    """Write the CTV and further structures as segments."""
    write_seg_nrrd(path, request.contoured.segmentation)


def write_things(path: Path, request: Request) -> None:
    """Write one segment for each needle, seed and calcification, with its number; they may overlap."""
    segmentation = request.contoured.segmentation
    if not segmentation.things:
        raise OutputError(f"There is no needle or seed to put into {path.name}; leave it out.")
    _write_segments(path, segmentation, *layers_of_things(segmentation))
