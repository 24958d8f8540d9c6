"""Reader of hints: ``hints.json``, markups of 3D Slicer, corrected masks, and RT Structure Sets."""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, cast

import numpy as np

from ..errors import GeometryError, InputError
from ..geometry.hints import Contour, Hints
from ..geometry.hints_json import hints_of_json
from ..geometry.resample import on_grid_of
from ..geometry.slice_hints import contour_of, contours_through, slices_of
from ..geometry.volume import Array, Segmentation, Volume, same_grid, swap_ras_lps
from ..system.checked_files import read_json
from ..system.guard import guarded
from ..system.input_files import bytes_on_disk, file_kind
from ..system.source_digest import check_drawn_on
from .chosen_structure import shown
from .markups import hints_of_markups
from .masks import has_contours_only, in_child, is_dicom, read_mask

MASKS = ("nifti", "nrrd", "metaimage", "dicom")


def read_hints(
    path: str | os.PathLike[str],
    volume: Volume,
    drawn: Segmentation | None = None,
    *,
    structure: str | Sequence[str] = (),
) -> Hints:
    """Read hints for a volume from a file.

    Parameters
    ----------
    path
        ``hints.json``; markups of 3D Slicer (``.mrk.json``); a corrected mask (``.seg.nrrd``, NIfTI, MetaImage or
        DICOM Segmentation), each slice that differs from ``drawn`` is a contour; or an RT Structure Set, each slice
        with contours is a contour.
    volume
        Image of the hints.
    drawn
        Mask that was corrected, on the volume's grid. Only a mask file needs it.
    structure
        Structure of a file that has several: a name, or names in order of preference. The default is the CTV, or
        the only structure.

    Raises
    ------
    InputError
        The file cannot be read, is of another kind, or holds no hint.
    GeometryError
        The file belongs to another image or grid, or a hint is not valid.
    """
    path = Path(path)
    kind = hint_file_kind(path)
    if kind == "json":
        return _of_json(path, volume)
    names = (structure,) if isinstance(structure, str) else structure
    if kind == "contours":
        return Hints(_structure_set(path, volume, drawn, names), volume.source.sha256)
    if drawn is None:
        raise InputError(
            f"{path.name} is a mask, and the mask before the correction is not known, expected both: only slices "
            "that differ are hints."
        )
    return read_corrected(path, volume, [drawn], structure=names)[0]


def read_corrected(
    path: Path, volume: Volume, masks: Sequence[Segmentation], *, structure: Sequence[str] = ()
) -> tuple[Hints, int]:
    """Read the contours of a mask file that a person corrected, and find the mask that was corrected.

    Parameters
    ----------
    path, volume, structure
        As for :func:`read_hints`.
    masks
        Masks that may have been corrected, on the volume's grid. The one with the fewest slices that differ was
        corrected; of equal ones the first.

    Returns
    -------
    Hints
        A contour for each slice that differs; none if the file is the mask of an index above 0.
    int
        Index of the mask that was corrected.

    Raises
    ------
    InputError, GeometryError
        As :func:`read_hints`.
    """
    found = read_mask(path, structure=structure)
    corrected = _on_grid(path, volume, found, masks)
    slices = slices_of(volume)
    after = np.moveaxis(corrected, slices.axis, 0)
    differing = [_differing(after, np.moveaxis(mask.mask(), slices.axis, 0)) for mask in masks]
    index = min(range(len(masks)), key=lambda one: len(differing[one]))
    if not differing[index] and not index:
        raise InputError(
            f"The mask {path.name} does not differ from the mask before the correction; correct a slice."
        )
    contours = tuple(contour_of(volume, k, after[k]) for k in differing[index])
    return Hints(contours, volume.source.sha256), index


def _differing(one: Array, other: Array) -> list[int]:
    """Return the indices of the slices, along the first axis, on which two masks differ."""
    found: list[int] = np.flatnonzero((one != other).any(axis=(1, 2))).tolist()
    return found


