"""RT Structure Sets (PS3.3 A.19): contours in the patient, on the slices of the source or of a derived series."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydicom import DataElement, Dataset
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ImplicitVRLittleEndian, RTStructureSetStorage

from ...errors import OutputError, SettingsError
from ...geometry.extent import bounding_box
from ...geometry.margin import Margin
from ...geometry.planimetry import base_is_last, stations_at
from ...geometry.structures import CTV, Structure, key
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
from .roi_things import add_things
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
    further: Sequence[Enlarged] = (),
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
        Structures with their margins, each a ROI of its own.
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
    rois = _rois(contoured, further, names or RoiNames())
    slices = planning_slices(contoured, every_mm)
    dataset = _structure_set(contoured, rois, (slices, tolerance_mm), series=series)
    add_things(dataset, contoured, _images(contoured.volume, series=series)[1], names or RoiNames())
    with replacing(path) as temporary:
        dataset.save_as(temporary, enforce_file_format=True)


def planning_slices(contoured: ContouredVolume, every_mm: float | None) -> list[int]:
    """Return the slices k that have contours.

    Without ``every_mm`` these are all slices. Otherwise they are the slices nearest to multiples of ``every_mm``
    from the base of the CTV, or from its first slice if the orientation is assumed. Raise SettingsError if
    ``every_mm`` is below the slice distance or above 100 mm.
    """
    volume = contoured.volume
    from_last = bool(base_is_last(volume))
    return stations_at(contoured.ctv.mask(), volume.affine, every_mm, from_last=from_last)


@dataclass(frozen=True, eq=False)
class Enlarged:
    """A structure with a margin: its name, the margin, and the enlarged mask, bool (I, J, K)."""

    structure: str
    margin: Margin
    mask: Array


@dataclass(frozen=True, eq=False)
class Roi:
    """An ROI: its name and type, its mask, what it means, and the structure from which it is made."""

    name: str
    rt_type: str
    mask: Array
    meaning: Structure
    structure: str
    margin: Margin | None = None


def _rois(contoured: ContouredVolume, further: Sequence[Enlarged], names: RoiNames) -> list[Roi]:
    """Return the ROIs: CTV, PTV, structures, structures with margins. SettingsError if two have one name."""
    found = []
    for name, mask in contoured.masks.items():
        meaning = contoured.ctv.meaning(name)
        found.append(Roi(names.name(name), names.type(name) or meaning.rt_type, mask, meaning, name))
    for one in further:
        target = key(one.structure) == key(CTV)
        named = PTV if target else one.structure
        meaning = contoured.ctv.meaning(named)
        rt_type = names.type(named) or meaning.rt_type
        roi = Roi(names.enlarged(one.structure, one.margin), rt_type, one.mask, meaning, one.structure, one.margin)
        found.insert(1 if target else len(found), roi)
    seen: dict[str, Roi] = {}
    for roi in found:
        if (other := seen.setdefault(key(roi.name), roi)) is not roi:
            raise SettingsError(
                f"Two ROIs would be called {roi.name} ({_told(other)} and {_told(roi)}); give each a name of "
                "its own, or leave out a margin or a structure."
            )
    return found


def _told(roi: Roi) -> str:
    return roi.structure if roi.margin is None else f"{roi.structure} with its margin"


def _structure_set(
    contoured: ContouredVolume, rois: list[Roi], how: tuple[list[int], float | None], *, series: Series
) -> FileDataset:
    """Return the data set; ``how`` holds the slices with contours, and the tolerance in mm."""
    volume = contoured.volume
    header, place = volume.source.header, frame_of_reference(volume)
    role = f"structure set, {series}, slices {how[0]}, tolerance {how[1]}, "
    role += str([(roi.name, roi.rt_type, None if roi.margin is None else digest_of(roi.mask)) for roi in rois])
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
    numbered = list(enumerate(rois, 1))
    dataset.StructureSetROISequence = [_roi(contoured, number, roi) for number, roi in numbered]
    dataset.ROIContourSequence = [
        _roi_contours(volume, (number, roi), how=how, references=references) for number, roi in numbered
    ]
    dataset.RTROIObservationsSequence = [_observation(number, roi) for number, roi in numbered]
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


def _roi(contoured: ContouredVolume, number: int, roi: Roi) -> Dataset:
    voxel_ml = abs(np.linalg.det(contoured.volume.affine[:3, :3])) / 1000.0
    found = item(
        ROINumber=number,
        ReferencedFrameOfReferenceUID=frame_of_reference(contoured.volume),
        ROIName=roi.name,
        ROIGenerationAlgorithm=contoured.kind_of(roi.structure),
    )
    if remark := contoured.remark_on(roi.structure):
        found.ROIDescription = remark
    if roi.mask.shape[2] > 1:  # a single slice has no volume
        found.ROIVolume = decimal(np.count_nonzero(roi.mask) * voxel_ml)
    return found


def _roi_contours(
    volume: Volume,
    numbered: tuple[int, Roi],
    *,
    how: tuple[list[int], float | None],
    references: list[Dataset],
) -> Dataset:
    mask, (slices, tolerance_mm) = numbered[1].mask, how
    contours: list[Dataset] = []
    lps = swap_ras_lps(volume.affine)
    box = bounding_box(mask)
    corner = np.array([box[0].start, box[1].start])
    by_slice = np.ascontiguousarray(mask[box].transpose(2, 0, 1))  # (K', I', J')
    for k in sorted(set(slices) & set(range(box[2].start, box[2].stop))):
        lines = closed_contours(by_slice[k - box[2].start])
        if tolerance_mm is not None:
            scale = np.array(volume.spacing_mm[:2])
            lines = [line / scale for line in thinned([line * scale for line in lines], tolerance_mm)]
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
            f"The structure {numbered[1].name} lies on none of the planning slices, so it has no contour; give a "
            "smaller --contour-every."
        )
    return item(
        ReferencedROINumber=numbered[0],
        ROIDisplayColor=list(numbered[1].meaning.colour),
        ContourSequence=contours,
    )


def _observation(number: int, roi: Roi) -> Dataset:
    kind = roi.meaning.type
    return item(
        ObservationNumber=number,
        ReferencedROINumber=number,
        ROIObservationLabel=roi.name[:LABEL_LENGTH],
        RTROIInterpretedType=roi.rt_type,
        ROIInterpreter="",
        RTROIIdentificationCodeSequence=[code(kind.value, kind.scheme, kind.meaning)],
    )
