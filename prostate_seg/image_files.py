"""NIfTI, NRRD and MetaImage to Volume.

These formats carry the geometry; it is taken as written. Where a file says spacing but not which way its
axes point in the patient, the axes are the options' or assumed (:mod:`prostate_seg.acquisition`).
"""

from __future__ import annotations

import gzip
import hashlib
import tempfile
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import nibabel as nib
import numpy as np
import SimpleITK as sitk  # noqa: N813
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError
from nibabel.wrapstruct import WrapStructError

from .acquisition import Acquisition
from .colour import luma
from .errors import GeometryError, InputError
from .field_of_view import blacken_outside, field_of_view, over_frames
from .input_files import READ_ERRORS, InputFile, ZipMember, opened
from .volume import ASSUMED, Array, Orientation, Source, Volume, affine_from_lps, spacing_of

MM_PER_UNIT = {"mm": 1.0, "unknown": 1.0, "meter": 1000.0, "micron": 0.001}
LABEL_INTENT = 1002
HEADER_BYTES = 1 << 20
SPACING_FIELDS = ("space directions", "spacings", "elementspacing", "elementsize")
NIFTI_ERRORS = (*(*READ_ERRORS, HeaderDataError, ImageFileError, WrapStructError, ValueError, KeyError, TypeError),)
PATIENT_SPACES = (
    *("right-anterior-superior", "ras", "left-anterior-superior", "las"),
    *("left-posterior-superior", "lps"),
)


def read_nifti(file: InputFile, acquisition: Acquisition) -> Volume:
    """Read a 3D NIfTI file. sform and qform code both 0: only the spacing is the file's.

    Raises InputError on 4-D data with more than one volume, a label map, NaN or a damaged file; GeometryError
    where an option contradicts the affine.
    """
    with opened(file) as stream:
        source = Source("nifti", hashlib.file_digest(stream, "sha256").hexdigest())  # type: ignore[arg-type]
        try:
            content, kind = _nifti_content(stream)
            image = kind.from_stream(content)
            values = np.asanyarray(image.dataobj)  # now, while the stream is open
            values = np.array(values) if isinstance(values, np.memmap) else values  # keep no hold of the file
        except NIFTI_ERRORS as error:
            raise InputError(f"the NIfTI file is damaged or cut short ({type(error).__name__}).") from error
    header = image.header
    if int(header["intent_code"]) == LABEL_INTENT:
        raise InputError("it is a label map (NIfTI intent 1002), expected an ultrasound image.")
    array = _three_axes(_gray(values))
    unit = MM_PER_UNIT.get(header.get_xyzt_units()[0], 1.0)
    if int(header["sform_code"]) == 0 and int(header["qform_code"]) == 0:
        spacing_mm = [float(zoom) * unit for zoom in header.get_zooms()[: min(3, values.ndim)]]
        return _assumed(array, spacing_mm, source, acquisition)
    affine = np.diag([unit, unit, unit, 1.0]) @ image.affine
    assumed = bytes(header["descrip"]).startswith(ASSUMED.encode())
    volume = _given(array, affine, source, acquisition, where="the NIfTI sform or qform")
    return replace(volume, orientation="assumed") if assumed else volume


def is_label_map(file: InputFile) -> bool:
    """Whether a NIfTI file says that it is one (intent 1002); False where its header cannot be read."""
    with opened(file) as stream, suppress(*NIFTI_ERRORS):
        content, kind = _nifti_content(stream)
        return int(kind.header_class.from_fileobj(content)["intent_code"]) == LABEL_INTENT
    return False


def _nifti_content(stream: BinaryIO) -> tuple[BinaryIO, type[nib.Nifti1Image]]:
    """The unpacked bytes of a NIfTI file, and the class of its version."""
    stream.seek(0)
    packed = stream.read(2) == b"\x1f\x8b"
    stream.seek(0)
    content: Any = gzip.GzipFile(fileobj=stream) if packed else stream
    version_2 = content.read(8)[4:7] == b"n+2"
    content.seek(0)
    return content, nib.Nifti2Image if version_2 else nib.Nifti1Image