def hint_file_kind(path: Path) -> str:
    """Return ``json``, ``contours`` or ``mask`` for a file. Raise InputError if it is of another kind."""
    try:
        if not path.is_file():
            raise InputError(f"{path.name} is no file; give a file of hints.")
        with path.open("rb") as stream:
            text = stream.read(1024).lstrip(b"\xef\xbb\xbf \t\r\n")
        if text[:1] in (b"{", b"[") or path.name.lower().endswith(".json"):
            return "json"
        if not is_dicom(path) and file_kind(path) not in MASKS:
            raise InputError(
                f"{path.name} is of an unknown kind; give hints.json, markups of Slicer saved as .mrk.json, a mask "
                "(.seg.nrrd, .nii.gz) or an RT Structure Set."
            )
    except OSError as error:
        raise InputError(f"The hints in {path.name} cannot be read: {error.strerror}.") from error
    return "contours" if has_contours_only(path) else "mask"


def _of_json(path: Path, volume: Volume) -> Hints:
    content = guarded(_content, Path(os.path.abspath(path)), bytes_on_disk=bytes_on_disk([path]))
    if isinstance(content, dict) and "markups" in content:
        return hints_of_markups(content, volume, path.name)
    try:
        return hints_of_json(content, volume)
    except InputError as error:
        raise type(error)(f"{path.name}: {error}") from error


def _content(path: Path) -> Any:
    try:
        return read_json(path)
    except OSError as error:
        raise InputError(f"The hints in {path.name} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise InputError(f"{path.name} is not JSON: {error}.") from error


def _on_grid(path: Path, volume: Volume, found: Segmentation, masks: Sequence[Segmentation]) -> Array:
    """Return a corrected mask on the grid of a volume. Raise InputError if it does not belong there or is empty."""
    if not all(same_grid(volume, mask) for mask in masks):
        raise GeometryError(
            "The mask before the correction lies on another grid than the image; give the mask of this image."
        )
    known = {volume.source.sha256, *(mask.source_sha256 for mask in masks)} - {""}
    if found.source_sha256 and known:
        check_drawn_on(path, {shown(found.names[1]): found.source_sha256}, "this image", known)
    corrected, same = on_grid_of(volume, found.mask(), found.affine, path.name)
    if not same:
        raise GeometryError(
            f"The mask {path.name} lies on another grid than the image, so its slices are not those of the image; "
            "correct it on the image's grid."
        )
    if not corrected.any():
        raise InputError(f"The mask {path.name} is empty; give one with the gland on at least one slice.")
    return corrected


def _structure_set(
    path: Path, volume: Volume, drawn: Segmentation | None, structure: Sequence[str]
) -> tuple[Contour, ...]:
    """Return the contours of an RT Structure Set on the slices of a volume."""
    name, place, lines = in_child(_contours, path, structure)
    expected = {drawn.frame_of_reference if drawn else "", _frame_of_reference(volume)} - {""}
    if place and expected and place not in expected:
        raise GeometryError(
            f"{path.name} lies in another frame of reference than the image ((0020,0052) Frame of Reference UID); "
            "give the contours that were drawn on this image."
        )
    if not lines:
        raise InputError(f"{shown(name)} in {path.name} has no contour; choose another structure.")
    to_ras, called = swap_ras_lps(np.eye(4))[:3, :3], f"A contour of {shown(name)} in {path.name}"
    return contours_through(volume, [(called, line @ to_ras) for line in lines])


def _contours(path: Path, structure: Sequence[str]) -> tuple[str, str, list[Array]]:
    dicom = import_module(".dicom.structures", __package__)  # highdicom takes a second to load
    return cast(tuple[str, str, list[Array]], dicom.read_contours(path, structure))


def _frame_of_reference(volume: Volume) -> str:
    """Return the image's Frame of Reference UID; empty if the image has none or its place is not from the file."""
    if volume.source.header is None or volume.orientation != "file":
        return ""
    return str(volume.source.header.get("FrameOfReferenceUID") or "")
