"""Paths to volumes: finds the cases in files, folders and zips, and reads them.

What a file is decides its content, then its suffix. One case is one DICOM series of single-frame images, one
multi-frame DICOM file, or one NIfTI, NRRD or MetaImage file.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from zipfile import BadZipFile, ZipFile

from pydicom import Dataset

from .acquisition import Acquisition, FrameOrder, ProbeSide
from .dicom_frames import frame_count
from .dicom_pixels import damage_refused
from .dicom_us import is_ultrasound, modality_name, read_header, read_us
from .errors import InputError
from .image_files import header_fields, is_label_map, read_itk, read_nifti
from .input_files import READ_ERRORS, InputFile, ZipMember, file_kind, stem
from .volume import Volume

EARLIER_IMAGE, EARLIER_MANIFEST = "trus.nrrd", "manifest.json"  # of a folder of results
LONGEST_NAME = 80  # bytes
_TAGS = ["SOPClassUID", "Modality", "SeriesInstanceUID", "NumberOfFrames", "Rows"]


@dataclass(frozen=True)
class Case:
    """One image to segment.

    name: of its file or series folder, unique among the cases found together and safe as a file name. kind:
    ``dicom``, ``nifti``, ``nrrd`` or ``metaimage``. files: on disk or inside a zip. missing: names of
    unreadable files that lie among those of a series and are named like them.
    """

    name: str
    kind: str
    files: tuple[InputFile, ...]
    missing: tuple[str, ...] = ()


@dataclass(frozen=True)
class Skipped:
    """Something found that is no case, and why."""

    name: str
    reason: str


@dataclass
class _Found:
    """What the inputs hold, before naming."""

    images: list[tuple[str, str, InputFile]] = field(default_factory=list)  # name, kind, file
    series: dict[tuple[str, str], list[tuple[InputFile, Dataset]]] = field(default_factory=dict)
    skipped: list[Skipped] = field(default_factory=list)
    unread: list[InputFile] = field(default_factory=list)


def find_cases(inputs: Sequence[str | Path]) -> tuple[list[Case], list[Skipped]]:
    """The cases in files, folders (searched recursively) and zips, and what was skipped.

    Files of one DICOM series that lie in one folder are one case, also where they are given one by one.
    Raises InputError where an input does not exist or nothing at all can be segmented.
    """
    found = _Found()
    looked_at: set[InputFile] = set()
    for given in map(Path, inputs):
        if not (given.is_file() or given.is_dir()):
            what = "neither a file nor a folder" if given.exists() else "no such file or folder"
            raise InputError(f"{given.name}: {what}.")
        given = Path(os.path.abspath(given))  # noqa: PLW2901 - '.' has no name; a link keeps its own
        for file in _files_in(given, found):
            if file not in looked_at:  # also given twice, or beside its folder
                looked_at.add(file)
                _look_at(file, found, direct=file == given)
    cases = _named(found)
    if not cases:
        names = ", ".join(Path(given).resolve().name for given in inputs) or "no input"
        reasons = "; ".join(f"{skip.name}: {skip.reason}" for skip in found.skipped[:5])
        raise InputError(
            f"{names}: nothing to segment{f' ({reasons})' if reasons else ''}; expected ultrasound DICOM, "
            "NIfTI, NRRD or MetaImage."
        )
    return cases, found.skipped


def read_case(
    case: Case,
    *,
    frame_spacing_mm: float | None = None,
    frame_order: FrameOrder | None = None,
    probe_side: ProbeSide | None = None,
) -> Volume:
    """Read a case; the options fill what its files leave open (:class:`.acquisition.Acquisition`).

    The array is black outside the field of view, so this is no reader for label maps. Raises InputError,
    GeometryError or SettingsError; the text names the case.
    """
    acquisition = Acquisition(frame_spacing_mm, frame_order, probe_side)
    try:
        if case.missing:
            raise InputError(
                f"{case.missing[0]} among its {len(case.files)} files cannot be read, expected every slice of the "
                "series; replace it or move it elsewhere."
            )
        if case.kind == "dicom":
            return read_us(case.files, acquisition)
        if case.kind == "nifti":
            return read_nifti(case.files[0], acquisition)
        return read_itk(case.files[0], case.kind, acquisition)
    except InputError as error:
        raise type(error)(f"{case.name}: {error}") from error
    except READ_ERRORS as error:
        raise InputError(f"{case.name}: the file cannot be read ({type(error).__name__}).") from error


def read(
    path: str | Path,
    *,
    frame_spacing_mm: float | None = None,
    frame_order: FrameOrder | None = None,
    probe_side: ProbeSide | None = None,
) -> Volume:
    """Read the one case in a file, folder or zip; see :func:`read_case`. Several raise InputError."""
    cases, _ = find_cases([path])
    if len(cases) > 1:
        names = ", ".join(case.name for case in cases[:10])
        raise InputError(f"{Path(path).name}: {len(cases)} cases ({names}), expected one; give the path of one.")
    return read_case(cases[0], frame_spacing_mm=frame_spacing_mm, frame_order=frame_order, probe_side=probe_side)


def _files_in(given: Path, found: _Found) -> Iterator[InputFile]:
    """The files of an input in the order of their names; a zip's are its members."""
    paths = sorted(path for path in given.rglob("*") if path.is_file()) if given.is_dir() else [given]
    for path in paths:
        if path.name.startswith(".") and path != given:
            continue
        if path.name == EARLIER_IMAGE and path != given and path.with_name(EARLIER_MANIFEST).exists():
            found.skipped.append(Skipped(f"{path.parent.name}/{path.name}", "of an earlier result"))
            continue
        try:
            if file_kind(path) != "zip":
                yield path
                continue
            with ZipFile(path) as archive:
                names = sorted(name for name in archive.namelist() if not name.endswith("/"))
        except (OSError, BadZipFile) as error:
            found.skipped.append(Skipped(path.name, f"cannot be read ({type(error).__name__})"))
            continue
        yield from (ZipMember(path, name) for name in names if not name.startswith("__MACOSX/"))


