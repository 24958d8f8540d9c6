"""Readers of NIfTI, NRRD and MetaImage images, which return a Volume.

These formats store the geometry, which is used as written. If a file has a spacing but no orientation in the
patient, the orientation is taken from the options or assumed (:mod:`prostate_seg.reading.acquisition`).
"""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np

from ..errors import InputError
from ..geometry.source import Source
from ..geometry.volume import Array, Orientation, Volume, spacing_of
from ..system.input_files import InputFile, opened
from .acquisition import Acquisition
from .field_of_view import blacken_outside, field_of_view, over_frames
from .itk_file import header_fields, read_itk_grid
from .luma import luma
from .nifti_file import nifti_intent, read_nifti_grid
from .voxel_data import Grid

__all__ = ["header_fields", "is_label_map", "read_itk", "read_nifti"]

LABEL_INTENT = 1002


def read_nifti(file: InputFile, acquisition: Acquisition) -> Volume:
    """Read a 3D NIfTI file. If the codes of sform and qform are both 0, only the spacing is read.

    Raises
    ------
    InputError
        The file holds more than one volume (4D), a label map, NaN or infinity, or the same value in every voxel, or
        it is damaged.
    GeometryError
        The geometry is not plausible, or an option contradicts it.
    """
    if is_label_map(file):
        raise InputError("it is a label map (NIfTI intent 1002), expected an ultrasound image.")
    grid = read_nifti_grid(file)
    source = Source("nifti", _digest(file))
    return _volume(_three_axes(_gray(grid.array)), grid, source, acquisition, where="the NIfTI sform or qform")


def is_label_map(file: InputFile) -> bool:
    """Return whether a NIfTI file is a label map by its intent code 1002; False if its header cannot be read."""
    return nifti_intent(file) == LABEL_INTENT


def read_itk(file: InputFile, kind: str, acquisition: Acquisition) -> Volume:
    """Read a 3D NRRD or MetaImage file, gray, RGB or RGBA.

    Parameters
    ----------
    file
        The file.
    kind
        ``nrrd`` or ``metaimage``.
    acquisition
        The options for reading.

    Raises
    ------
    InputError
        The file holds a segmentation, a 4D image, another number of channels, NaN or infinity, or the same value in
        every voxel, or it is damaged.
    GeometryError
        The header has no plausible spacing, or an option contradicts its spacing or directions.
    """
    if any(field.startswith(("segment0_", "segmentation_")) for field in header_fields(file)):
        raise InputError("it is a segmentation (Segment0_... in its header), expected an ultrasound image.")
    grid = read_itk_grid(file, kind)
    if grid.channels not in (1, 3, 4):
        raise InputError(f"{grid.channels} values a voxel, expected gray, RGB or RGBA.")
    array = _three_axes(grid.array if grid.channels == 1 else luma(np.moveaxis(grid.array.T, 0, -1)).T)
    source = Source(kind, _digest(file, grid.data_file))
    return _volume(array, grid, source, acquisition, where="the header's directions")


def _digest(*files: InputFile | None) -> str:
    """Return the SHA-256 of the concatenated bytes of files, as hexadecimal digits."""
    digest = hashlib.sha256()
    for file in files:
        if file is not None:
            with opened(file) as stream:
                while block := stream.read(1 << 20):
                    digest.update(block)
    return digest.hexdigest()


def _volume(array: Array, grid: Grid, source: Source, acquisition: Acquisition, *, where: str) -> Volume:
    if grid.affine is None:
        return _assumed(array, list(grid.spacing_mm), source, acquisition)
    volume = _given(array, grid.affine, source, acquisition, where=where)
    return replace(volume, orientation="assumed") if grid.assumed else volume


def _gray(values: Array) -> Array:
    """Return RGB of NIfTI (a structured type) as luma, and other values unchanged."""
    names = values.dtype.names
    return values if names is None else luma(np.stack([values[name] for name in names[:3]], axis=-1))


def _three_axes(array: Array) -> Array:
    """Return an image as (I, J, K). It may have 2 axes, or further axes of length 1. Raises InputError."""
    if array.size == 0:
        raise InputError(f"it is empty, shape {array.shape}.")
    while array.ndim > 3 and array.shape[-1] == 1:
        array = array[..., 0]
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim != 3:
        raise InputError(f"{array.ndim}-D, shape {array.shape}; expected 3-D: give one time point or channel.")
    if array.dtype.kind not in "biuf":
        raise InputError(f"its voxels are {array.dtype}, expected real numbers.")
    if array.dtype == bool:
        return array.astype(np.uint8)
    with np.errstate(over="ignore"):  # infinity is refused later
        return array.astype(np.float32 if array.dtype.kind == "f" else array.dtype.newbyteorder("="), copy=False)


def _assumed(array: Array, spacing_mm: list[float], source: Source, acquisition: Acquisition) -> Volume:
    """Return the volume of a file with a spacing (2 or 3 lengths) but no orientation."""
    told: tuple[str, ...] = ()
    if len(spacing_mm) < 3:
        spacing_mm = [*spacing_mm, acquisition.frame_spacing_mm or 1.0]
        told = ("One slice only: it has an area but no volume; its thickness is not in the file.",)
    acquisition.check_frame_spacing(spacing_mm[2], "the header's spacing")
    i, j, k = spacing_mm
    affine, orientation = acquisition.affine((i, j, k))
    return _finished(array, affine, orientation, source, told=told)


def _given(array: Array, affine: Array, source: Source, acquisition: Acquisition, *, where: str) -> Volume:
    """Return the volume of a file with an affine (RAS mm)."""
    acquisition.check_frame_spacing(spacing_of(affine)[2], where)
    acquisition.check_orientation(affine, where)
    told = ("One slice only: it has an area but no volume.",) if array.shape[2] == 1 else ()
    return _finished(array, affine, "file", source, told=told)


def _finished(
    array: Array, affine: Array, orientation: Orientation, source: Source, *, told: tuple[str, ...]
) -> Volume:
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise InputError("it holds NaN or infinite voxels; replace them.")
    if array.min() == array.max():
        raise InputError(f"every voxel is {array.flat[0]}; there is nothing to segment.")
    array = np.require(array, requirements="W")
    mask = field_of_view(array)
    blacken_outside(array, mask)
    return Volume(array, affine, orientation, over_frames(mask, array.shape[2]), told, source)
