"""RT Structure Sets (PS3.3 A.19): contours in the patient, on the slices of the source or of a derived series."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydicom import DataElement, Dataset
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ImplicitVRLittleEndian, RTStructureSetStorage

from ...errors import OutputError, SettingsError
from ...geometry.extent import bounding_box
from ...geometry.planimetry import stations_at
from ...geometry.structures import CTV, Structure, key, structure
from ...geometry.volume import Array, Volume, swap_ras_lps
from ...system.atomic import checked_suffix, replacing
from ..contoured_volume import (
    RESEARCH_ONLY,
    SOFTWARE,
    SOFTWARE_VERSION,
    ContouredVolume,
    check_structures,
    digest_of,
)
from ..request import Series
from ..roi_names import RoiNames
from .contours import closed_contours, thinned
from .ct_series import ct_references
from .derived_series import series_references
from .source import (
    DERIVED_PLACE,
    content_moment,
    frame_of_reference,
    image_reference,
    patient_and_study,
    place_is_derived,
    source_header,
)
from .values import code, decimal, item

SERIES_NUMBER = 600
PTV = "PTV"
STUDY_COMPONENT = "1.2.840.10008.3.1.2.3.1"  # Detached Study Management, as planning systems expect it
LABEL_LENGTH = 16
CONTOUR_DATA = 0x30060050


def write_rtstruct(
    path: str | os.PathLike[str],
    contoured: ContouredVolume,
    *,
    further: Mapping[str, Array] | None = None,
    names: RoiNames | None = None,
    every_mm: float | None = None,
    tolerance_mm: float | None = None,
    series: Series = "source",
) -> None:
    """Write the CTV and further structures as closed planar contours in LPS mm.

    Contours run half-way between voxel centres (:mod:`.contours`). The file is in implicit VR, because in explicit
    VR the values of a contour are limited to 64 kB. The same contoured gives the same bytes.

    Parameters
    ----------
    path
        File with suffix ``.dcm``.
    contoured
        Volume from DICOM, CTV and further structures.
    further
        ROIs that are made from the structures by margins, bool (I, J, K), by name, such as ``PTV``.
    names
        Names and types of the ROIs.
    every_mm
        Distance between slices with contours, counted from the CTV's base, or from its first slice if the
        orientation is assumed. None for all slices.
    tolerance_mm
        Largest distance by which contours are moved to have fewer points; None keeps every corner of the mask.
    series
        Series to refer to: the source, or one of :mod:`.derived_series` and :mod:`.ct_series`.
        Viewers put all contours of a plain multi-frame image on its first frame.

    Raises
    ------
    OutputError
        The source is not DICOM, a structure is not valid, or a structure has no contour on the chosen slices.
    SettingsError
        every_mm is out of range, or two ROIs would have one name.
    """
    path = Path(path)
    checked_suffix(path, ".dcm")
    source_header(contoured.volume, path.name)
    check_structures(contoured, path.name)
    masks = dict(contoured.masks)
    for name, mask in (further or {}).items():
        if key(name) in {key(other) for other in masks}:
            raise SettingsError(
                f"There is a structure called {name} already; leave out the margin or that structure."
            )
        masks[name] = mask
    if PTV in masks:
        masks = {CTV: masks.pop(CTV), PTV: masks.pop(PTV), **masks}
    slices = planning_slices(contoured, every_mm)
    drawn = Drawing(names or RoiNames(), slices, tolerance_mm)
    dataset = _structure_set(contoured, masks, drawn, series=series)
    with replacing(path) as temporary:
        dataset.save_as(temporary, enforce_file_format=True)


def planning_slices(contoured: ContouredVolume, every_mm: float | None) -> list[int]:
    """Return the slices k that have contours.

    Without ``every_mm`` these are all slices. Otherwise they are the slices nearest to multiples of ``every_mm``
    from the base of the CTV, or from its first slice if the orientation is assumed. Raise SettingsError if
    ``every_mm`` is below the slice distance or above 100 mm.
    """
    volume = contoured.volume
    from_last = volume.orientation != "assumed" and volume.affine[2, 2] > 0  # k runs to the superior
    return stations_at(contoured.ctv.mask(), volume.affine, every_mm, from_last=from_last)


@dataclass(frozen=True)
class Drawing:
    """How masks become ROIs: their names and types, the slices with contours, and the tolerance in mm."""

    names: RoiNames
    slices: list[int]
    tolerance_mm: float | None = None


def _structure_set(
    contoured: ContouredVolume, masks: Mapping[str, Array], drawn: Drawing, *, series: Series
) -> FileDataset:
    volume = contoured.volume
    header, place = volume.source.header, frame_of_reference(volume)
    role = f"structure set, {series}, slices {drawn.slices}, {list(masks)}"
    role += "".join(f", {name} {digest_of(mask)}" for name, mask in masks.items() if name not in contoured.masks)
    if drawn.names != RoiNames() or drawn.tolerance_mm is not None:
        role += f", {drawn.names}, tolerance {drawn.tolerance_mm}"
    rois = drawn.names.all(masks)
    moment = content_moment(header)
    identity, references = _images(volume, series=series)
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.TransferSyntaxUID = RTStructureSetStorage, ImplicitVRLittleEndian
    meta.MediaStorageSOPInstanceUID = contoured.uid(role)
    dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.update(patient_and_study(header))
    dataset.SOPClassUID, dataset.SOPInstanceUID = RTStructureSetStorage, meta.MediaStorageSOPInstanceUID
    dataset.Modality, dataset.SeriesInstanceUID = "RTSTRUCT", contoured.uid(f"{role}, series")
    dataset.SeriesNumber, dataset.InstanceNumber = SERIES_NUMBER, 1
    dataset.SeriesDescription, dataset.OperatorsName = f"Prostate contours, {RESEARCH_ONLY}", ""
    dataset.Manufacturer, dataset.ManufacturerModelName = SOFTWARE, contoured.author.name[:64]
    dataset.SoftwareVersions = SOFTWARE_VERSION
    dataset.StructureSetLabel, dataset.StructureSetName = CTV, f"{CTV}, {RESEARCH_ONLY}"
    comment = DERIVED_PLACE if place_is_derived(volume) else "Positions are those of the source."
    dataset.StructureSetDescription = (
        f"{contoured.author.name} {contoured.author.version}. {comment} {RESEARCH_ONLY}."
    )
    dataset.StructureSetDate, dataset.StructureSetTime = moment
    dataset.ApprovalStatus = "UNAPPROVED"
    dataset.FrameOfReferenceUID, dataset.PositionReferenceIndicator = place, ""
    dataset.ReferencedFrameOfReferenceSequence = [_referenced_place(header, place, identity, references)]
    dataset.StructureSetROISequence = [
        _roi(contoured, (number, rois[name]), name, mask) for number, (name, mask) in enumerate(masks.items(), 1)
    ]
    dataset.ROIContourSequence = [
        _roi_contours(volume, (number, name), mask, drawn=drawn, references=references)
        for number, (name, mask) in enumerate(masks.items(), 1)
    ]
    dataset.RTROIObservationsSequence = [
        _observation((number, rois[name]), structure(name), drawn.names.type(name))
        for number, name in enumerate(masks, 1)
    ]
    return dataset


def _images(volume: Volume, *, series: Series) -> tuple[str, list[Dataset]]:
    """Return the Series Instance UID of the referenced series, and one reference for each slice."""
    if series == "us-series":
        return series_references(volume)
    if series == "ct-series":
        return ct_references(volume)
    count = volume.array.shape[2]
    return str(volume.source.header.SeriesInstanceUID), [image_reference(volume, k) for k in range(count)]


def _referenced_place(header: Dataset, place: str, series: str, references: list[Dataset]) -> Dataset:
    images = {
        reference.ReferencedSOPInstanceUID: item(
            ReferencedSOPClassUID=reference.ReferencedSOPClassUID,
            ReferencedSOPInstanceUID=reference.ReferencedSOPInstanceUID,
        )
        for reference in references
    }
    of_series = item(SeriesInstanceUID=series, ContourImageSequence=list(images.values()))
    of_study = item(
        ReferencedSOPClassUID=STUDY_COMPONENT,
        ReferencedSOPInstanceUID=header.StudyInstanceUID,
        RTReferencedSeriesSequence=[of_series],
    )
    return item(FrameOfReferenceUID=place, RTReferencedStudySequence=[of_study])


def _roi(contoured: ContouredVolume, numbered: tuple[int, str], name: str, mask: Array) -> Dataset:
    voxel_ml = abs(np.linalg.det(contoured.volume.affine[:3, :3])) / 1000.0
    roi = item(
        ROINumber=numbered[0],
        ReferencedFrameOfReferenceUID=frame_of_reference(contoured.volume),
        ROIName=numbered[1][:64],
        ROIGenerationAlgorithm=contoured.kind_of(name),
    )
    if remark := contoured.remark_on(name):
        roi.ROIDescription = remark
    if mask.shape[2] > 1:  # a single slice has no volume
        roi.ROIVolume = decimal(np.count_nonzero(mask) * voxel_ml)
    return roi


def _roi_contours(
    volume: Volume, roi: tuple[int, str], mask: Array, *, drawn: Drawing, references: list[Dataset]
) -> Dataset:
    contours: list[Dataset] = []
    lps = swap_ras_lps(volume.affine)
    box = bounding_box(mask)
    corner = np.array([box[0].start, box[1].start])
    by_slice = np.ascontiguousarray(mask[box].transpose(2, 0, 1))  # (K', I', J')
    for k in sorted(set(drawn.slices) & set(range(box[2].start, box[2].stop))):
        lines = closed_contours(by_slice[k - box[2].start])
        if drawn.tolerance_mm is not None:
            scale = np.array(volume.spacing_mm[:2])
            lines = [line / scale for line in thinned([line * scale for line in lines], drawn.tolerance_mm)]
        for line in lines:
            points = (line + corner) @ lps[:3, :2].T + lps[:3, 2] * k + lps[:3, 3]  # (P, 3) mm
            contour = item(
                ContourNumber=len(contours) + 1,
                ContourImageSequence=[references[k]],
                ContourGeometricType="CLOSED_PLANAR",
                NumberOfContourPoints=len(points),
            )
            data = [f"{value:.5f}" for value in (points.ravel().round(5) + 0.0).tolist()]
            contour.add(
                DataElement(CONTOUR_DATA, "DS", data, already_converted=True)
            )  # checking each value takes seconds
            contours.append(contour)
    if not contours:
        raise OutputError(
            f"The structure {roi[1]} lies on none of the planning slices, so it has no contour; give a smaller "
            "--contour-every."
        )
    return item(
        ReferencedROINumber=roi[0], ROIDisplayColor=list(structure(roi[1]).colour), ContourSequence=contours
    )


def _observation(numbered: tuple[int, str], meaning: Structure, rt_type: str) -> Dataset:
    kind = meaning.type
    return item(
        ObservationNumber=numbered[0],
        ReferencedROINumber=numbered[0],
        ROIObservationLabel=numbered[1][:LABEL_LENGTH],
        RTROIInterpretedType=rt_type,
        ROIInterpreter="",
        RTROIIdentificationCodeSequence=[code(kind.value, kind.scheme, kind.meaning)],
    )
