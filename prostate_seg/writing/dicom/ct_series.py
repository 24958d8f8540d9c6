"""The slices declared as CT, for planning systems that refuse ultrasound.

The gray values are those of the ultrasound, not Hounsfield units. Everything that a system may show says so: series
description, derivation, rescale type (unspecified), image comments. Geometry and frame of reference are those of
:mod:`.derived_series`.
"""

from __future__ import annotations

from pathlib import Path

from pydicom import Dataset
from pydicom.dataset import FileDataset
from pydicom.uid import CTImageStorage

from ...geometry.volume import Array, Volume
from ..contoured_volume import RESEARCH_ONLY
from ..request import Request
from .derived_series import DerivedStudy, in_8_bits
from .source import source_header
from .ultrasound import check_writable_as, save
from .values import item

SERIES_NUMBER = 402
WARNING = "ULTRASOUND DECLARED AS CT: gray values, no Hounsfield units"


def write_ct_series(folder: Path, volume: Volume) -> list[Path]:
    """Write the slices of a volume that was read from DICOM into a folder; return the files in slice order.

    Raise OutputError and SettingsError as :func:`.derived_series.write_derived_series`.
    """
    source_header(volume, "ct-series")
    volume = in_8_bits(volume)
    check_writable_as(volume, "series", "MONOCHROME2")
    study = _CtStudy(volume, "series", "MONOCHROME2")
    frames = volume.array.T  # (K, rows, columns)
    return [save(study.image(k + 1, frames[k : k + 1]), folder / f"ct_{k + 1:04d}.dcm") for k in range(len(frames))]


def ct_references(volume: Volume) -> tuple[str, list[Dataset]]:
    """Return the Series Instance UID of the series, and one reference for each slice."""
    study = _CtStudy(in_8_bits(volume), "series", "MONOCHROME2")
    references = [
        item(ReferencedSOPClassUID=CTImageStorage, ReferencedSOPInstanceUID=study.uid(f"image {k + 1}"))
        for k in range(volume.array.shape[2])
    ]
    return study.uid("series"), references


class _CtStudy(DerivedStudy):
    """A further series in the study of the source, declared as CT."""

    def uid(self, role: str) -> str:
        """Return a UID that differs from that of the ultrasound series."""
        return super().uid(f"CT, {role}")

    def image(self, number: int, frames: Array) -> FileDataset:
        """Return the image of one slice (PS3.3 A.3), in 16 bits."""
        dataset = super().image(number, frames.astype("<u2"))
        dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = CTImageStorage
        dataset.Modality, dataset.SeriesNumber = "CT", SERIES_NUMBER
        dataset.SeriesDescription = f"ULTRASOUND AS CT, {RESEARCH_ONLY}"
        dataset.ImageType = ["DERIVED", "SECONDARY", "AXIAL"]
        dataset.DerivationDescription = f"{WARNING}. {dataset.DerivationDescription}"[:1024]
        dataset.ImageComments = f"{WARNING}. {RESEARCH_ONLY}."
        dataset.RescaleIntercept, dataset.RescaleSlope, dataset.RescaleType = "0", "1", "US"
        dataset.KVP, dataset.AcquisitionNumber = None, None
        dataset.PatientPosition = ""  # unknown: the positions are those of the ultrasound
        dataset.BitsStored, dataset.HighBit = 12, 11
        if "SequenceOfUltrasoundRegions" in dataset:
            del dataset.SequenceOfUltrasoundRegions
        return dataset


def write_image(path: Path, request: Request) -> None:
    """Write the volume's slices into a new folder."""
    write_ct_series(path, request.contoured.volume)
