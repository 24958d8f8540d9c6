"""Reads masks: label maps in NIfTI, NRRD and MetaImage, 3D Slicer's ``.seg.nrrd``, DICOM SEG and RTSTRUCT."""

from __future__ import annotations

import math
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk  # noqa: N813

from .acquisition import Acquisition
from .errors import GeometryError, InputError
from .input_files import file_kind
from .itk_file import read_itk_grid
from .nifti_file import read_nifti_grid
from .volume import (
    Array,
    Orientation,
    Segmentation,
    Volume,
    bounding_box,
    lps_from_affine,
)
from .voxel_data import Grid

SUFFIXES = (".nii.gz", ".nii", ".seg.nrrd", ".nrrd", ".nhdr", ".mha", ".mhd", ".hdr", ".dcm")  # .hdr is refused
ON_GRID_VOXELS = 1e-3  # how far voxel centres may lie from each other to be the same
LARGEST_LOSS = 0.001  # share of a mask that may lie outside the image


def read_mask(path: Path, *, like: Segmentation | None = None) -> Segmentation:
    """Read a binary mask from NIfTI, NRRD, MetaImage or DICOM: labels 0 and 1, (I, J, K), RAS mm.

    The one non-zero value of a label map, whatever it is, becomes 1; orientation: "assumed" where the file says so,
    or nothing. Of a DICOM Segmentation or RT Structure Set
    it is the only structure, or the one called CTV. like: the grid for the contours of a structure set, which
    has none. Raises InputError for what cannot be read, has several labels or is a probability;
    GeometryError for more than three axes.
    """
    path = Path(path)
    if path.name.lower().endswith(".dcm"):
        return _read_dicom(path, like)
    array, affine, fields = _read(path)
    if array.ndim != 3:
        raise GeometryError(
            f"The mask {path.name} has {array.ndim} axes, expected 3 axes and 1 layer; export one structure."
        )
    orientation: Orientation = "assumed" if fields.get("orientation") == "assumed" else "file"
    return Segmentation(_binary(array, path), affine, orientation=orientation)


def _read_dicom(path: Path, like: Segmentation | None) -> Segmentation:
    dicom = import_module(".dicom_masks", __package__)  # highdicom takes a second to load
    kind = dicom.dicom_kind(path)
    if kind is None:
        raise InputError(f"{path.name} is neither a DICOM Segmentation nor an RT Structure Set; give one of these.")
    if kind == "structure-set" and like is None:
        raise GeometryError(
            f"The RT Structure Set {path.name} has contours but no grid; compare it with a mask that has voxels."
        )
    if kind == "segmentation":
        masks, affine = dicom.read_segmentation(path)
    else:
        assert like is not None
        affine, masks = like.affine, dicom.read_structure_set(path, like.labels.shape, like.affine)
    chosen = [name for name in masks if len(masks) == 1 or name.strip().casefold() == "ctv"]
    if len(chosen) != 1:
        raise InputError(f"{path.name} has the structures {', '.join(masks) or 'none'}; expected one called CTV.")
    return Segmentation(masks[chosen[0]].astype(np.uint8), affine)


def turned_like(mask: Segmentation, other: Segmentation) -> Segmentation:
    """The mask with its axes in the order and sense of another's, where both hold the same voxels; else as it is.

    A DICOM Segmentation may give its slices back in reverse.
    """
    index = np.linalg.inv(other.affine) @ mask.affine
    turn = np.rint(index[:3, :3])
    if np.abs(index[:3, :3] - turn).max() > ON_GRID_VOXELS or not (np.abs(turn).sum(axis=0) == 1).all():
        return mask
    order = np.abs(turn).argmax(axis=1)
    labels = mask.labels.transpose(order)
    flipped = tuple(axis for axis in range(3) if turn[axis, order[axis]] < 0)
    corner = np.array([labels.shape[axis] - 1 if axis in flipped else 0 for axis in range(3)], float)
    same_place = labels.shape == other.labels.shape and np.abs(index[:3, 3] - corner).max() < 0.01
    return replace(mask, labels=np.flip(labels, flipped), affine=other.affine) if same_place else mask


def read_segments(path: Path) -> tuple[dict[str, Array], Array]:
    """All segments of a mask file by name, bool (I, J, K), and their affine (RAS mm).

    A ``.seg.nrrd`` names its segments, which may overlap (layers); any other file holds one, named after the
    file. Raises InputError, GeometryError.
    """
    path = Path(path)
    array, affine, fields = _read(path)
    count = sum(key.startswith("Segment") and key.endswith("_LabelValue") for key in fields)
    if not count:
        if array.ndim != 3:
            raise GeometryError(f"The mask {path.name} has {array.ndim} axes, expected 3; export one structure.")
        return {stem_of(path): _binary(array, path).astype(bool)}, affine
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
    return segments, affine


