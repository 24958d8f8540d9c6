"""Finding cases in files, folders and zips, and reading them as volumes.

A file's type is determined by its content first, then by its suffix. One case is one DICOM series of single-frame
images, one multi-frame DICOM file, or one NIfTI, NRRD or MetaImage file. Files are opened in a child process
(:mod:`prostate_seg.system.guard`).
"""

from __future__ import annotations

import os
import re
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..geometry.volume import Array, Volume
from ..system.guard import guarded
from ..system.input_files import READ_ERRORS, SUFFIXES, InputFile, bytes_on_disk, file_kind, stem, suffix
from .acquisition import Acquisition, FrameOrder, ProbeSide
from .case_names import LONGEST_NAME, free_name
from .dicom.ultrasound import read_us
from .field_of_view import over_frames
from .images import read_itk, read_nifti
from .inspection import Finding, inspect_each, members_of
from .objects import as_file

EARLIER_IMAGE, EARLIER_MANIFEST = "trus.nrrd", "manifest.json"  # in a folder of results
AT_A_TIME = 32  # files inspected by one call of the child process


@dataclass(frozen=True)
class Case:
    """One image to segment.

    Attributes
    ----------
    name
        Name of the file or of the folder of the series. Unique among the cases found together; a valid file name.
    kind
        ``dicom``, ``nifti``, ``nrrd`` or ``metaimage``.
    files
        Files on disk or inside a zip.
    missing
        Names of unreadable files in the folder of a series, with names like those of the series.
    """

    name: str
    kind: str
    files: tuple[InputFile, ...]
    missing: tuple[str, ...] = ()


@dataclass(frozen=True)
class Skipped:
    """A file or folder that is not a case, with the reason."""

    name: str
    reason: str


@dataclass
class _Found:
    """Content of the inputs, before the cases get names. ``unread`` holds the files that cannot be read."""

    images: list[tuple[str, str, InputFile]] = field(default_factory=list)  # name, kind, file
    series: dict[tuple[str, str], list[InputFile]] = field(default_factory=dict)
    unread: list[InputFile] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    told: set[Skipped] = field(default_factory=set)  # of the skipped, those found by inspection


def find_cases(
    inputs: Sequence[str | Path], *, without: Container[InputFile] = ()
) -> tuple[list[Case], list[Skipped]]:
    """Return the cases in files, folders (searched recursively) and zips, and what in them is no case.

    The files ``without`` (absolute paths) are not looked at.

    Files of one DICOM series in one folder are one case, even if each file is an input of its own. Links to folders
    are not followed. Hidden files and folders are ignored.

    Raises InputError if an input does not exist, or if no case is found.
    """
    found = _Found()
    looked_at: set[InputFile] = set()
    given = [_existing(Path(path)) for path in inputs]
    for place in given:
        files = [
            file for file in _files_in(place, found) if file not in looked_at and file not in without
        ]  # a file may be given twice, or by its folder
        looked_at.update(files)
        for start in range(0, len(files), AT_A_TIME):
            some = files[start : start + AT_A_TIME]
            for file, finding in zip(some, _inspected(some), strict=True):
                _sort(file, finding, found, direct=file == place)
    cases = _named(found)
    if not cases:
        names = ", ".join(place.name for place in given) or "no input"
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
    """Read a case. The options supply values that the files do not give (:class:`.acquisition.Acquisition`).

    The array is black outside the field of view. Do not use this function for label maps.

    Raises
    ------
    InputError
        The case cannot be read; the text names the case.
    GeometryError
        The geometry of the case is not valid; the text names the case.
    SettingsError
        An option or a limit for reading is not valid.
    """
    acquisition = Acquisition(frame_spacing_mm, frame_order, probe_side)
    try:
        if case.missing:
            raise InputError(
                f"{case.missing[0]} among its {len(case.files)} files cannot be read, expected every slice of the "
                "series; replace it or move it elsewhere."
            )
        volume, mask = guarded(_read, case, acquisition, bytes_on_disk=bytes_on_disk(case.files))
        return replace(volume, field_of_view=over_frames(mask, volume.array.shape[2]))
    except InputError as error:
        raise type(error)(f"{case.name}: {error}") from error


def _read(case: Case, acquisition: Acquisition) -> tuple[Volume, Array]:
    """Read a volume without its field of view, and the field of view (I, J), which are smaller to send."""
    try:
        if case.kind == "dicom":
            volume = read_us(case.files, acquisition)
        elif case.kind == "nifti":
            volume = read_nifti(case.files[0], acquisition)
        else:
            volume = read_itk(case.files[0], case.kind, acquisition)
    except READ_ERRORS as error:
        raise InputError(f"the file cannot be read ({type(error).__name__}).") from error
    assert volume.field_of_view is not None
    return replace(volume, field_of_view=None), volume.field_of_view[..., 0]


def read(
    source: Any,
    *,
    frame_spacing_mm: float | None = None,
    frame_order: FrameOrder | None = None,
    probe_side: ProbeSide | None = None,
) -> Volume:
    """Read the only case in a file, folder or zip, or an image of nibabel or SimpleITK; see :func:`read_case`.

    Raises InputError if there are several cases, or if the source is something else.
    """
    with as_file(source) as path:
        cases, _ = find_cases([path])
        if len(cases) > 1:
            names = ", ".join(case.name for case in cases[:10])
            raise InputError(f"{path.name}: {len(cases)} cases ({names}), expected one; give the path of one.")
        given = {"frame_spacing_mm": frame_spacing_mm, "frame_order": frame_order, "probe_side": probe_side}
        return read_case(cases[0], **given)  # type: ignore[arg-type]


