"""Reader of NRRD and MetaImage files, for images and masks.

ITK never gets the file or the name of a data file. Header and voxels are checked and read here. ITK only computes
the geometry, from a header that is written here and holds the geometry alone.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import BinaryIO

import numpy as np
import SimpleITK as sitk  # noqa: N813

from ..errors import GeometryError, InputError
from ..geometry.volume import Array, affine_from_lps, spacing_of
from ..system.input_files import InputFile, opened
from .image_header import ImageHeader, data_file_of
from .metaimage_header import metaimage_fields, metaimage_header
from .nrrd_header import nrrd_fields, nrrd_header
from .voxel_data import Grid, check_geometry, damaged, unpacked

_ITK = {"nrrd": ("NrrdImageIO", "header.nrrd"), "metaimage": ("MetaImageIO", "header.mha")}


def header_fields(file: InputFile) -> dict[str, str]:
    """Return the fields and keys of a NRRD or MetaImage header by their names in lower case. Raises InputError."""
    with opened(file) as stream:
        fields, keys = _fields(stream)
    return {key.lower(): value for key, value in (fields | keys).items()}


def read_itk_grid(file: InputFile, kind: str) -> Grid:
    """Read the voxels and the geometry of a NRRD or MetaImage file.

    Parameters
    ----------
    file
        The file.
    kind
        ``nrrd`` or ``metaimage``.

    Raises
    ------
    InputError
        The file is damaged, or its voxels are neither in the file nor in a file in the same folder.
    GeometryError
        The spacing is missing or not plausible, or the geometry is wrong.
    """
    with opened(file) as stream:
        header = nrrd_header(stream) if kind == "nrrd" else metaimage_header(stream)
        data_file = None
        if header.data_file is None:
            values = _voxels(stream, header)
        else:
            data_file = data_file_of(file, header.data_file)
            with opened(data_file) as data:
                values = _voxels(data, header)
    direction, spacing, origin = _geometry(header, kind)
    check_geometry(spacing, origin)
    affine = None
    if header.oriented and len(header.shape) >= 3:
        affine = affine_from_lps(direction, spacing, origin)
        with np.errstate(over="ignore"):
            check_geometry(np.array(spacing_of(affine)))
    assumed = header.fields.get("orientation") == "assumed"
    return Grid(
        values,
        tuple(spacing.tolist()),
        affine,
        header.channels,
        header.fields,
        assumed=assumed,
        data_file=data_file,
    )


def _fields(stream: BinaryIO) -> tuple[dict[str, str], dict[str, str]]:
    is_nrrd = stream.read(4) == b"NRRD"
    stream.seek(0)
    return nrrd_fields(stream) if is_nrrd else metaimage_fields(stream)


def _voxels(stream: BinaryIO, header: ImageHeader) -> Array:
    """Read the voxels (I, J, ...) up to the end of a stream; the channels, if several, are the last axis."""
    for _ in range(header.line_skip):
        stream.readline()
    if header.packed_bytes:
        here = stream.tell()
        left = stream.seek(0, os.SEEK_END) - here
        stream.seek(here)
        if left != header.packed_bytes:
            raise damaged(f"{left} compressed bytes (its header gives {header.packed_bytes})", header.layout.size)
    flat = unpacked(stream, header.layout)
    flat = flat.astype(flat.dtype.newbyteorder("="), copy=False)
    sizes = list(header.shape)
    if header.channels == 1:
        return flat.reshape(sizes[::-1]).T
    sizes.insert(header.channel_axis, header.channels)
    return np.moveaxis(flat.reshape(sizes[::-1]).T, header.channel_axis, -1)


def _geometry(header: ImageHeader, kind: str) -> tuple[Array, Array, Array]:
    """Return direction (columns, LPS), spacing and origin in mm of the first three axes, computed by ITK."""
    reader_name, name = _ITK[kind]
    if not header.geometry.isascii():
        raise GeometryError("the geometry in its header holds text that is no number; export it again.")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, name)
        path.write_text(header.geometry + "\n" * (kind == "nrrd"), "ascii")
        reader = sitk.ImageFileReader()
        reader.SetImageIO(reader_name)
        reader.SetFileName(str(path))
        try:
            reader.ReadImageInformation()
        except RuntimeError as error:
            raise GeometryError("the geometry in its header contradicts itself; export it again.") from error
    size = reader.GetDimension()
    if tuple(reader.GetSize()) != header.shape:
        raise InputError("its header can be understood in two ways; export it again.")
    direction = np.array(reader.GetDirection()).reshape(size, size)[:3, :3]
    spacing, origin = np.array(reader.GetSpacing())[:3], np.array(reader.GetOrigin())[:3]
    if header.mm_per_unit != 1.0:
        spacing, origin = spacing * header.mm_per_unit, origin * header.mm_per_unit
    return direction, spacing, origin