def on_grid_of(volume: Volume, mask: Array, affine: Array, name: str) -> tuple[Array, bool]:
    """A mask, bool (I, J, K) with its affine, on the grid of a volume; and whether its voxels are the same.

    Where its voxels are those of the volume, cropped, shifted by whole voxels, turned or mirrored, they are
    copied; otherwise the mask is interpolated linearly and cut at one half. Raises GeometryError where more
    than 0.1 % of it lies outside the volume.
    """
    if not mask.any():
        return np.zeros(volume.array.shape, bool), True
    box = bounding_box(mask)
    corner = np.eye(4)
    corner[:3, 3] = [edge.start for edge in box]
    inner, placed = mask[box], affine @ corner
    index = np.linalg.inv(volume.affine) @ placed  # voxel of the mask -> voxel of the volume
    whole = np.rint(index)
    reach = np.array(inner.shape, float)
    if (
        np.abs((index - whole)[:3, :3] @ reach).max() + np.abs((index - whole)[:3, 3]).max() < ON_GRID_VOXELS
        and (np.abs(whole[:3, :3]).sum(axis=0) == 1).all()
    ):
        at = np.argwhere(inner) @ whole[:3, :3].astype(int).T + whole[:3, 3].astype(int)
        inside = ((at >= 0) & (at < volume.array.shape)).all(axis=1)
        _check_loss(1 - inside.mean(), name)
        out = np.zeros(volume.array.shape, bool)
        out[tuple(at[inside].T)] = True
        return out, True
    out = _resampled(inner, placed, volume)
    _check_loss(_share_outside(inner, placed, volume), name)
    return out, False


def _resampled(mask: Array, affine: Array, volume: Volume) -> Array:
    moving = sitk.GetImageFromArray(np.pad(mask, 1).astype(np.float32).transpose(2, 1, 0))
    corner = np.eye(4)
    corner[:3, 3] = -1
    _place(moving, affine @ corner)
    resample = sitk.ResampleImageFilter()
    resample.SetSize(volume.array.shape)
    direction, spacing, origin = lps_from_affine(volume.affine)
    resample.SetOutputDirection(direction.ravel().tolist())
    resample.SetOutputSpacing(spacing.tolist())
    resample.SetOutputOrigin(origin.tolist())
    resample.SetInterpolator(sitk.sitkLinear)
    return np.asarray(sitk.GetArrayFromImage(resample.Execute(moving)).transpose(2, 1, 0) >= 0.5)


def _place(image: Any, affine: Array) -> None:
    direction, spacing, origin = lps_from_affine(affine)
    image.SetDirection(direction.ravel().tolist())
    image.SetSpacing(spacing.tolist())
    image.SetOrigin(origin.tolist())


def _share_outside(mask: Array, affine: Array, volume: Volume) -> float:
    """The share of a mask's voxel centres that lie outside the volume's voxels."""
    centres = np.argwhere(mask) @ affine[:3, :3].T + affine[:3, 3]
    inverse = np.linalg.inv(volume.affine)
    at = centres @ inverse[:3, :3].T + inverse[:3, 3]
    inside = ((at >= -0.5) & (at <= np.array(volume.array.shape) - 0.5)).all(axis=1)
    return float(1 - inside.mean())


def _check_loss(share: float, name: str) -> None:
    if share > LARGEST_LOSS:
        raise GeometryError(
            f"{100 * share:.1f} % of the segment {name} lies outside the image; give the image that it was drawn "
            "on, read as it was then (--frame-spacing, --frame-order, --probe-side), or correct the segment."
        )


def _read(path: Path) -> tuple[Array, Array, dict[str, str]]:
    """Values (I, J, K) or (I, J, K, layers), RAS affine and header fields of a mask file."""
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
    """NRRD's and MetaImage's values with layers, which may be channels or a fourth axis, last."""
    axes = grid.array.ndim - (grid.channels > 1)
    if axes != 3 and not (axes == 4 and grid.channels == 1):
        raise GeometryError(f"it has {axes} axes, expected 3; export one structure.")
    return grid.array


def _three_axes(array: Array) -> Array:
    """Two axes are one slice; further axes of length 1 are dropped."""
    if array.ndim < 2 or math.prod(array.shape[3:]) != 1:
        raise GeometryError(f"it has shape {array.shape}, expected 3 axes; export one structure.")
    return array.reshape((*array.shape, 1)[:3])


def stem_of(path: Path) -> str:
    """The name of a mask file without its suffix. Raises InputError where nothing is left."""
    suffix = next((suffix for suffix in SUFFIXES if path.name.lower().endswith(suffix)), path.suffix)
    stem = path.name[: len(path.name) - len(suffix)]
    if not stem.strip("."):
        raise InputError(f"The mask {path.name} has no name before its suffix; give it one.")
    return stem
