"""Writers of ultrasound DICOM in each form that scanners produce (PS3.3 A.6, A.7, A.59).

They are meant for phantoms and give an obviously synthetic patient. All UIDs and dates depend only on the seed and
the volume: the same call writes the same bytes. :mod:`.derived_series` uses this module for the slices of a real
study.
"""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from pydicom import Dataset
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, RLELossless, generate_uid

from ...errors import OutputError, SettingsError
from ...geometry.volume import Array, Volume, lps_from_affine
from ...system.atomic import reason_of
from .enhanced_us import add_functional_groups
from .values import decimal, decimals, item

Kind = Literal["multiframe", "series", "series-without-positions", "enhanced-volume"]
Photometric = Literal["MONOCHROME2", "MONOCHROME1", "RGB", "YBR_FULL", "PALETTE COLOR"]

SOP_CLASSES: dict[str, str] = {
    "multiframe": "1.2.840.10008.5.1.4.1.1.3.1",
    "series": "1.2.840.10008.5.1.4.1.1.6.1",
    "series-without-positions": "1.2.840.10008.5.1.4.1.1.6.1",
    "enhanced-volume": "1.2.840.10008.5.1.4.1.1.6.2",
}
FIRST_DATE = datetime.date(2020, 1, 1)


@dataclass(frozen=True)
class ScannerConventions:
    """Differences between scanners, for tests of the readers.

    Attributes
    ----------
    pixel_spacing
        Whether Pixel Spacing (0028,0030) is written beside the region.
    second_region
        Whether there is a smaller calibrated region with another scale beside the main one.
    region
        Whether Sequence of Ultrasound Regions (0018,6011) is written.
    rle
        Whether pixels are RLE-compressed.
    frame_increment
        For a US Multi-frame: ``spacing`` (the slice distance is written), ``time`` (a cine loop) or ``none``.
    patient_positions
        For an Enhanced US Volume: whether positions in the patient are written. Positions in the volume's own
        frame of reference are always written.
    """

    pixel_spacing: bool = False
    second_region: bool = False
    region: bool = True
    rle: bool = False
    frame_increment: Literal["spacing", "time", "none"] = "spacing"
    patient_positions: bool = True


def write_us(
    volume: Volume,
    folder: str | Path,
    *,
    kind: Kind = "multiframe",
    photometric: Photometric = "MONOCHROME2",
    seed: int = 0,
    conventions: ScannerConventions = ScannerConventions(),
) -> list[Path]:
    """Write a volume as ultrasound DICOM into a folder; return the files in slice order.

    A missing folder is created. Only kinds with positions in the patient keep the affine. The others keep the
    spacing. Raise SettingsError if settings cannot be combined, and OutputError if a file cannot be written.

    Parameters
    ----------
    volume
        uint8, or uint16 with a MONOCHROME photometric interpretation. The field of view gives the calibrated
        region.
    folder
        Folder for the files.
    kind
        Kind of ultrasound DICOM.
    photometric
        Photometric interpretation.
    seed
        Seed of UIDs and dates.
    conventions
        Optional properties of a scanner.
    """
    check_writable_as(volume, kind, photometric)
    study = Study(volume, kind, photometric, seed=seed, conventions=conventions)
    frames = volume.array.T  # (K, rows, columns)
    if kind == "multiframe":
        datasets, names = [study.image(1, frames)], [f"{Path(folder).name}.dcm"]
        add_frame_increment(datasets[0], volume.spacing_mm[2], conventions.frame_increment)
    elif kind == "enhanced-volume":
        datasets, names = [study.image(1, frames)], [f"{Path(folder).name}.dcm"]
        add_functional_groups(datasets[0], volume, study.uid, in_patient=conventions.patient_positions)
    else:
        datasets = [study.image(k + 1, frames[k : k + 1]) for k in range(len(frames))]
        names = [slice_name(k) for k in range(len(frames))]
        if kind == "series":
            for k, dataset in enumerate(datasets):
                add_position(dataset, volume, k)
    return [save(dataset, Path(folder) / name) for dataset, name in zip(datasets, names, strict=True)]


def slice_name(k: int) -> str:
    """Return the file name of slice k of a series."""
    return f"us_{k + 1:04d}.dcm"


