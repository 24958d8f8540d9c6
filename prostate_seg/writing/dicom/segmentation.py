"""DICOM Segmentation objects (PS3.3 A.51) on the frames of the ultrasound on which they were drawn."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import highdicom
import numpy as np
from highdicom.sr import CodedConcept

from ...errors import OutputError
from ...geometry.structures import CTV, Code
from ...geometry.things import numbered, painted
from ...geometry.volume import Array
from ...system.atomic import checked_suffix, replacing
from ..contoured_volume import (
    RESEARCH_ONLY,
    SOFTWARE,
    SOFTWARE_VERSION,
    ContouredVolume,
    check_structures,
    digest_of,
)
from ..request import Request
from .source import (
    DERIVED_PLACE,
    content_moment,
    frame_order,
    place_is_derived,
    placed_images,
    refer_to_source,
    source_header,
)

ROLES = ("", ", series", ", dimensions")
SERIES_NUMBER = {"BINARY": 500, "FRACTIONAL": 501, "THINGS": 502}
SLICES = 3  # axes of a map that holds the number of one segment in each voxel


def write_dicom_seg(path: str | os.PathLike[str], contoured: ContouredVolume) -> None:
    """Write the CTV and further structures as a binary Segmentation, with one segment each.

    The object has a frame for every frame of the source, even if it is empty. Each frame refers to its source
    frame. The same contoured gives the same bytes. Raise OutputError if the source is not DICOM or a structure is
    empty.
    """
    check_structures(contoured, Path(path).name)
    masks = np.stack([mask.T for mask in contoured.masks.values()], axis=-1)  # (K, rows, columns, segments)
    segments = [_Segment(name, name) for name in contoured.masks]
    _write(Path(path), contoured, "BINARY", masks.view(np.uint8), segments=segments)


def write_dicom_probability(path: str | os.PathLike[str], contoured: ContouredVolume) -> None:
    """Write the CTV's probability as a fractional Segmentation in steps of 1/255.

    Raise OutputError if the source is not DICOM or the mask has no probability.
    """
    if contoured.ctv.probability is None:
        raise OutputError(
            f"Cannot write {Path(path).name}: this mask has no probability; it comes with segment, not with a mask "
            "that was read or corrected."
        )
    values = np.clip(contoured.ctv.probability.T, 0.0, 1.0).astype(np.float32)  # (K, rows, columns)
    _write(Path(path), contoured, "FRACTIONAL", values[..., None], segments=[_Segment(CTV, CTV)])


def write_dicom_things(path: str | os.PathLike[str], contoured: ContouredVolume) -> None:
    """Write needles, seeds and calcifications as a binary Segmentation, with one segment for each of them.

    Frames without a thing are left out. A voxel of two things belongs to the shorter. Raise OutputError if the
    source is not DICOM or there is no thing.
    """
    things = numbered(contoured.ctv.things)
    if not things:
        raise OutputError(f"There is no needle or seed to put into {Path(path).name}; leave it out.")
    labels = painted(contoured.ctv.things, contoured.volume.affine, contoured.volume.array.shape)
    segments = [_Segment(name, thing.structure) for name, thing in things]
    _write(Path(path), contoured, "BINARY", labels.T, segments=segments)


@dataclass(frozen=True)
class _Segment:
    """Name of a segment, and of the structure whose codes and colour it has."""

    name: str
    structure: str


def _write(
    path: Path, contoured: ContouredVolume, kind: str, values: Array, *, segments: Sequence[_Segment]
) -> None:
    checked_suffix(path, ".dcm")
    source_header(contoured.volume, path.name)
    segmentation = _segmentation(contoured, kind, values[frame_order(contoured.volume)], segments=segments)
    with replacing(path) as temporary:
        segmentation.save_as(temporary, enforce_file_format=True)


def _segmentation(contoured: ContouredVolume, kind: str, values: Array, *, segments: Sequence[_Segment]) -> Any:
    volume, whole = contoured.volume, values.ndim > SLICES
    moment = content_moment(volume.source.header)
    role = f"segmentation {kind}" if whole else "segmentation of things"
    content = [digest_of(values)] if kind == "FRACTIONAL" else []
    about = CTV if whole else "THINGS"
    uids = [contoured.uid(", ".join([f"{role}{part}", *content])) for part in ROLES]
    segmentation = highdicom.seg.Segmentation(
        placed_images(volume),
        values,
        kind,
        [_description(contoured, one, number) for number, one in enumerate(segments, 1)],
        uids[1],
        SERIES_NUMBER[kind if whole else "THINGS"],
        uids[0],
        1,
        SOFTWARE,
        contoured.author.name[:64],
        SOFTWARE_VERSION,
        "0",
        content_label=about if kind == "BINARY" else f"{CTV}_PROBABILITY",
        content_description=f"{contoured.author.name[:40]}, {RESEARCH_ONLY}",
        series_description=f"{about}{'' if kind == 'BINARY' else ' probability'}, {RESEARCH_ONLY}",
        content_date=moment[0] or "19000101",
        content_time=moment[1] or "000000",
        omit_empty_frames=not whole,
    )
    del segmentation.InstanceCreationDate, segmentation.InstanceCreationTime  # they change in every run
    del segmentation.ContributingEquipmentSequence[0].ContributionDateTime
    segmentation.BodyPartExamined = "PROSTATE"
    place = DERIVED_PLACE if place_is_derived(volume) else "Positions are those of the source."
    segmentation.ImageComments = (
        f"Made by {contoured.author.name} {contoured.author.version}. {place} {RESEARCH_ONLY}."
    )
    segmentation.DimensionOrganizationSequence[0].DimensionOrganizationUID = uids[2]
    for index in segmentation.DimensionIndexSequence:
        index.DimensionOrganizationUID = uids[2]
    refer_to_source(segmentation, volume)
    return segmentation


def _description(contoured: ContouredVolume, segment: _Segment, number: int) -> Any:
    name, meaning, author = segment.name, contoured.ctv.meaning(segment.structure), contoured.author
    algorithm = highdicom.AlgorithmIdentificationSequence(
        name=author.name, version=author.version, family=CodedConcept("123109", "DCM", "Artificial Intelligence")
    )
    described = highdicom.seg.SegmentDescription(
        number,
        name[:64],
        _concept(meaning.category),
        _concept(meaning.type),
        contoured.kind_of(segment.structure),
        None if contoured.kind_of(segment.structure) == "MANUAL" else algorithm,
        tracking_uid=contoured.uid(f"tracking {name}"),
        tracking_id=name,
        anatomic_regions=None if meaning.region is None else [_concept(meaning.region)],
        display_color=highdicom.color.CIELabColor.from_rgb(*meaning.colour),
    )
    if remark := contoured.remark_on(segment.structure):
        described.SegmentDescription = remark
    return described


def _concept(code: Code) -> Any:
    return CodedConcept(code.value, code.scheme, code.meaning)


def write_structures(path: Path, request: Request) -> None:
    """Write the CTV and further structures."""
    write_dicom_seg(path, request.contoured)


def write_things(path: Path, request: Request) -> None:
    """Write needles, seeds and calcifications."""
    write_dicom_things(path, request.contoured)


def write_probability(path: Path, request: Request) -> None:
    """Write the CTV's probability."""
    write_dicom_probability(path, request.contoured)
