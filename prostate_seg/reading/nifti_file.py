"""Reader of NIfTI files, for images and masks: ``.nii`` and ``.nii.gz``, versions 1 and 2."""

from __future__ import annotations

import gzip
import math
import zlib
from typing import Any, BinaryIO

import numpy as np
from nibabel.nifti1 import Nifti1Header
from nibabel.nifti2 import Nifti2Header
from nibabel.spatialimages import HeaderDataError
from nibabel.volumeutils import apply_read_scaling
from nibabel.wrapstruct import WrapStructError

from ..errors import GeometryError, InputError
from ..geometry.volume import ASSUMED, Array
from ..system.input_files import InputFile, opened
from .image_header import MOST_VOXELS
from .voxel_data import GZIP_MAGIC, Grid, Layout, check_geometry, unpacked

MM_PER_UNIT = {0: 1.0, 1: 1000.0, 2: 1.0, 3: 0.001}  # NIFTI_UNITS_UNKNOWN, METER, MM, MICRON
SPACE_CODES = range(6)  # valid codes of sform and qform
_HEADERS = {
    348: (Nifti1Header, b"n+1\0", 352),
    540: (Nifti2Header, b"n+2\0", 544),
}  # size of the header: its class, magic, smallest offset of the voxels


def nifti_intent(file: InputFile) -> int | None:
    """Return the intent code of a NIfTI file, or None if its header cannot be read."""
    try:
        with opened(file) as stream:
            return int(_header(stream)["intent_code"])
    except (InputError, OSError):
        return None


def read_nifti_grid(file: InputFile) -> Grid:
    """Read the voxels and the geometry of a NIfTI file.

    Slope and intercept are applied. RGB voxels have a structured type and are not scaled. If the codes of sform and
    qform are both 0, only the spacing is read.

    Raises
    ------
    InputError
        The file is damaged, or its header contradicts itself.
    GeometryError
        The spacing, the affine or the unit of length is not plausible.
    """
    with opened(file) as stream:
        header = _header(stream)
        shape, dtype = _shape(header), _dtype(header)
        slope, inter = _scaling(header)
        packed = _is_packed(stream)
        layout = Layout(dtype, math.prod(shape), "deflate" if packed else "raw", _first_voxel(header))
        array = unpacked(stream, layout).reshape(shape, order="F")
    if dtype.names is None:  # NIfTI does not scale colours
        with np.errstate(all="ignore"):  # values that are not finite are rejected later
            array = apply_read_scaling(array, np.asanyarray(slope), np.asanyarray(inter))
    unit = MM_PER_UNIT.get(int(header["xyzt_units"]) % 8)
    if unit is None:
        raise GeometryError(
            "its unit of length (xyzt_units) is not defined, expected mm, m or micrometres; set it."
        )
    assumed = bytes(header["descrip"]).startswith(ASSUMED.encode())
    with np.errstate(all="ignore"):
        affine = _affine(header)
    if affine is None:
        spacing = [float(zoom) * unit for zoom in header["pixdim"][1 : 1 + min(3, len(shape))]]
        check_geometry(np.array(spacing))
        return Grid(array, tuple(spacing), None, assumed=assumed)
    if not np.isfinite(affine).all():
        raise GeometryError("its sform or qform has NaN or infinity, expected finite numbers; export it again.")
    affine = np.diag([unit, unit, unit, 1.0]) @ affine
    spacing_mm = np.linalg.norm(affine[:3, :3], axis=0)
    check_geometry(spacing_mm, affine[:3, 3])
    return Grid(array, tuple(spacing_mm.tolist()), affine, assumed=assumed)


def _is_packed(stream: BinaryIO) -> bool:
    stream.seek(0)
    packed = stream.read(2) == GZIP_MAGIC
    stream.seek(0)
    return packed