def check_writable_as(volume: Volume, kind: str, photometric: str) -> None:
    """Raise SettingsError if a volume cannot be written as this kind."""
    for what, value, allowed in (
        ("kind", kind, get_args(Kind)),
        ("photometric interpretation", photometric, get_args(Photometric)),
    ):
        if value not in allowed:
            raise SettingsError(f"The {what} of ultrasound DICOM is {value!r}, expected {' or '.join(allowed)}.")
    wide = volume.array.dtype == np.uint16 and photometric.startswith("MONOCHROME")
    if volume.array.dtype != np.uint8 and not wide:
        raise SettingsError(
            f"The voxels are {volume.array.dtype}, expected uint8 for {photometric} (uint16 for MONOCHROME); "
            "convert them first."
        )


class Study:
    """A study with one series: all that its images have in common."""

    def __init__(
        self,
        volume: Volume,
        kind: Kind,
        photometric: Photometric,
        *,
        seed: int = 0,
        conventions: ScannerConventions = ScannerConventions(),
    ) -> None:
        self.volume, self.kind, self.photometric, self.conventions = volume, kind, photometric, conventions
        self.day = (FIRST_DATE + datetime.timedelta(days=seed % 3650)).strftime("%Y%m%d")
        voxels = hashlib.sha256(np.ascontiguousarray(volume.array.T).data).hexdigest()
        self.entropy = [self.origin(seed), kind, photometric, voxels]

    def origin(self, seed: int) -> str:
        """Return the text from which UIDs are made, in addition to the voxels."""
        return f"seed {seed}"

    def frame_of_reference(self) -> str:
        """Return the Frame of Reference UID, for kinds with positions."""
        return self.uid("frame of reference")

    def uid(self, role: str) -> str:
        """Return a UID that depends only on origin, voxels, kind, photometric interpretation and role."""
        return str(generate_uid(entropy_srcs=[*self.entropy, role]))

    def image(self, number: int, frames: Array) -> FileDataset:
        """Return one SOP instance with frames (F, rows, columns); the instances are numbered 1, 2, ..."""
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID = SOP_CLASSES[self.kind]
        meta.MediaStorageSOPInstanceUID = self.uid(f"image {number}")
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
        dataset.SOPClassUID, dataset.SOPInstanceUID = SOP_CLASSES[self.kind], meta.MediaStorageSOPInstanceUID
        dataset.update(self.about())
        dataset.SeriesInstanceUID, dataset.Modality = self.uid("series"), "US"
        dataset.SeriesNumber, dataset.InstanceNumber = 1, number
        if self.kind in ("series", "enhanced-volume"):
            dataset.FrameOfReferenceUID, dataset.PositionReferenceIndicator = self.frame_of_reference(), ""
        dataset.BodyPartExamined, dataset.PatientOrientation = "PROSTATE", None
        dataset.LossyImageCompression, dataset.ImageType = "00", ["ORIGINAL", "PRIMARY", "ENDORECTAL", "0001"]
        self._add_calibration(dataset)
        add_pixels(dataset, frames, self.photometric)
        if self.conventions.rle:
            dataset.compress(RLELossless, generate_instance_uid=False)
        return dataset

    def about(self) -> Dataset:
        """Return patient, study and dates."""
        about = Dataset()
        about.SpecificCharacterSet = "ISO_IR 192"
        about.PatientName, about.PatientID = "PHANTOM^TRUS", f"PHANTOM-{self.uid('patient')[-8:]}"
        about.PatientBirthDate, about.PatientSex = "", "O"
        about.StudyInstanceUID, about.StudyID, about.AccessionNumber = self.uid("study"), "1", ""
        about.StudyDescription, about.SeriesDescription = "TRUS phantom", "TRUS sweep"
        about.ReferringPhysicianName, about.Manufacturer = "", "prostate-seg"
        about.BurnedInAnnotation = "NO"
        for name in ("Study", "Series", "Content", "Acquisition"):
            setattr(about, f"{name}Date", self.day)
            setattr(about, f"{name}Time", "120000")
        return about

    def _add_calibration(self, dataset: Dataset) -> None:
        i_mm, j_mm, _ = self.volume.spacing_mm
        if self.conventions.pixel_spacing or self.kind == "series":
            dataset.PixelSpacing = [decimal(j_mm), decimal(i_mm)]
        if self.kind == "enhanced-volume" or not self.conventions.region:
            return
        columns, rows = (int(size) for size in self.volume.array.shape[:2])
        box: tuple[int, ...] = (0, 0, columns - 1, rows - 1)
        if self.volume.field_of_view is not None:
            seen = np.argwhere(self.volume.field_of_view.any(axis=2))
            box = (*map(int, seen.min(axis=0)), *map(int, seen.max(axis=0)))
        regions = [_region(box, i_mm / 10.0, j_mm / 10.0)]
        if self.conventions.second_region:
            corner = (0, 0, max(columns // 8 - 1, 0), max(rows // 8 - 1, 0))
            regions.insert(0, _region(corner, i_mm / 5.0, j_mm / 5.0))
        dataset.SequenceOfUltrasoundRegions = regions


def add_position(dataset: Dataset, volume: Volume, k: int) -> None:
    """Add the Image Plane attributes of slice k in the patient."""
    direction, spacing, origin = lps_from_affine(volume.affine)
    dataset.ImagePositionPatient = decimals(origin + k * spacing[2] * direction[:, 2])
    dataset.ImageOrientationPatient = decimals([*direction[:, 0], *direction[:, 1]])
    dataset.SliceThickness = dataset.SpacingBetweenSlices = decimal(spacing[2])


def add_frame_increment(dataset: Dataset, step_mm: float, increment: str) -> None:
    """Add the frame increment: a stepper's sweep (``spacing``), a cine loop (``time``) or nothing (``none``)."""
    if increment == "time":
        dataset.FrameTime, dataset.FrameIncrementPointer = "40", 0x00181063
    elif increment == "spacing":
        dataset.SpacingBetweenSlices = decimal(step_mm)
        dataset.SliceLocationVector = decimals(step_mm * np.arange(dataset.NumberOfFrames))
        dataset.FrameIncrementPointer = 0x00182005


def add_pixels(dataset: Dataset, frames: Array, photometric: str) -> None:
    """Add the pixels of gray frames (F, rows, columns) in a photometric interpretation."""
    count, dataset.Rows, dataset.Columns = frames.shape
    if dataset.SOPClassUID != SOP_CLASSES["series"]:
        dataset.NumberOfFrames = count
    bits = frames.dtype.itemsize * 8
    dataset.BitsAllocated = dataset.BitsStored = bits
    dataset.HighBit, dataset.PixelRepresentation = bits - 1, 0
    dataset.SamplesPerPixel = 3 if photometric in ("RGB", "YBR_FULL") else 1
    dataset.PhotometricInterpretation = photometric
    stored = frames
    if photometric in ("MONOCHROME1", "PALETTE COLOR"):
        stored = np.iinfo(frames.dtype).max - frames
    if photometric == "PALETTE COLOR":  # entry n of the palette is the gray value 255 - n, scaled to 16 bits
        table = (np.arange(255, -1, -1, dtype="<u2") * 257).tobytes()
        for colour in ("Red", "Green", "Blue"):
            setattr(dataset, f"{colour}PaletteColorLookupTableDescriptor", [256, 0, 16])
            setattr(dataset, f"{colour}PaletteColorLookupTableData", table)
    elif photometric in ("RGB", "YBR_FULL"):
        dataset.PlanarConfiguration = 0
        stored = np.repeat(frames[..., None], 3, axis=-1)
        if photometric == "YBR_FULL":
            stored[..., 1:] = 128  # no colour: Cb and Cr have their middle value
    data = np.ascontiguousarray(stored, stored.dtype.newbyteorder("<")).tobytes()
    dataset.PixelData = data + b"\0" * (len(data) % 2)
    dataset["PixelData"].VR = "OW" if bits > 8 else "OB"


def _region(box: tuple[int, ...], delta_x_cm: float, delta_y_cm: float) -> Dataset:
    """Return a calibrated 2D tissue region (PS3.3 C.8.5.5).

    box: first column, first row, last column and last row, all inclusive.
    """
    region = item(RegionSpatialFormat=1, RegionDataType=1, RegionFlags=0)
    region.RegionLocationMinX0, region.RegionLocationMinY0 = box[0], box[1]
    region.RegionLocationMaxX1, region.RegionLocationMaxY1 = box[2], box[3]
    region.PhysicalUnitsXDirection = region.PhysicalUnitsYDirection = 3  # cm
    region.PhysicalDeltaX, region.PhysicalDeltaY = delta_x_cm, delta_y_cm
    return region


def save(dataset: Dataset, path: Path) -> Path:
    """Write a dataset under a temporary name and rename the file. Raise OutputError."""
    partial = path.with_name(f".{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        dataset.save_as(partial, enforce_file_format=True)
        os.replace(partial, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            partial.unlink()
        raise OutputError(
            f"{path} cannot be written ({reason_of(error)}); free space or choose another."
        ) from error
    return path
