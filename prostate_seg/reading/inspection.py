"""Inspection of files: a complete image, a slice of a DICOM series, or nothing that can be segmented."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..errors import InputError
from ..system.input_files import InputFile, ZipMember, archive_at, file_kind
from .dicom.frames import frame_count
from .dicom.pixels import damage_refused
from .dicom.ultrasound import is_ultrasound, modality_name, read_header
from .images import header_fields, is_label_map

_TAGS = ["SOPClassUID", "Modality", "SeriesInstanceUID", "NumberOfFrames", "Rows"]
Verdict = Literal["image", "slice", "damaged", "other", "unknown"]


@dataclass(frozen=True)
class Finding:
    """Result of the inspection of a file.

    Attributes
    ----------
    verdict
        ``image``: a case of its own. ``slice``: a slice of a DICOM series. ``damaged``: cannot be read. ``other``:
        a known type, but not an image to segment. ``unknown``: an unknown type.
    kind
        Type of the file, empty if unknown.
    series
        Series Instance UID of a slice.
    reason
        Why the file cannot be segmented.
    of_folder
        Whether the reason applies to all files of the series, and is reported once for their folder.
    """

    verdict: Verdict
    kind: str = ""
    series: str = ""
    reason: str = ""
    of_folder: bool = False


def inspect_each(files: Sequence[InputFile]) -> list[Finding]:
    """Inspect several files."""
    return [inspect(file) for file in files]


def inspect(file: InputFile) -> Finding:
    """Read the first bytes and the header of a file. The finding reports all errors; none is raised."""
    kind = None
    try:
        kind = file_kind(file)
        return _inspected(file, kind)
    except InputError as error:
        reason = str(error).removeprefix(f"{file.name}: ").rstrip(".")
        return Finding("damaged", kind or "", reason=reason)
    except OSError as error:
        return Finding("damaged", kind or "", reason=f"cannot be read ({error.strerror or type(error).__name__})")
    except Exception as error:  # any error of a library, for damaged bytes
        return Finding("damaged", kind or "", reason=f"cannot be read ({type(error).__name__})")


def _inspected(file: InputFile, kind: str | None) -> Finding:
    if kind is None:
        return Finding("unknown", reason="neither DICOM, NIfTI, NRRD nor MetaImage by its content")
    if kind == "dicom":
        return _inspected_dicom(file)
    if kind == "zip":
        return Finding("other", kind, reason="a zip inside a zip; unpack it first")
    if kind == "nifti":
        if is_label_map(file):
            return Finding("other", kind, reason="a label map (NIfTI intent 1002), expected an ultrasound image")
    elif any(name.startswith("segment0_") for name in header_fields(file)):
        return Finding("other", kind, reason="a segmentation, expected an ultrasound image")
    return Finding("image", kind)


def _inspected_dicom(file: InputFile) -> Finding:
    header = read_header(file, _TAGS)
    with damage_refused(f"{file.name}: its attributes cannot be understood"):
        ultrasound, frames = is_ultrasound(header), frame_count(header)
        series = str(header.get("SeriesInstanceUID", ""))
    if not ultrasound:
        reason = f"not ultrasound ((0008,0060) Modality {modality_name(header)})"
        return Finding("other", "dicom", reason=reason, of_folder=True)
    return Finding("image", "dicom") if frames > 1 else Finding("slice", "dicom", series)


def members_of(path: Path) -> tuple[list[ZipMember], str]:
    """Return the files inside a zip, sorted by name, and a reason.

    The reason is empty, or says why the zip cannot be read.
    """
    try:
        names = sorted(archive_at(path).namelist())
    except OSError as error:
        return [], f"cannot be read ({error.strerror or type(error).__name__})"
    except Exception as error:  # a damaged zip, an unknown version, or an unknown encoding of names
        return [], f"no zip that can be read ({type(error).__name__}); pack it again"
    folders = ("/", "\\")
    return [ZipMember(path, name) for name in names if not (name.endswith(folders) or "__MACOSX/" in name)], ""
