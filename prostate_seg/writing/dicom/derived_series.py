"""The slices of a real study as single-frame ultrasound images with positions, for viewers and planning systems.

Many of them put all contours of a plain multi-frame image on its first frame; on this series they find each
contour's slice by its place in the patient.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from pydicom import Dataset
from pydicom.dataset import FileDataset

from ...geometry.volume import Array, Volume
from ..delivery import RESEARCH_ONLY
from ..request import Request
from .source import (
    DERIVED_PLACE,
    content_moment,
    frame_of_reference,
    image_reference,
    patient_and_study,
    place_is_derived,
    source_header,
)
from .ultrasound import SOP_CLASSES, Study, add_position, check_writable_as, save, slice_name
from .values import item

SERIES_NUMBER = 400


def write_derived_series(folder: Path, volume: Volume) -> list[Path]:
    """Write the slices of a volume that was read from DICOM into a folder; returns the files in slice order.

    Patient and study are the source's; each image names its source frame; positions share the frame of
    reference of :mod:`.dicom_seg` and :mod:`.rtstruct`. Pixels are luma, black outside the field of view.
    The same volume gives the same bytes. Raises OutputError, SettingsError.
    """
    source_header(volume, "us-series")
    volume = _in_8_bits(volume)
    check_writable_as(volume, "series", "MONOCHROME2")
    study = _DerivedStudy(volume, "series", "MONOCHROME2")
    frames = volume.array.T  # (K, rows, columns)
    return [save(study.image(k + 1, frames[k : k + 1]), folder / slice_name(k)) for k in range(len(frames))]


def series_references(volume: Volume) -> tuple[str, list[Dataset]]:
    """The Series Instance UID of a volume's derived series, and the item that names its image of each slice."""
    study = _DerivedStudy(_in_8_bits(volume), "series", "MONOCHROME2")
    references = [
        item(ReferencedSOPClassUID=SOP_CLASSES["series"], ReferencedSOPInstanceUID=study.uid(f"image {k + 1}"))
        for k in range(volume.array.shape[2])
    ]
    return study.uid("series"), references


def _in_8_bits(volume: Volume) -> Volume:
    """The volume as ultrasound images store it: 16 bits are scaled so that the brightest voxel is 255."""
    if volume.array.dtype != np.uint16:
        return volume
    scale = 255.0 / max(int(volume.array.max()), 1)
    return replace(volume, array=np.rint(volume.array * scale).astype(np.uint8))


class _DerivedStudy(Study):
    """A further series of the source's study."""

    def origin(self, seed: int) -> str:
        """The source's first image and the grid."""
        place = (np.round(self.volume.affine, 4) + 0.0).tobytes().hex()
        return f"{self.volume.source.header.SOPInstanceUID} {place}"

    def frame_of_reference(self) -> str:
        """Shared with the segmentation and the structure set."""
        return frame_of_reference(self.volume)

    def about(self) -> Dataset:
        """Patient, study and dates of the source."""
        header = self.volume.source.header
        about = patient_and_study(header)
        date, time = content_moment(header)
        for name in ("Series", "Content", "Acquisition"):
            setattr(about, f"{name}Date", date)
            setattr(about, f"{name}Time", time)
        about.SeriesDescription = f"TRUS slices, derived, {RESEARCH_ONLY}"
        about.Manufacturer = header.get("Manufacturer", "")
        if "BurnedInAnnotation" in header:
            about.BurnedInAnnotation = header.BurnedInAnnotation
        return about

    def image(self, number: int, frames: Array) -> FileDataset:
        """One slice, number 1, 2, ..., with its place and the frame that it is derived from."""
        dataset = super().image(number, frames)
        dataset.SeriesNumber = SERIES_NUMBER
        dataset.ImageType = ["DERIVED", "PRIMARY", "ENDORECTAL", "0001"]
        place = f" {DERIVED_PLACE}" if place_is_derived(self.volume) else ""
        for keyword in ("LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod"):
            if keyword in self.volume.source.header:  # once lossy, always lossy (PS3.3 C.7.6.1.1.5)
                dataset[keyword] = self.volume.source.header[keyword]
        dataset.DerivationDescription = f"Luma in 8 bits, black outside the ultrasound field of view.{place}"
        dataset.SourceImageSequence = [image_reference(self.volume, number - 1)]
        add_position(dataset, self.volume, number - 1)
        return dataset


def write_image(path: Path, request: Request) -> None:
    """Write the volume's slices into a new folder."""
    write_derived_series(path, request.delivery.volume)
