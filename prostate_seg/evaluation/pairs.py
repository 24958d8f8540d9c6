"""Pairs of masks and reference masks, matched by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import InputError
from ..reading.masks import SUFFIXES
from ..reading.panoptic import MAP, is_panoptic
from ..reading.things import FILE
from ..system.input_files import distinct_names
from ..writing.formats import FORMATS

PANOPTIC = (f"{FORMATS['panoptic'].file}/{MAP}", MAP)  # in a case's folder, or in the folder that was written
IN_CASE_FOLDER = (*(FORMATS[name].file for name in ("nifti", "seg-nrrd", "dicom-seg", "rtstruct")), *PANOPTIC)
ROLES = ("prediction", "reference")


@dataclass(frozen=True)
class Pair:
    """A case with the predictions and references found for it; a valid case has exactly one of each.

    Attributes
    ----------
    case
        Name of the case.
    predictions, references
        Mask files, or folders of a case.
    observer
        Name of the observer who drew the reference; empty if there is only one reference.
    patient
        Name of the patient.
    roles
        What the two masks are called in messages.
    """

    case: str
    predictions: tuple[Path, ...]
    references: tuple[Path, ...]
    observer: str = ""
    patient: str = ""
    roles: tuple[str, str] = ROLES


def find_pairs(predictions: Path, references: Path, observer: str = "", *, case: str | None = None) -> list[Pair]:
    """Find the cases of two folders, sorted by name, or the one case of two files or of two folders of a case.

    A folder that holds a panoptic map or ``things.json`` is that of a case. Cases without a partner are included.

    Parameters
    ----------
    predictions, references
        Two folders, or two files.
    observer
        Name of the observer who drew the references.
    case
        Name of the only case. None: the name of the reference.

    Raises
    ------
    InputError
        A folder does not exist or cannot be listed, or no case has both a prediction and a reference.
    """
    if is_one_case(predictions, references):
        name = case or case_name(references)
        return [Pair(name, tuple(_masks_of(predictions)), tuple(_masks_of(references)), observer)]
    for folder in sorted((predictions, references), key=Path.exists):
        if not folder.is_dir():
            what = "is a file" if folder.is_file() else "does not exist"
            raise InputError(f"{folder} {what}; expected two folders of masks, or two mask files.")
    found, expected = _cases(predictions), _cases(references)
    if not found.keys() & expected.keys():
        raise InputError(
            f"No mask in {predictions} ({len(found)} cases) has the name of one in {references} "
            f"({len(expected)} cases); expected NAME.nii.gz or NAME/ctv.nii.gz in one "
            "and NAME.nii.gz in the other."
        )
    names = sorted({*found, *expected})
    return [Pair(name, tuple(found.get(name, [])), tuple(expected.get(name, [])), observer) for name in names]


def is_one_case(predictions: Path, references: Path) -> bool:
    """Return whether two paths are two files, or two folders of one case each."""
    return all(map(Path.is_file, (predictions, references))) or all(map(_is_case, (predictions, references)))


def _is_case(folder: Path) -> bool:
    return (folder / FILE).is_file() or any(is_panoptic(folder / name) for name in PANOPTIC)


def _masks_of(path: Path) -> list[Path]:
    """Return a mask file, or a case's folder with a mask; nothing for a folder without one."""
    return [path] if path.is_file() or any((path / name).is_file() for name in IN_CASE_FOLDER) else []


def has_masks(path: Path) -> bool:
    """Return whether a path is a mask file, or a case's folder with a mask."""
    return bool(_masks_of(path)) and not path.name.endswith(FILE)


def observer_names(references: Sequence[Path]) -> list[str]:
    """Return distinct short names of several references, or "" for only one. Raise InputError if two are equal."""
    return [""] if len(references) == 1 else distinct_names(references)


def case_name(path: Path) -> str:
    """Return the name of a case's folder, or of a mask file without its suffix."""
    if path.is_dir():
        return _printable(path.resolve().name)
    suffix = next((suffix for suffix in SUFFIXES if path.name.lower().endswith(suffix)), path.suffix)
    return _printable(path.name[: len(path.name) - len(suffix)])


def _printable(name: str) -> str:
    """Return a file name as valid text; bytes that are not UTF-8 are escaped."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")


def _cases(folder: Path) -> dict[str, list[Path]]:
    """Return the masks in a folder by case name. Raise InputError if the folder cannot be listed."""
    cases: dict[str, list[Path]] = {}
    try:
        paths = sorted(folder.iterdir())
    except OSError as error:
        raise InputError(
            f"{folder} cannot be listed ({error.strerror}); give a folder that can be read."
        ) from error
    for path in paths:
        if path.name.startswith("."):
            continue
        if path.is_dir():
            masks, name = _masks_of(path), _printable(path.name)
        else:
            masks, name = ([path] if path.name.lower().endswith(SUFFIXES) else []), case_name(path)
        if masks:
            cases.setdefault(name, []).extend(masks)
    return cases