def _existing(given: Path) -> Path:
    """Return the path as an absolute path, so that '.' gets a name; a link keeps its name. Raises InputError."""
    shown = given.name[:LONGEST_NAME] or str(given)
    try:
        if given.is_file() or given.is_dir():
            return Path(os.path.abspath(given))
        what = "neither a file nor a folder" if given.exists() else "no such file or folder"
    except (OSError, ValueError) as error:  # the path is too long or contains a NUL
        what = f"no such file or folder ({getattr(error, 'strerror', None) or error})"
    raise InputError(f"{shown}: {what}.")


def _files_in(given: Path, found: _Found) -> Iterator[InputFile]:
    """Yield the files of an input, sorted by path; for a zip, the files inside."""
    for path in sorted(_walked(given, found)) if given.is_dir() else [given]:
        if path.name == EARLIER_IMAGE and path != given and path.with_name(EARLIER_MANIFEST).exists():
            found.skipped.append(Skipped(f"{path.parent.name}/{path.name}", "of an earlier result"))
            continue
        try:
            zipped = file_kind(path) == "zip"
        except OSError:
            zipped = False  # the inspection of the file reports the reason
        if not zipped:
            yield path
            continue
        try:
            members, reason = guarded(members_of, path, bytes_on_disk=bytes_on_disk([path]))
        except InputError as error:
            members, reason = [], str(error).rstrip(".")
        if reason:
            found.skipped.append(Skipped(path.name, reason))
        yield from members


def _walked(folder: Path, found: _Found) -> Iterator[Path]:
    """Yield the files in a folder and its subfolders; add skipped files and folders to ``found``."""

    def unreadable(error: OSError) -> None:
        name = Path(error.filename).name if error.filename else folder.name
        found.skipped.append(Skipped(name, f"a folder that cannot be read ({error.strerror})"))

    for place, folders, names in os.walk(folder, onerror=unreadable):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in folders:
            if (Path(place) / name).is_symlink():
                found.skipped.append(Skipped(name, "a link to a folder, not followed; give the folder itself"))
        for name in names:
            path = Path(place) / name
            if name.startswith("."):
                continue
            if path.is_file():
                yield path
            else:
                what = "a link to nothing" if path.is_symlink() else "a named pipe or a device"
                found.skipped.append(Skipped(name, f"{what}, expected a file"))


def _inspected(files: Sequence[InputFile]) -> list[Finding]:
    """Inspect files. If a file crashes the child process, only the result for this file is affected."""
    try:
        return guarded(inspect_each, files, bytes_on_disk=bytes_on_disk(files))
    except InputError as error:
        if len(files) == 1:
            return [Finding("damaged", SUFFIXES.get(suffix(files[0].name), ""), reason=str(error).rstrip("."))]
    return [finding for file in files for finding in _inspected([file])]


def _sort(file: InputFile, finding: Finding, found: _Found, *, direct: bool) -> None:
    """Add one file to ``found``. If ``direct``, the file itself is an input."""
    if finding.verdict == "image":
        found.images.append((stem(file.name), finding.kind, file))
    elif finding.verdict == "slice":
        found.series.setdefault((str(_folder(file)), finding.series), []).append(file)
    elif finding.verdict != "unknown" or direct:
        name = _folder_name(file) if finding.of_folder and not direct else file.name
        if (skip := Skipped(name, finding.reason)) not in found.told:
            found.told.add(skip)
            found.skipped.append(skip)
        if finding.verdict == "damaged":
            found.unread.append(file)


def _named(found: _Found) -> list[Case]:
    """Return the cases with unique names: that of the file, or of the folder of a series with several files."""
    cases: list[Case] = []
    taken: dict[str, int] = {}
    for files in found.series.values():
        name = stem(files[0].name) if len(files) == 1 else _folder_name(files[0])
        cases.append(Case(free_name(name, taken), "dicom", tuple(files), _missing(files, found.unread)))
    for name, kind, file in found.images:
        cases.append(Case(free_name(name, taken), kind, (file,)))
    return cases


def _missing(files: Sequence[InputFile], unread: Sequence[InputFile]) -> tuple[str, ...]:
    """Return the names of unreadable files that probably belong to a series of several files.

    They are in the folder of the series, and their names differ only in hexadecimal digits from those of its files.
    """
    names = {(_folder(file), re.sub("[0-9a-f]+", "0", file.name.lower())) for file in files if len(files) > 1}
    return tuple(
        file.name for file in unread if (_folder(file), re.sub("[0-9a-f]+", "0", file.name.lower())) in names
    )


def _folder(file: InputFile) -> Path:
    """Return the folder of a file; a zip counts as a folder."""
    if isinstance(file, Path):
        return file.parent
    return (file.archive / file.at).parent


def _folder_name(file: InputFile) -> str:
    folder = _folder(file)
    return stem(folder.name) if folder.suffix.lower() == ".zip" else folder.name
