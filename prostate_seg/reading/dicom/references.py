"""What DICOM Segmentations and structure sets refer to, and the UIDs of the images that they may belong to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from pydicom import Dataset, dcmread

from ...system.input_files import InputFile
from ..references import Contours, ImageIdentity, Roi, key_of
from .pixels import damage_refused
from .structures import CLOSED, dicom_kind
from .ultrasound import read_header

_OF_IMAGES = ["SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "PatientID", "FrameOfReferenceUID"]

_OF_SEGMENTS = ("ReferencedSeriesSequence",)
_OF_ROIS = ("ReferencedFrameOfReferenceSequence", "RTReferencedStudySequence", "RTReferencedSeriesSequence")


def identity_of(files: Sequence[InputFile]) -> ImageIdentity:
    """Return the identity of the files of one image. InputError is raised if a file cannot be read."""
    headers = [read_header(file, _OF_IMAGES) for file in files]
    instances = _uids(headers, "SOPInstanceUID")
    place, patient = (str(headers[0].get(name) or "").strip() for name in ("FrameOfReferenceUID", "PatientID"))
    return ImageIdentity(key_of(instances), instances, _uids(headers, "SeriesInstanceUID"), place, patient)


def contours_in(path: Path) -> Contours | None:
    """Return what a Segmentation or structure set refers to; None for any other file.

    InputError is raised if the file is damaged.
    """
    with damage_refused(f"{path.name} cannot be read"):
        kind = dicom_kind(path)
        if kind is None:
            return None
        dataset = dcmread(path, stop_before_pixels=True)
        prefix = "Content" if kind == "segmentation" else "StructureSet"
        fractional = str(dataset.get("SegmentationType")) == "FRACTIONAL"
        found = _segments(dataset) if kind == "segmentation" else _rois(dataset)
        return Contours(
            "probability" if fractional else kind,
            tuple(found),
            _uids(
                [
                    *_items(dataset, *_OF_SEGMENTS, "ReferencedInstanceSequence"),
                    *_items(dataset, *_OF_ROIS, "ContourImageSequence"),
                ],
                "ReferencedSOPInstanceUID",
            ),
            _uids([*_items(dataset, *_OF_SEGMENTS), *_items(dataset, *_OF_ROIS)], "SeriesInstanceUID"),
            str(dataset.get("PatientID") or "").strip(),
            str(dataset.get(f"{prefix}Label") or ""),
            str(dataset.get("ApprovalStatus") or ""),
            f"{dataset.get(f'{prefix}Date') or ''}{dataset.get(f'{prefix}Time') or ''}",
        )


def _segments(dataset: Dataset) -> Iterator[Roi]:
    place = str(dataset.get("FrameOfReferenceUID") or "")
    for one in dataset.get("SegmentSequence") or []:
        automatic = str(one.get("SegmentAlgorithmType")) == "AUTOMATIC"
        yield Roi(str(one.SegmentLabel), place=place, automatic=automatic)


def _rois(dataset: Dataset) -> Iterator[Roi]:
    """Yield the ROIs whose contours all enclose an area. The points of the contours are not looked at."""
    contours: dict[int, list[Dataset]] = {}
    for roi in dataset.get("ROIContourSequence") or []:
        contours.setdefault(int(roi.ReferencedROINumber), []).extend(roi.get("ContourSequence") or [])
    for roi in dataset.get("StructureSetROISequence") or []:
        drawn = contours.get(int(roi.ROINumber), [])
        if drawn and {str(one.get("ContourGeometricType")) for one in drawn} <= set(CLOSED):
            images = [image for one in drawn for image in one.get("ContourImageSequence") or []]
            yield Roi(
                str(roi.ROIName),
                _uids(images, "ReferencedSOPInstanceUID"),
                str(roi.get("ReferencedFrameOfReferenceUID") or ""),
                str(roi.get("ROIGenerationAlgorithm")) == "AUTOMATIC",
            )


def _items(dataset: Dataset, *keywords: str) -> Iterator[Dataset]:
    """Yield the items of nested sequences."""
    for item in dataset.get(keywords[0]) or []:
        if len(keywords) == 1:
            yield item
        else:
            yield from _items(item, *keywords[1:])


def _uids(items: Iterable[Dataset], keyword: str) -> frozenset[str]:
    return frozenset(text for one in items if (text := str(one.get(keyword) or "")))
