"""Headers of MetaImage files (``.mha`` and ``.mhd``), as ITK's MetaIO writes them."""

from __future__ import annotations

import math
import re
from typing import BinaryIO

import numpy as np

from ..errors import GeometryError, InputError
from .image_header import MOST_VOXELS, ImageHeader, header_lines, lengths, numbers, plain_name, whole
from .voxel_data import Encoding, Layout

TYPES = {
    **{
        "MET_CHAR": "i1",
        "MET_UCHAR": "u1",
        "MET_SHORT": "i2",
        "MET_USHORT": "u2",
        "MET_INT": "i4",
        "MET_UINT": "u4",
    },
    **{"MET_LONG": "i4", "MET_ULONG": "u4", "MET_LONG_LONG": "i8", "MET_ULONG_LONG": "u8"},
    **{"MET_FLOAT": "f4", "MET_DOUBLE": "f8"},
}
MM_PER_UNIT = {"mm": 1.0, "": 1.0, "?": 1.0, "cm": 10.0, "um": 0.001}
MATRICES = ("TransformMatrix", "Rotation", "Orientation")
VECTORS = ("Offset", "Position", "Origin", "CenterOfRotation", "ElementSpacing", "ElementSize")
FIELDS = (
    *("ObjectType", "NDims", "BinaryData", "BinaryDataByteOrderMSB", "ElementByteOrderMSB", "CompressedData"),
    *("CompressedDataSize", "HeaderSize", "DimSize", "ElementType", "ElementNumberOfChannels", "DistanceUnits"),
    *("ElementDataFile", *MATRICES, *VECTORS),
)
MISSPELT = {name.lower() for name in FIELDS} - {"orientation"}  # "orientation = assumed" is a key of this package
MOST_CHANNELS = 4096
LOCAL = ("LOCAL", "Local", "local")
_LAST = re.compile(r"\s*ElementDataFile\s*=.*", re.IGNORECASE)


def metaimage_fields(stream: BinaryIO) -> tuple[dict[str, str], dict[str, str]]:
    """Read the fields of a MetaImage header, and its other keys with their values.

    Field names must have the capital letters of MetaIO. If a key that is not a field occurs twice, its last value
    is used. Afterwards the stream is at the end of the header.

    Raises
    ------
    InputError
        A line is not ``key = value``, a field name has other capital letters, or a field occurs twice.
    """
    fields: dict[str, str] = {}
    keys: dict[str, str] = {}
    for number, line in enumerate(header_lines(stream, _LAST), 1):
        key, equals, value = (part.strip() for part in line.partition("="))
        if not line.strip() or key == "Comment":
            continue
        found = fields if key in FIELDS else keys
        if not equals or not key or (found is keys and key.lower() in MISSPELT):
            raise InputError(
                f"line {number} of its MetaImage header is no 'key = value', or its key has other capitals than "
                "MetaIO's; export it again."
            )
        if key in fields:
            raise InputError(f"line {number} of its MetaImage header gives a key again; leave one of the two.")
        found[key] = value
    return fields, keys


def metaimage_header(stream: BinaryIO) -> ImageHeader:
    """Read and check the header of a MetaImage file.

    Afterwards the stream is at the end of the header.

    Raises
    ------
    InputError
        A field is missing, wrong or not supported.
    GeometryError
        The spacing is missing or not positive, or its unit is unknown.
    """
    fields, keys = metaimage_fields(stream)
    for name in ("NDims", "DimSize", "ElementType", "ElementDataFile"):
        if name not in fields:
            raise InputError(f"its MetaImage header has no {name}; it is damaged or cut short: export it again.")
    if fields.get("ObjectType", "Image") != "Image":
        raise InputError("its ObjectType is not Image; give the image.")
    axes = whole(fields["NDims"], "NDims", least=2, most=4)
    shape = lengths(fields["DimSize"], axes, "DimSize")
    channels = whole(fields.get("ElementNumberOfChannels", "1"), "channel count", least=1, most=MOST_CHANNELS)
    name, compressed = fields["ElementDataFile"], _flag(fields, "CompressedData")
    packed = fields.get("CompressedDataSize")
    return ImageHeader(
        fields=keys,
        shape=shape,
        layout=_layout(fields, math.prod(shape) * channels, compressed=compressed),
        geometry=_geometry(fields, axes, shape, channels),
        oriented="TransformMatrix" in fields,
        channels=channels,
        mm_per_unit=_mm_per_unit(fields),
        data_file=None if name in LOCAL else plain_name(name),
        packed_bytes=whole(packed, "CompressedDataSize", least=0, most=MOST_VOXELS)
        if packed and compressed
        else None,
    )


def _layout(fields: dict[str, str], count: int, *, compressed: bool) -> Layout:
    kind = TYPES.get(fields["ElementType"].removesuffix("_ARRAY"))
    if kind is None:
        raise InputError("its ElementType is not known, expected one like MET_UCHAR or MET_SHORT; export it again.")
    big = [_flag(fields, name) for name in ("BinaryDataByteOrderMSB", "ElementByteOrderMSB") if name in fields]
    if len(set(big)) > 1:
        raise InputError("its header says that its numbers are big endian and that they are not; export it again.")
    encoding: Encoding = "deflate" if compressed else "raw" if _flag(fields, "BinaryData", "True") else "text"
    skip = whole(fields.get("HeaderSize", "0"), "HeaderSize", least=-1, most=MOST_VOXELS)
    if (skip and encoding != "raw") or (skip > 0 and fields["ElementDataFile"] in LOCAL):
        raise InputError("its HeaderSize is meant for raw voxels in a file of their own; export it again.")
    return Layout(np.dtype(kind).newbyteorder(">" if any(big) else "<"), count, encoding, skip)


def _geometry(fields: dict[str, str], axes: int, shape: tuple[int, ...], channels: int) -> str:
    if "ElementSpacing" not in fields and "ElementSize" not in fields:
        raise GeometryError("the header has no spacing (space directions, spacings or ElementSpacing); add it.")
    lines = ["ObjectType = Image", f"NDims = {axes}", "BinaryData = True", "BinaryDataByteOrderMSB = False"]
    for name in (*MATRICES, *VECTORS):
        if name in fields:
            found = numbers(fields[name], axes * axes if name in MATRICES else axes, name)
            if name.startswith("Element") and min(found) <= 0:
                raise GeometryError(f"its {name} has the length {min(found):g}, expected positive ones in mm.")
            lines.append(f"{name} = {' '.join(map(repr, found))}")
    lines += [f"DimSize = {' '.join(map(str, shape))}", f"ElementNumberOfChannels = {channels}"]
    return "\n".join([*lines, "ElementType = MET_UCHAR", "ElementDataFile = LOCAL", ""])


def _flag(fields: dict[str, str], name: str, default: str = "False") -> bool:
    """Return a field as True or False, decided by its first letter as MetaIO does."""
    value = fields.get(name, default)
    if value[:1] not in tuple("tTfF10"):
        raise InputError(f"its {name} is neither True nor False; export it again.")
    return value[:1] in tuple("tT1")


def _mm_per_unit(fields: dict[str, str]) -> float:
    factor = MM_PER_UNIT.get(fields.get("DistanceUnits", "").lower())
    if factor is None:
        raise GeometryError("its DistanceUnits are unknown, expected mm, cm or um; export it in mm.")
    return factor