def _look_at(file: InputFile, found: _Found, *, direct: bool) -> None:
    """Sort one file into the findings; direct: the user named this very file."""
    try:
        kind = file_kind(file)
        if kind == "dicom":
            _look_at_dicom(file, found, direct=direct)
        elif kind in ("nrrd", "metaimage") and any(name.startswith("segment0_") for name in header_fields(file)):
            found.skipped.append(Skipped(file.name, "a segmentation, expected an ultrasound image"))
        elif kind == "nifti" and is_label_map(file):
            found.skipped.append(
                Skipped(file.name, "a label map (NIfTI intent 1002), expected an ultrasound image")
            )
        elif kind in ("nifti", "nrrd", "metaimage"):
            found.images.append((stem(file.name), kind, file))
        else:
            found.unread.append(file)
            if direct:
                found.skipped.append(Skipped(file.name, "neither DICOM, NIfTI, NRRD nor MetaImage by its content"))
    except READ_ERRORS as error:
        found.unread.append(file)
        found.skipped.append(Skipped(file.name, f"cannot be read ({type(error).__name__})"))
    except InputError as error:
        found.unread.append(file)
        found.skipped.append(Skipped(file.name, str(error).removeprefix(f"{file.name}: ").rstrip(".")))


def _look_at_dicom(file: InputFile, found: _Found, *, direct: bool) -> None:
    header = read_header(file, _TAGS)
    with damage_refused(f"{file.name}: its attributes cannot be understood"):
        ultrasound, frames = is_ultrasound(header), frame_count(header)
        series = str(header.get("SeriesInstanceUID", ""))
    if not ultrasound:
        name = file.name if direct else _folder_name(file)
        skip = Skipped(name, f"not ultrasound ((0008,0060) Modality {modality_name(header)})")
        if skip not in found.skipped:
            found.skipped.append(skip)
    elif frames > 1:
        found.images.append((stem(file.name), "dicom", file))
    else:
        found.series.setdefault((str(_folder(file)), series), []).append((file, header))


def _named(found: _Found) -> list[Case]:
    """Cases with unique names: of the file, or of the folder of a series with several files."""
    cases: list[Case] = []
    taken: set[str] = set()
    for (_, _), members in found.series.items():
        files = tuple(file for file, _ in members)
        name = stem(files[0].name) if len(files) == 1 else _folder_name(files[0])
        cases.append(Case(_free(name, taken), "dicom", files, _missing(files, found.unread)))
    for name, kind, file in found.images:
        cases.append(Case(_free(name, taken), kind, (file,)))
    return cases


def _missing(files: Sequence[InputFile], unread: Sequence[InputFile]) -> tuple[str, ...]:
    """Names of unread files beside a series of several files, from which they differ in digits (0 to f) only."""
    names = {(_folder(file), re.sub("[0-9a-f]+", "0", file.name.lower())) for file in files if len(files) > 1}
    return tuple(
        file.name for file in unread if (_folder(file), re.sub("[0-9a-f]+", "0", file.name.lower())) in names
    )


def _free(name: str, taken: set[str]) -> str:
    """A name that is safe in a file system and not taken; equal ones get -2, -3, ..."""
    safe = re.sub(r"[^\w.-]+", "_", name).strip("._-").encode()[:LONGEST_NAME].decode(errors="ignore") or "case"
    number, free = 1, safe
    while free.lower() in taken:
        number += 1
        free = f"{safe}-{number}"
    taken.add(free.lower())
    return free


def _folder(file: InputFile) -> Path:
    """The folder that a file lies in; a zip counts as a folder."""
    if isinstance(file, Path):
        return file.parent
    return (file.archive / file.at).parent


def _folder_name(file: InputFile) -> str:
    folder = _folder(file)
    return stem(folder.name) if folder.suffix.lower() == ".zip" else folder.name