def read_itk(file: InputFile, kind: str, acquisition: Acquisition) -> Volume:
    """Read a 3D NRRD or MetaImage file (kind ``nrrd`` or ``metaimage``), gray or colour.

    Raises InputError on a segmentation, a 4-D or multi-channel image, NaN or a damaged file; GeometryError
    where the header has no spacing or an option contradicts its directions.
    """
    digest = hashlib.sha256(file.read_bytes())
    fields = header_fields(file)
    if any(field.startswith(("segment0_", "segmentation_")) for field in fields):
        raise InputError("it is a segmentation (Segment0_... in its header), expected an ultrasound image.")
    with tempfile.TemporaryDirectory() as folder:
        path = file if isinstance(file, Path) else _unpacked(file, fields, Path(folder))
        if (data := _data_file(fields)) and (path.parent / data).is_file():
            digest.update((path.parent / data).read_bytes())
        try:
            image = sitk.ReadImage(str(path))
        except RuntimeError as error:
            raise InputError("the image is damaged, or its data file is missing.") from error
    values = sitk.GetArrayFromImage(image)  # (k, j, i), channels last; a copy
    size = image.GetDimension()
    direction = np.array(image.GetDirection()).reshape(size, size)[:3, :3]
    spacing, origin = list(image.GetSpacing())[:3], np.array(image.GetOrigin())[:3]
    channels = image.GetNumberOfComponentsPerPixel()
    del image
    if channels not in (1, 3, 4):
        raise InputError(f"{channels} values a voxel, expected gray, RGB or RGBA.")
    array = _three_axes((values if channels == 1 else luma(values)).T)
    source = Source(kind, digest.hexdigest())
    if not any(field in fields and "nan" not in fields[field].lower() for field in SPACING_FIELDS):
        raise GeometryError("the header has no spacing (space directions, spacings or ElementSpacing); add it.")
    if size < 3 or not gives_directions(fields):
        return _assumed(array, spacing, source, acquisition)
    affine = affine_from_lps(direction, np.array(spacing), origin)
    volume = _given(array, affine, source, acquisition, where="the header's directions")
    return replace(volume, orientation="assumed") if fields.get("orientation") == "assumed" else volume


def gives_directions(fields: dict[str, str]) -> bool:
    """Whether a NRRD or MetaImage header says how the axes lie in the patient."""
    return fields.get("space", "").lower() in PATIENT_SPACES or "transformmatrix" in fields


def header_fields(file: InputFile) -> dict[str, str]:
    """The fields of a NRRD or MetaImage header by their lower-case names."""
    with opened(file) as stream:
        text = stream.read(HEADER_BYTES).decode("latin-1")
    separator = ":" if text.startswith("NRRD") else "="
    fields = {}
    for line in text.splitlines():
        key, found, value = line.partition(separator)
        if not line.strip():
            break  # a NRRD header ends at the first empty line
        if found:
            fields[key.strip().lower()] = value.strip(" =")
        if key.strip() == "ElementDataFile":
            break
    return fields


def _data_file(fields: dict[str, str]) -> str | None:
    """The name of the file that holds the voxels of a header with detached data, else None."""
    name = fields.get("elementdatafile") or fields.get("data file") or fields.get("datafile")
    return None if name in (None, "LOCAL") else name


def _unpacked(file: ZipMember, fields: dict[str, str], folder: Path) -> Path:
    """Copy a header and its detached data from a zip into a folder, for SimpleITK."""
    data = _data_file(fields)
    if data is not None and Path(data).name != data:
        raise InputError("its data file lies outside its folder of the zip.")
    for member in (file, file.beside(data) if data else None):
        if member is not None:
            (folder / member.name).write_bytes(member.read_bytes())
    return folder / file.name


def _gray(values: Array) -> Array:
    """NIfTI's RGB (a structured type) as luma, anything else as it is."""
    names = values.dtype.names
    return values if names is None else luma(np.stack([values[name] for name in names[:3]], axis=-1))


def _three_axes(array: Array) -> Array:
    """(I, J, K) of an image with 2 axes, 3, or more of length 1. Raises InputError."""
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
    return array.astype(np.float32 if array.dtype.kind == "f" else array.dtype.newbyteorder("="), copy=False)


def _assumed(array: Array, spacing_mm: list[float], source: Source, acquisition: Acquisition) -> Volume:
    """A volume whose file gives spacing (2 or 3 lengths) but no orientation."""
    told: tuple[str, ...] = ()
    if len(spacing_mm) < 3:
        spacing_mm = [*spacing_mm, acquisition.frame_spacing_mm or 1.0]
        told = ("One slice only: it has an area but no volume; its thickness is not in the file.",)
    acquisition.check_frame_spacing(spacing_mm[2], "the header's spacing")
    i, j, k = spacing_mm
    affine, orientation = acquisition.affine((i, j, k))
    return _finished(array, affine, orientation, source, told=told)


def _given(array: Array, affine: Array, source: Source, acquisition: Acquisition, *, where: str) -> Volume:
    """A volume whose file gives its affine (RAS mm)."""
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
