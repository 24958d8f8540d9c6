"""Parts of derived DICOM objects that come from their ultrasound images: patient, study, references and positions.

A US Multi-frame image or a series without positions has no patient coordinate system. Objects derived from it
still need a frame of reference. Its UID is therefore made from the source's UIDs and the geometry that was read.
Segmentation, structure set and derived series of the same geometry then share this UID, in every run.
"""

from __future__ import annotations

import re

import numpy as np
from pydicom import Dataset
from pydicom.uid import generate_uid

from ...errors import OutputError
from ...geometry.volume import Volume, lps_from_affine
from .values import decimal, decimals, item

# Patient, General Study and Patient Study (PS3.3 C.7.1.1, C.7.2.1, C.7.2.2): type 2, then optional attributes.
REQUIRED = (
    *("PatientName", "PatientID", "PatientBirthDate", "PatientSex"),
    *("StudyDate", "StudyTime", "StudyID", "AccessionNumber", "ReferringPhysicianName"),
)
OPTIONAL = ("PatientAge", "PatientSize", "PatientWeight", "StudyDescription", "PatientIdentityRemoved",
            "DeidentificationMethod", "DeidentificationMethodCodeSequence")  # fmt: skip
NEEDED = ("StudyInstanceUID", "SeriesInstanceUID", "SOPClassUID", "SOPInstanceUID")
SINGLE_FRAME_US, MULTI_FRAME_US, RETIRED_MULTI_FRAME_US, ENHANCED_VOLUME = (
    f"1.2.840.10008.5.1.4.1.1.{end}" for end in ("6.1", "3.1", "3", "6.2")
)
MULTI_FRAME = (RETIRED_MULTI_FRAME_US, MULTI_FRAME_US, ENHANCED_VOLUME)
FORMS = {"Date": r"\d{8}", "Time": r"\d{2}(\d{2}){0,2}(\.\d{1,6})?", "PatientSex": "[MFO]"}  # PS3.5 section 6.2
DERIVED_PLACE = (
    "The source says nothing about the patient's space: positions were derived from its calibration, its frame "
    "distance and the stated or assumed directions of its axes."
)


def source_header(volume: Volume, what: str) -> Dataset:
    """Return the header of the DICOM images from which a volume was read.

    Raise OutputError if the source is not DICOM, or if its UIDs are missing or not unique. The parameter ``what``
    names the derived object in the message.
    """
    header = volume.source.header
    if header is None or len(volume.source.frames) != volume.array.shape[2]:
        raise OutputError(
            f"{what} refers to DICOM images, but the source is {volume.source.kind}; give the ultrasound as DICOM, "
            "or leave this format out."
        )
    missing = [keyword for keyword in NEEDED if not header.get(keyword)]
    if missing or not all(frame.sop_instance_uid for frame in volume.source.frames):
        raise OutputError(
            f"{what} refers to DICOM images, but the source has no "
            f"{' and no '.join(missing or ['SOPInstanceUID'])}; export the study again from the scanner."
        )
    frames = volume.source.frames
    images = {frame.sop_instance_uid for frame in frames}
    if len(set(frames)) != len(frames) or 1 < len(images) < len(frames):
        raise OutputError(
            f"{what} refers to DICOM images by their (0008,0018) SOP Instance UIDs, but its {len(frames)} "
            f"slices have {len(images)}; expected one file for all slices, or one for each: export the study again."
        )
    return header


def patient_and_study(header: Dataset) -> Dataset:
    """Return patient and study of a derived object, copied from the source.

    Required attributes that the source lacks are empty.
    """
    about = Dataset()
    about.SpecificCharacterSet = "ISO_IR 192"  # UTF-8 can hold all names
    for keyword in REQUIRED:
        setattr(about, keyword, _text(header, keyword))
    for keyword in ("StudyInstanceUID", *OPTIONAL):
        if keyword in header:
            about.add(header[keyword])
    return about


def content_moment(header: Dataset) -> tuple[str, str]:
    """Return date and time of the images' content, or of the study if the content has none.

    They are empty if the study has none either.
    """
    date = _text(header, "ContentDate") or _text(header, "StudyDate")
    return date, _text(header, "ContentTime") or _text(header, "StudyTime")


def _text(header: Dataset, keyword: str) -> str:
    """Return the value of an attribute as text; empty if it is absent or has a wrong format."""
    value = str(header.get(keyword) or "").strip()
    form = FORMS.get("PatientSex" if keyword == "PatientSex" else keyword[-4:])
    return value if form is None or re.fullmatch(form, value) else ""


def is_multi_frame(volume: Volume) -> bool:
    """Return whether one DICOM image holds all frames.

    The SOP class decides only for a single frame. It is not reliable for several frames: some programs write a
    series of files with one frame each, all with a multi-frame class.
    """
    frames = volume.source.frames
    if len(frames) == 1:
        return volume.source.header.SOPClassUID in MULTI_FRAME
    return len({frame.sop_instance_uid for frame in frames}) == 1


