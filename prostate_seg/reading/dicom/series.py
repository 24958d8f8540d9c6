"""Series of DICOM files, and the distance of frames in files that give it as a thickness."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ...errors import GeometryError, InputError
from ...system.input_files import InputFile
from .calibration import calibration
from .frames import THICKNESS, frame_count
from .numbers import length
from .pixels import damage_refused
from .ultrasound import is_ultrasound, modality_name, read_header

_TAGS = ["SOPClassUID", "Modality", "SeriesInstanceUID", "NumberOfFrames", "Rows"]


@dataclass(frozen=True, repr=False)
class InSeries:
    """Series of a DICOM file.

    Attributes
    ----------
    series
        Series Instance UID; empty if the file has none or cannot be read.
    modality
        Modality, or the name of the SOP class.
    ultrasound
        Whether it holds ultrasound images.
    frames
        Number of its frames.
    reason
        Why the file cannot be read; empty if it can.
    """

    series: str = ""
    modality: str = ""
    ultrasound: bool = False
    frames: int = 0
    reason: str = ""


def series_of(files: Sequence[InputFile]) -> list[InSeries]:
    """Return the series of each file. No error is raised for a damaged file."""
    return [_series_of(file) for file in files]


def _series_of(file: InputFile) -> InSeries:
    try:
        header = read_header(file, _TAGS)
        with damage_refused("its attributes cannot be understood"):
            series = str(header.get("SeriesInstanceUID", ""))
            return InSeries(series, modality_name(header), is_ultrasound(header), frame_count(header))
    except InputError as error:
        return InSeries(reason=str(error).removeprefix(f"{file.name}: ").rstrip("."))
    except OSError as error:
        return InSeries(reason=f"it cannot be read ({error.strerror or type(error).__name__})")


def frame_distance_mm(file: InputFile) -> float:
    """Return the distance of the frames of a file that gives it as Slice Thickness, or for all axes privately.

    Other files give Spacing Between Slices; a thickness is the distance only if their maker says so.

    Raises
    ------
    GeometryError
        The file has neither.
    """
    header = read_header(file)
    with damage_refused("its attributes cannot be understood"):
        planar = calibration(header)
        distance = planar.isotropic_mm or length(header, "SliceThickness")
    if distance is None:
        raise GeometryError(f"{THICKNESS} is missing, which gives the distance of the frames here.")
    return distance
