"""A derived series: the slices of a real study as single-frame ultrasound images with positions.

Many viewers and planning systems put all contours of a plain multi-frame image on its first frame. With this
series they find the slice of each contour by its position in the patient.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from pydicom import Dataset
from pydicom.dataset import FileDataset

from ...geometry.volume import Array, Volume
from ..contoured_volume import RESEARCH_ONLY
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
LOSSY = ("LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod")


def write_derived_series(folder: Path, volume: Volume) -> list[Path]:
    """Write the slices of a volume that was read from DICOM into a folder; return the files in slice order.

    Patient and study are those of the source, and each image refers to its source frame. The positions have the
    same frame of reference as the objects of :mod:`.segmentation` and :mod:`.structure_set`. Pixels are luma,
    black outside the field of view. The same volume gives the same bytes. Raise OutputError if the volume does not
    come from DICOM or cannot be written. Raise SettingsError if its data type is not supported.
    """
    source_header(volume, "us-series")
    volume = in_8_bits(volume)
    check_writable_as(volume, "series", "MONOCHROME2")
    study = DerivedStudy(volume, "series", "MONOCHROME2")
    frames = volume.array.T  # (K, rows, columns)
    return [save(study.image(k + 1, frames[k : k + 1]), folder / slice_name(k)) for k in range(len(frames))]


def series_references(volume: Volume) -> tuple[str, list[Dataset]]:
    """Return the references to a volume's derived series.

    Returns
    -------
    series
        Series Instance UID.
    references
        One item for each slice, which refers to the image of that slice.
    """
    study = DerivedStudy(in_8_bits(volume), "series", "MONOCHROME2")
    references = [
        item(ReferencedSOPClassUID=SOP_CLASSES["series"], ReferencedSOPInstanceUID=study.uid(f"image {k + 1}"))
        for k in range(volume.array.shape[2])
    ]
    return study.uid("series"), references


def in_8_bits(volume: Volume) -> Volume:
    """Return the volume with 8 bits, as ultrasound images store it; in 16 bits the brightest voxel becomes 255."""
    if volume.array.dtype != np.uint16:
        return volume
    scale = 255.0 / max(int(volume.array.max()), 1)
    return replace(volume, array=np.rint(volume.array * scale).astype(np.uint8))


class DerivedStudy(Study):
    """A further series in the study of the source."""

    def origin(self, seed: int) -> str:
        """Return a text that identifies the source's first image and the grid."""
        place = (np.round(self.volume.affine, 4) + 0.0).tobytes().hex()
        return f"{self.volume.source.header.SOPInstanceUID} {place}"

    def frame_of_reference(self) -> str:
        """Return the Frame of Reference UID that the segmentation and the structure set also have."""
        return frame_of_reference(self.volume)

    def about(self) -> Dataset:
        """Return patient, study and dates of the source."""
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
        """Return the image of one slice, with its position and its source frame.

        The slices are numbered 1, 2, ...
        """
        dataset = super().image(number, frames)
        dataset.SeriesNumber = SERIES_NUMBER
        dataset.ImageType = ["DERIVED", "PRIMARY", "ENDORECTAL", "0001"]
        place = f" {DERIVED_PLACE}" if place_is_derived(self.volume) else ""
        for keyword in LOSSY:
            if keyword in self.volume.source.header:  # once lossy, always lossy (PS3.3 C.7.6.1.1.5)
                dataset[keyword] = self.volume.source.header[keyword]
        dataset.DerivationDescription = f"Luma in 8 bits, black outside the ultrasound field of view.{place}"
        dataset.SourceImageSequence = [image_reference(self.volume, number - 1)]
        add_position(dataset, self.volume, number - 1)
        return dataset


def write_image(path: Path, request: Request) -> None:
    """Write the volume's slices into a new folder."""
    write_derived_series(path, request.contoured.volume)
