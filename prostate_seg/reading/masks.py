"""Readers of masks: label maps in NIfTI, NRRD and MetaImage, 3D Slicer's ``.seg.nrrd``, DICOM SEG and RTSTRUCT.

Files are opened in a child process (:mod:`prostate_seg.system.guard`).
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np

from ..errors import GeometryError, InputError
from ..geometry.structures import CTV
from ..geometry.volume import Array, Orientation, Segmentation
from ..system.guard import guarded
from ..system.input_files import bytes_on_disk, file_kind
from ..system.source_digest import recorded_sources
from .acquisition import Acquisition
from .chosen_structure import chosen_structure
from .itk_file import read_itk_grid
from .nifti_file import read_nifti_grid
from .objects import as_file
from .panoptic import is_panoptic, panoptic_structures
from .voxel_data import Grid

Result = TypeVar("Result")

SUFFIXES = (".nii.gz", ".nii", ".seg.nrrd", ".nrrd", ".nhdr", ".mha", ".mhd", ".hdr", ".dcm")  # .hdr is rejected


def read_mask(
    source: Any, *, like: Segmentation | None = None, structure: str | Sequence[str] = ()
) -> Segmentation:
    """Read a binary mask from a file of NIfTI, NRRD, MetaImage or DICOM, or from an image of nibabel or SimpleITK.

    A label map may have only one non-zero value; it becomes 1. The orientation is "assumed" if the file states this
    or has no orientation.

    Parameters
    ----------
    source
        Path of the mask file, or the image.
    like
        Mask with the grid for the contours of an RT Structure Set, which has no grid of its own.
    structure
        A name, or names in order of preference. If the file names its structures, one of them must match. If the
        file names no structures, its mask is the requested structure. If empty: the structure CTV of a file that
        names several, or else its only structure.

    Returns
    -------
    Segmentation
        Labels 0 and 1, (I, J, K); affine in RAS mm.

    Raises
    ------
    InputError
        The file cannot be read, has several labels or holds a probability.
    GeometryError
        The mask does not have three axes, its geometry is not valid, or ``like`` is missing for a structure set.
    """
    names = (structure,) if isinstance(structure, str) else structure
    with as_file(source) as path:
        return replace(in_child(_read_mask, path, like, names))  # checks the values again


def in_child(function: Callable[..., Result], path: Path, *arguments: Any) -> Result:
    """Call a function for a file in the child process. Raises InputError that names the file."""
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise InputError(f"Cannot read the mask {path.name}: it is a named pipe or a device, expected a file.")
    try:
        place = Path(os.path.abspath(path))  # the child process may be in another folder
        return guarded(function, place, *arguments, bytes_on_disk=bytes_on_disk([path]))
    except InputError as error:
        if path.name in str(error):
            raise
        raise type(error)(f"Cannot read the mask {path.name}: {error}") from error


def is_dicom(path: Path) -> bool:
    """Return whether a file is DICOM by its suffix or its content; exports often have no suffix."""
    with suppress(OSError):
        return path.name.lower().endswith(".dcm") or (path.is_file() and file_kind(path) == "dicom")
    return False


def _read_mask(path: Path, like: Segmentation | None, structure: Sequence[str]) -> Segmentation:
    if is_dicom(path):
        return _read_dicom(path, like, structure)
    array, affine, fields = read_values(path)
    orientation: Orientation = "assumed" if fields.get("orientation") == "assumed" else "file"
    number, name = 0, structure[0] if structure else CTV
    segments = _segments(path, array, fields)
    if segments and (structure or len(segments) > 1 or is_panoptic(path)):
        number = chosen_structure(list(enumerate(segments, 1)), structure, path.name)
        name = list(segments)[number]
        array = segments[name]
    if array.ndim != 3:
        raise GeometryError(
            f"The mask {path.name} has {array.ndim} axes, expected 3 axes and 1 layer; export one structure."
        )
    drawn_on = recorded_sources(path).get(number, "")
    return Segmentation(_binary(array, path), affine, {1: name}, orientation=orientation, source_sha256=drawn_on)


def structure_names(path: Path) -> list[str]:
    """Return the names of the structures in a ``.seg.nrrd``, a DICOM Segmentation or a structure set.

    ROIs of a structure set that enclose no area are left out. The list is empty for a file that names none.
    InputError is raised if the file cannot be read.
    """
    return in_child(_structure_names, path)


def _structure_names(path: Path) -> list[str]:
    if is_dicom(path):
        return list(_dicom_masks().structure_names(path))
    array, _, fields = read_values(path)
    return list(_segments(path, array, fields))


def has_contours_only(path: Path) -> bool:
    """Return whether a mask file is an RT Structure Set, which has contours but no grid."""
    return is_dicom(path) and in_child(_dicom_kind, path) == "structure-set"


def frame_of_reference(path: Path) -> str:
    """Return the Frame of Reference UID of a DICOM file, or an empty text if the file or the UID does not exist."""
    return in_child(_frame_of_reference, path) if path.is_file() else ""


def _frame_of_reference(path: Path) -> str:
    return str(_dicom_masks().frame_of_reference(path))


def _dicom_masks() -> Any:
    return import_module(".dicom.structures", __package__)  # highdicom takes a second to load


def _dicom_kind(path: Path) -> str | None:
    try:
        return cast(str | None, _dicom_masks().dicom_kind(path))
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise InputError(f"Cannot read the mask {path.name} ({reason}); give a file that can be read.") from error


def _read_dicom(path: Path, like: Segmentation | None, structure: Sequence[str]) -> Segmentation:
    kind = _dicom_kind(path)
    if kind is None:
        raise InputError(f"{path.name} is neither a DICOM Segmentation nor an RT Structure Set; give one of these.")
    if kind == "structure-set" and like is None:
        raise GeometryError(
            f"The RT Structure Set {path.name} has contours but no grid; compare it with a mask that has voxels."
        )
    dicom = _dicom_masks()
    if kind == "segmentation":
        return cast(Segmentation, dicom.read_segmentation(path, structure))
    return cast(Segmentation, dicom.read_structure_set(path, like, structure))


def read_segments(path: Path) -> tuple[dict[str, Array], Array]:
    """Read all segments of a mask file.

    A ``.seg.nrrd`` file names its segments, which may overlap (layers). Any other file holds one segment, which
    gets the name of the file.

    Returns
    -------
    dict
        Segments by name, bool (I, J, K).
    Array
        Affine, RAS mm.

    Raises
    ------
    InputError
        The file cannot be read, or its segments are not described correctly.
    GeometryError
        The axes or the geometry of the mask are not valid.
    """
    return in_child(_read_segments, Path(path))


def _read_segments(path: Path) -> tuple[dict[str, Array], Array]:
    array, affine, fields = read_values(path)
    if segments := _segments(path, array, fields):
        return segments, affine
    if array.ndim != 3:
        raise GeometryError(f"The mask {path.name} has {array.ndim} axes, expected 3; export one structure.")
    return {stem_of(path): _binary(array, path).astype(bool)}, affine


def _segments(path: Path, array: Array, fields: Mapping[str, str]) -> dict[str, Array]:
    """Return the segments that the header names, bool (I, J, K); empty if the file is a label map.

    Those of a panoptic map are named by the file beside it.
    """
    if is_panoptic(path):
        return panoptic_structures(path, array)
    count = sum(key.startswith("Segment") and key.endswith("_LabelValue") for key in fields)
    layers = array.reshape((*array.shape[:3], -1))
    segments: dict[str, Array] = {}
    for number in range(count):
        try:
            name = fields.get(f"Segment{number}_Name") or fields[f"Segment{number}_ID"]
            layer = int(fields.get(f"Segment{number}_Layer", "0"))
            mask = layers[..., layer] == int(fields[f"Segment{number}_LabelValue"])
        except (LookupError, ValueError) as error:
            raise InputError(
                f"Segment {number} of {path.name} is not described as Slicer does ({error})."
            ) from error
        if name in segments:
            raise InputError(f"{path.name} has two segments named {name}; give one of them another name in Slicer.")
        segments[name] = mask
    return segments


def read_values(path: Path) -> tuple[Array, Array, dict[str, str]]:
    """Read the values (I, J, K) or (I, J, K, layers), the RAS affine and the header fields of a mask file."""
    try:
        kind = file_kind(path)
        if kind not in ("nifti", "nrrd", "metaimage"):
            raise InputError("it is neither NIfTI (.nii, .nii.gz), NRRD nor MetaImage; export it as one of these.")
        grid = read_nifti_grid(path) if kind == "nifti" else read_itk_grid(path, kind)
        array = _three_axes(grid.array) if kind == "nifti" else _layered(grid)
        if array.dtype.kind not in "biuf":
            raise InputError("its voxels are colours or complex numbers, expected one real number each.")
    except FileNotFoundError as error:
        raise InputError(f"Cannot read the mask {path.name}: there is no such file.") from error
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise InputError(
            f"Cannot read the mask {path.name}: the file system reports {reason}; copy it again."
        ) from error
    except InputError as error:
        raise type(error)(f"Cannot read the mask {path.name}: {error}") from error
    if grid.affine is not None:
        return array, grid.affine, grid.fields | ({"orientation": "assumed"} if grid.assumed else {})
    i, j, k = (*grid.spacing_mm, 1.0)[:3]
    return array, Acquisition().affine((i, j, k))[0], grid.fields | {"orientation": "assumed"}


def _binary(array: Array, path: Path) -> Array:
    values = np.unique(array)
    others = values[values != 0]
    if others.size > 1 or not np.isfinite(others).all():
        if np.isfinite(others).all() and others.min() > 0 and others.max() < 1 + 1e-6 and others.size > 5:
            raise InputError(
                f"The mask {path.name} holds {others.size} values between 0 and 1, expected a single one: it looks "
                "like a probability; cut it at one half first."
            )
        shown = ", ".join(f"{value:g}" for value in others[:5]) + (", ..." if others.size > 5 else "")
        raise InputError(
            f"The mask {path.name} holds the values {shown} beside 0, expected a single one; write the "
            "structure that is meant as a mask of its own."
        )
    return (array != 0).astype(np.uint8)


def _layered(grid: Grid) -> Array:
    """Return the values of NRRD or MetaImage; layers (channels or a fourth axis) are the last axis."""
    axes = grid.array.ndim - (grid.channels > 1)
    if axes != 3 and not (axes == 4 and grid.channels == 1):
        raise GeometryError(f"it has {axes} axes, expected 3; export one structure.")
    return grid.array


def _three_axes(array: Array) -> Array:
    """Return a mask as (I, J, K): two axes are one slice; further axes of length 1 are removed."""
    if array.ndim < 2 or math.prod(array.shape[3:]) != 1:
        raise GeometryError(f"it has shape {array.shape}, expected 3 axes; export one structure.")
    return array.reshape((*array.shape, 1)[:3])


def stem_of(path: Path) -> str:
    """Return the name of a mask file without its suffix. Raises InputError if this name is empty."""
    suffix = next((suffix for suffix in SUFFIXES if path.name.lower().endswith(suffix)), path.suffix)
    stem = path.name[: len(path.name) - len(suffix)]
    if not stem.strip("."):
        raise InputError(f"The mask {path.name} has no name before its suffix; give it one.")
    return stem