def _header(stream: BinaryIO) -> Any:
    """Read the header with nibabel, without its repairs. Afterwards the stream is at its start."""
    try:
        raw = (gzip.GzipFile(fileobj=stream) if _is_packed(stream) else stream).read(540)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(
            "the NIfTI file is damaged or cut short: its header cannot be unpacked; copy it again."
        ) from (error)
    stream.seek(0)
    size = 540 if raw[4:7] in (b"n+2", b"ni2") else 348
    kind, magic, _ = _HEADERS[size]
    try:
        header: Any = kind(raw[:size], check=False)
    except (WrapStructError, HeaderDataError) as error:
        raise InputError(
            "the NIfTI file is damaged or cut short: it has no header; copy or export it again."
        ) from (error)
    if bytes(header["magic"].item()).ljust(4, b"\0")[:4] != magic or int(header["sizeof_hdr"]) != size:
        raise InputError(
            "it is no NIfTI file of its own by its header (a damaged one, or one of a pair .hdr and .img); save it "
            "as one .nii or .nii.gz file."
        )
    return header


def _first_voxel(header: Any) -> int:
    least = _HEADERS[int(header["sizeof_hdr"])][2]
    offset = float(header["vox_offset"])
    if not (least <= offset <= MOST_VOXELS and offset == int(offset)):
        raise InputError(
            f"its voxels begin at byte {offset:g} (vox_offset), expected {least} or more, behind its header; "
            "export it again."
        )
    return int(offset)


def _shape(header: Any) -> tuple[int, ...]:
    dim = [int(length) for length in header["dim"]]
    axes = dim[0]
    if not 1 <= axes <= 7 or min(dim[1 : axes + 1]) < 0 or math.prod(dim[1 : axes + 1]) > MOST_VOXELS:
        raise InputError(f"its dimensions (dim) are {dim}, expected 2 to 7 positive lengths; export it again.")
    shape = tuple(dim[1 : axes + 1])
    if 0 in shape:
        raise InputError(f"it is empty, shape {shape}.")
    return shape


def _dtype(header: Any) -> np.dtype[Any]:
    try:
        dtype = np.dtype(header.get_data_dtype())
    except (HeaderDataError, KeyError, TypeError) as error:
        raise InputError(
            f"its datatype is {int(header['datatype'])}, which is none of NIfTI's; export it again."
        ) from (error)
    if dtype.itemsize == 0 or int(header["bitpix"]) not in (0, 8 * dtype.itemsize):
        raise InputError(
            f"its voxels have {int(header['bitpix'])} bits (bitpix), expected {8 * dtype.itemsize} by their "
            "datatype; export it again."
        )
    return dtype


def _scaling(header: Any) -> tuple[float, float]:
    """Return slope and intercept. A slope of 0 or NaN means no scaling and gives 1 and 0."""
    slope, inter = float(header["scl_slope"]), float(header["scl_inter"])
    if slope == 0 or math.isnan(slope):
        return 1.0, 0.0
    if not (math.isfinite(slope) and math.isfinite(inter)):
        raise InputError(
            f"its values are scaled by {slope:g} and {inter:g} (scl_slope, scl_inter), expected finite "
            "numbers; export it again."
        )
    return slope, inter


def _affine(header: Any) -> Array | None:
    """Return the affine of the sform, or else of the qform, in the unit of the file.

    The result is None if the codes of both are 0. If the code of the sform is 0, the voxel sizes (pixdim) in
    ``header`` are made positive.
    """
    for form in ("sform", "qform"):
        code = int(header[f"{form}_code"])
        if code not in SPACE_CODES:
            raise GeometryError(f"its {form} code is {code}, expected 0 to 5; export it again.")
    sizes = np.abs(header["pixdim"][1:4])
    if not int(header["sform_code"]):
        axes = min(3, int(header["dim"][0]))
        if not (np.isfinite(sizes[:axes]) & (sizes[:axes] > 0)).all():
            raise GeometryError(
                f"its voxel sizes (pixdim) are {header['pixdim'][1 : 1 + axes].tolist()}, expected positive ones; "
                "correct the header."
            )
        header["pixdim"][1:4] = sizes
        if header["pixdim"][0] not in (1, -1):
            header["pixdim"][0] = 1  # qfac, the sign of the third axis in the qform
    if int(header["sform_code"]):
        return np.asarray(header.get_sform())
    if not int(header["qform_code"]):
        return None
    try:
        return np.asarray(header.get_qform())
    except (ValueError, HeaderDataError) as error:
        raise GeometryError(
            "its qform is no rotation (quatern_b, quatern_c, quatern_d); correct the header."
        ) from (error)
