"""RT Structure Sets (PS3.3 A.19): contours in the patient, on the slices of the source or of a derived series."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from pydicom import DataElement, Dataset
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ImplicitVRLittleEndian, RTStructureSetStorage

from ...errors import OutputError, SettingsError
from ...geometry.extent import bounding_box
from ...geometry.margin import enlarged
from ...geometry.structures import CTV, Structure, structure
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
from ..request import Request
from .contours import closed_contours
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
STUDY_COMPONENT = "1.2.840.10008.3.1.2.3.1"  # Detached Study Management, as planning systems expect it
LABEL_LENGTH = 16
CONTOUR_DATA = 0x30060050


def write_rtstruct(
    path: str | os.PathLike[str],
    contoured: ContouredVolume,
    *,
    target: Array | None = None,
    every_mm: float | None = None,
    derived_series: bool = False,
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
    target
        PTV, bool (I, J, K), written beside the CTV; None for no PTV.
    every_mm
        Distance between slices with contours, counted from the CTV's base, or from its first slice if the
        orientation is assumed. None for all slices.
    derived_series
        Whether to refer to the series of :func:`.derived_series.write_derived_series` instead of the source.
        Viewers put all contours of a plain multi-frame image on its first frame.

    Raises
    ------
    OutputError
        The source is not DICOM, a structure is not valid, or a structure has no contour on the chosen slices.
    SettingsError
        every_mm is out of range, or there are two structures called PTV.
    """
    path = Path(path)
    checked_suffix(path, ".dcm")
    source_header(contoured.volume, path.name)
    check_structures(contoured, path.name)
    masks = dict(contoured.masks)
    if target is not None:
        if any(name.strip().casefold() == "ptv" for name in masks):
            raise SettingsError("There is a structure called PTV already; leave out the margin or that structure.")
        masks = {CTV: masks.pop(CTV), "PTV": target, **masks}
    slices = planning_slices(contoured, every_mm)
    dataset = _structure_set(contoured, masks, slices, derived_series=derived_series)
    with replacing(path) as temporary:
        dataset.save_as(temporary, enforce_file_format=True)


def planning_slices(contoured: ContouredVolume, every_mm: float | None) -> list[int]:
    """Return the slices k that have contours.

    Without ``every_mm`` these are all slices. Otherwise they are the slices nearest to multiples of ``every_mm``
    from the base of the CTV, or from its first slice if the orientation is assumed. Raise SettingsError if
    ``every_mm`` is below the slice distance or above 100 mm.
    """
    volume = contoured.volume
    count, gap_mm = volume.array.shape[2], volume.spacing_mm[2]
    if every_mm is None:
        return list(range(count))
    if not gap_mm * 0.99 <= every_mm <= 100:
        raise SettingsError(
            f"Contours every {every_mm:g} mm cannot be made on slices {gap_mm:g} mm apart; give {gap_mm:g} to "
            "100 mm."
        )
    filled = np.flatnonzero(contoured.ctv.mask().any(axis=(0, 1)))
    from_last = volume.orientation != "assumed" and volume.affine[2, 2] > 0  # k runs to the superior
    start, step = (filled[-1], -1) if from_last else (filled[0], 1)
    reach = int(max(count - start, start) * gap_mm / every_mm) + 1
    wanted = start + step * np.rint(np.arange(-reach, reach + 1) * every_mm / gap_mm).astype(int)
    return sorted({int(k) for k in wanted if 0 <= k < count})


def _structure_set(
    contoured: ContouredVolume, masks: Mapping[str, Array], slices: list[int], *, derived_series: bool
) -> FileDataset:
    volume = contoured.volume
    header, place = volume.source.header, frame_of_reference(volume)
    role = f"structure set, derived {derived_series}, slices {slices}, {list(masks)}"
    if "PTV" in masks:
        role += f", PTV {digest_of(masks['PTV'])}"
    moment = content_moment(header)
    series, references = _images(volume, derived_series=derived_series)
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
    dataset.ReferencedFrameOfReferenceSequence = [_referenced_place(header, place, series, references)]
    dataset.StructureSetROISequence = [
        _roi(contoured, number, name, mask) for number, (name, mask) in enumerate(masks.items(), 1)
    ]
    dataset.ROIContourSequence = [
        _roi_contours(volume, (number, name), mask, slices=slices, references=references)
        for number, (name, mask) in enumerate(masks.items(), 1)
    ]
    dataset.RTROIObservationsSequence = [
        _observation(number, name, structure(name)) for number, name in enumerate(masks, 1)
    ]
    return dataset


def _images(volume: Volume, *, derived_series: bool) -> tuple[str, list[Dataset]]:
    """Return the Series Instance UID of the referenced series, and one reference for each slice."""
    if derived_series:
        return series_references(volume)
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


def _roi(contoured: ContouredVolume, number: int, name: str, mask: Array) -> Dataset:
    voxel_ml = abs(np.linalg.det(contoured.volume.affine[:3, :3])) / 1000.0
    roi = item(
        ROINumber=number,
        ReferencedFrameOfReferenceUID=frame_of_reference(contoured.volume),
        ROIName=name[:64],
        ROIGenerationAlgorithm=contoured.kind_of(name),
    )
    if mask.shape[2] > 1:  # a single slice has no volume
        roi.ROIVolume = decimal(np.count_nonzero(mask) * voxel_ml)
    return roi


def _roi_contours(
    volume: Volume, roi: tuple[int, str], mask: Array, *, slices: list[int], references: list[Dataset]
) -> Dataset:
    contours: list[Dataset] = []
    lps = swap_ras_lps(volume.affine)
    box = bounding_box(mask)
    corner = np.array([box[0].start, box[1].start])
    by_slice = np.ascontiguousarray(mask[box].transpose(2, 0, 1))  # (K', I', J')
    for k in sorted(set(slices) & set(range(box[2].start, box[2].stop))):
        for line in closed_contours(by_slice[k - box[2].start]):
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


def _observation(number: int, name: str, meaning: Structure) -> Dataset:
    kind = meaning.kind
    return item(
        ObservationNumber=number,
        ReferencedROINumber=number,
        ROIObservationLabel=name[:LABEL_LENGTH],
        RTROIInterpretedType=meaning.rt_type,
        ROIInterpreter="",
        RTROIIdentificationCodeSequence=[code(kind.value, kind.scheme, kind.meaning)],
    )


def write_structures(path: Path, request: Request) -> None:
    """Write the CTV, further structures and, if the planning settings have a margin, the PTV."""
    planning, volume, target = request.planning, request.contoured.volume, None
    if planning.margin is not None:
        target = enlarged(request.contoured.ctv.mask(), volume.affine, planning.margin, volume.orientation)
    derived = planning.reference == "us-series" or (planning.reference is None and "us-series" in request.formats)
    write_rtstruct(path, request.contoured, target=target, every_mm=planning.every_mm, derived_series=derived)