def place_is_derived(volume: Volume) -> bool:
    """Return whether the source has no positions in the patient."""
    return volume.orientation != "file"


def frame_of_reference(volume: Volume) -> str:
    """Return the Frame of Reference UID.

    If the source has positions and such a UID, return this UID. Otherwise make a UID from the source's UIDs and
    the affine.
    """
    header = volume.source.header
    if not place_is_derived(volume) and header.get("FrameOfReferenceUID"):
        return str(header.FrameOfReferenceUID)
    whole = is_multi_frame(volume)
    images = str(header.SOPInstanceUID if whole else header.SeriesInstanceUID)
    place = np.round(volume.affine, 4) + 0.0
    return str(generate_uid(entropy_srcs=[images, place.tobytes().hex(), "frame of reference"]))


def image_reference(volume: Volume, k: int) -> Dataset:
    """Return the item that refers to the source image of slice k, with its frame number if it is multi-frame."""
    frame = volume.source.frames[k]
    reference = item(
        ReferencedSOPClassUID=volume.source.header.SOPClassUID, ReferencedSOPInstanceUID=frame.sop_instance_uid
    )
    if is_multi_frame(volume):
        reference.ReferencedFrameNumber = frame.frame_number
    return reference


def placed_images(volume: Volume) -> list[Dataset]:
    """Return the source images as highdicom needs them: real UIDs, the volume's geometry, no pixels.

    The result is one multi-frame image, or one image for each slice. These images are never written to a file.
    They are needed because highdicom refuses ultrasound without a frame of reference (highdicom#284).

    highdicom distinguishes single-frame and multi-frame by the SOP class and knows no retired classes. The images
    therefore have a class that highdicom accepts. :func:`refer_to_source` later restores the class of the source.
    """
    header = volume.source.header
    if not is_multi_frame(volume):
        images = []
        for k, frame in enumerate(volume.source.frames):
            image = _image(volume)
            image.SOPInstanceUID = frame.sop_instance_uid
            image.ImagePositionPatient = _position(volume, k)
            image.ImageOrientationPatient = _cosines(volume)
            image.update(_measures(volume))
            images.append(image)
        return images
    image = _image(volume)
    image.SOPInstanceUID = header.SOPInstanceUID
    image.NumberOfFrames = len(volume.source.frames)
    image.SharedFunctionalGroupsSequence = [
        item(
            PixelMeasuresSequence=[_measures(volume)],
            PlaneOrientationSequence=[item(ImageOrientationPatient=_cosines(volume))],
        )
    ]
    image.PerFrameFunctionalGroupsSequence = [
        item(PlanePositionSequence=[item(ImagePositionPatient=_position(volume, int(k)))])
        for k in frame_order(volume)
    ]
    return [image]


def refer_to_source(dataset: Dataset, volume: Volume) -> None:
    """Set the SOP class of the source in every reference to an image."""
    for element in dataset.iterall():
        if element.keyword == "ReferencedSOPClassUID":
            element.value = volume.source.header.SOPClassUID


def frame_order(volume: Volume) -> np.ndarray:
    """Return the slices k in the order of the frames or images in :func:`placed_images`."""
    if not is_multi_frame(volume):
        return np.arange(len(volume.source.frames))
    return np.argsort([frame.frame_number for frame in volume.source.frames], kind="stable")


def _image(volume: Volume) -> Dataset:
    header = volume.source.header
    image = patient_and_study(header)
    image.file_meta = header.file_meta
    image.SOPClassUID, image.Modality = header.SOPClassUID, "US"
    if not is_multi_frame(volume):
        image.SOPClassUID = SINGLE_FRAME_US
    elif header.SOPClassUID != ENHANCED_VOLUME:
        image.SOPClassUID = MULTI_FRAME_US
    image.SeriesInstanceUID = header.SeriesInstanceUID
    image.FrameOfReferenceUID, image.PositionReferenceIndicator = frame_of_reference(volume), ""
    image.Columns, image.Rows = (int(size) for size in volume.array.shape[:2])
    return image


def _measures(volume: Volume) -> Dataset:
    i_mm, j_mm, k_mm = volume.spacing_mm
    return item(
        PixelSpacing=decimals([j_mm, i_mm]), SliceThickness=decimal(k_mm), SpacingBetweenSlices=decimal(k_mm)
    )


def _cosines(volume: Volume) -> list:
    direction, _, _ = lps_from_affine(volume.affine)
    return decimals([*direction[:, 0], *direction[:, 1]])


def _position(volume: Volume, k: int) -> list:
    direction, spacing, origin = lps_from_affine(volume.affine)
    return decimals(origin + k * spacing[2] * direction[:, 2])
