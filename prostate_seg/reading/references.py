"""Files of contours and masks in a folder, and what they refer to. Files are opened in a child process."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..system.guard import guarded
from ..system.input_files import bytes_on_disk, file_kind, opened, stem
from .cases import Case
from .images import header_fields, is_label_map

MASK_WORDS = ("label", "labels", "mask", "masks", "seg", "segmentation", "ctv", "gt")
IMAGE_WORDS = ("image", "us", "trus")
MASK_FOLDERS = {*MASK_WORDS, "labelstr", "labelsts", "segmentations"}
_ENDING = re.compile(rf"[\s_.-]+(?:{'|'.join([*MASK_WORDS, *IMAGE_WORDS])})$")


@dataclass(frozen=True, repr=False)
class Roi:
    """A segment, or an ROI that encloses an area.

    Attributes
    ----------
    name
        Its name.
    instances
        UIDs of the images that its contours refer to; empty if they name none.
    place
        Frame of Reference UID; empty if there is none.
    automatic
        Whether it was drawn automatically, by its file.
    """

    name: str
    instances: frozenset[str] = frozenset()
    place: str = ""
    automatic: bool = False


@dataclass(frozen=True, repr=False)
class Contours:
    """A Segmentation or structure set.

    Attributes
    ----------
    kind
        ``segmentation`` or ``structure-set``.
    rois
        Its segments, or its ROIs that enclose an area.
    instances, series
        UIDs of the images and series that the file as a whole refers to.
    patient
        Patient ID; empty if there is none.
    label
        Label of the structure set, or of the content.
    status
        Approval status (300E,0002); empty if there is none.
    made
        Date and time of the structure set or of the content, as text that can be sorted.
    """

    kind: str
    rois: tuple[Roi, ...]
    instances: frozenset[str] = frozenset()
    series: frozenset[str] = frozenset()
    patient: str = ""
    label: str = ""
    status: str = ""
    made: str = ""


@dataclass(frozen=True, repr=False)
class ImageIdentity:
    """Identity of an image.

    Attributes
    ----------
    key
        SHA-256 over its instances, or over its file if it is not DICOM.
    instances, series
        UIDs of its files; empty if it is not DICOM.
    place
        Frame of Reference UID; empty if there is none.
    patient
        Patient ID; empty if there is none.
    """

    key: str
    instances: frozenset[str] = frozenset()
    series: frozenset[str] = frozenset()
    place: str = ""
    patient: str = ""


def walked(inputs: Sequence[Path]) -> Iterator[Path]:
    """Yield the files in files and folders as absolute paths, each once, sorted; hidden ones are left out."""
    seen: set[Path] = set()
    for given in inputs:
        place = Path(os.path.abspath(given))
        for path in sorted(_files_in(place)) if place.is_dir() else [place]:
            if path not in seen and path.is_file():
                seen.add(path)
                yield path


def _files_in(folder: Path) -> Iterator[Path]:
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (Path(place) / name for name in names if not name.startswith("."))


def contours_of(path: Path) -> Contours | bool:
    """Return what a Segmentation or structure set refers to, or whether another file is a mask.

    InputError is raised if the file is a damaged Segmentation or structure set.
    """
    found: Contours | bool = guarded(_contours_of, path, bytes_on_disk=bytes_on_disk([path]))
    return found


def _contours_of(path: Path) -> Any:
    try:
        kind = file_kind(path)
        if kind in ("nrrd", "metaimage") and any(name.startswith("segment0_") for name in header_fields(path)):
            return True
        if kind == "nifti" and is_label_map(path):
            return True
    except (InputError, OSError):  # find_cases tells why
        return False
    if kind == "dicom":
        return _dicom().contours_in(path) or False
    return kind in ("nifti", "nrrd", "metaimage") and _named_as_mask(path)


def _named_as_mask(path: Path) -> bool:
    name = stem(path.name).lower().removesuffix(".seg")
    ending = _ENDING.search(name)
    named = ending is not None and ending.group().strip(" _.-\t") in MASK_WORDS
    return named or path.parent.name.lower() in MASK_FOLDERS


def plain_stem(name: str) -> str:
    """Return the name of an image or a mask without suffix and endings such as ``_mask``, in lower case."""
    plain = stem(name).lower().removesuffix(".seg")
    while (shorter := _ENDING.sub("", plain)) != plain and shorter:
        plain = shorter
    return plain


def identity_of(case: Case) -> ImageIdentity:
    """Return the identity of an image. Raise InputError if a file cannot be read."""
    found: ImageIdentity = guarded(_identity_of, case, bytes_on_disk=bytes_on_disk(case.files))
    return found


def _identity_of(case: Case) -> ImageIdentity:
    if case.kind != "dicom":
        with opened(case.files[0]) as stream:
            return ImageIdentity(hashlib.file_digest(stream, "sha256").hexdigest())  # type: ignore[arg-type]
    found: ImageIdentity = _dicom().identity_of(case.files)
    return found


def key_of(instances: frozenset[str]) -> str:
    """Return the key of a DICOM image: the SHA-256 of its sorted instance UIDs."""
    return hashlib.sha256("\n".join(sorted(instances)).encode()).hexdigest()


def _dicom() -> Any:
    return import_module(".dicom.references", __package__)  # highdicom takes a second to load
