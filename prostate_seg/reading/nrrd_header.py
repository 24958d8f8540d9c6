"""Headers of NRRD files (https://teem.sourceforge.net/nrrd/format.html), attached and detached."""

from __future__ import annotations

import math
import re
from typing import BinaryIO

import numpy as np

from ..errors import GeometryError, InputError
from .image_header import MOST_VOXELS, ImageHeader, header_lines, lengths, numbers, plain_name, shown, whole
from .voxel_data import Encoding, Layout

_INTEGERS = {
    "i1": ("signed char", "int8", "int8_t"),
    "u1": ("uchar", "unsigned char", "uint8", "uint8_t"),
    "i2": ("short", "short int", "signed short", "signed short int", "int16", "int16_t"),
    "u2": ("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"),
    "i4": ("int", "signed int", "int32", "int32_t"),
    "u4": ("uint", "unsigned int", "uint32", "uint32_t"),
    "i8": (
        "longlong",
        "long long",
        "long long int",
        "signed long long",
        "signed long long int",
        "int64",
        "int64_t",
    ),
    "u8": ("ulonglong", "unsigned long long", "unsigned long long int", "uint64", "uint64_t"),
}
TYPES = {name: code for code, names in _INTEGERS.items() for name in names} | {"float": "f4", "double": "f8"}
ENCODINGS: dict[str, Encoding] = {
    "raw": "raw",
    **dict.fromkeys(("gz", "gzip"), "deflate"),
    **dict.fromkeys(("txt", "text", "ascii"), "text"),
    "hex": "hex",
}
FIELDS = (
    *("number", "type", "blocksize", "content", "dimension", "space", "spacedimension", "sizes", "spacings"),
    *(
        "thicknesses",
        "axismins",
        "axismaxs",
        "spacedirections",
        "centers",
        "centerings",
        "kinds",
        "labels",
        "units",
    ),
    *("min", "max", "oldmin", "oldmax", "endian", "encoding", "lineskip", "byteskip", "sampleunits", "spaceunits"),
    *("spaceorigin", "measurementframe", "datafile"),
)
PATIENT_SPACES = (
    *("right-anterior-superior", "ras", "left-anterior-superior", "las"),
    *("left-posterior-superior", "lps"),
)
OTHER_SPACES = ("scanner-xyz", "3d-right-handed", "3d-left-handed")
MM_PER_UNIT = {
    **dict.fromkeys(("mm", "millimeter", "millimeters", "millimetre", "millimetres", "", "???"), 1.0),
    **dict.fromkeys(("cm", "centimeter", "centimeters", "centimetre", "centimetres"), 10.0),
    **dict.fromkeys(("m", "meter", "meters", "metre", "metres"), 1000.0),
    **dict.fromkeys(("um", "µm", "μm", "micron", "microns", "micrometer", "micrometers", "micrometre"), 0.001),
}
SPATIAL_KINDS = frozenset(("domain", "space", "", "???", "none"))
MOST_AXES = 16
_VECTOR = re.compile(r"none|\([^()]*\)")


def nrrd_fields(stream: BinaryIO) -> tuple[dict[str, str], dict[str, str]]:
    """Read the fields and the keys of a NRRD header, with their values.

    The names of fields are returned in lower case without blanks. If a key occurs twice, its last value is used.
    Afterwards the stream is at the end of the header.

    Raises
    ------
    InputError
        The file is not NRRD, a line is neither a field nor a key, or a field occurs twice.
    """
    fields: dict[str, str] = {}
    keys: dict[str, str] = {}
    magic, *lines = header_lines(stream, re.compile("")) or [""]
    if not re.fullmatch(r"NRRD\d{4}", magic):
        raise InputError("it does not begin like a NRRD file; export it again.")
    for number, line in enumerate(lines, 2):
        if not line or line.startswith("#"):
            continue
        name, colon, value = line.partition(": ")
        field = name.replace(" ", "").lower()
        if colon and field in FIELDS:
            found, key, value = fields, field, value.strip()
            if field == "datafile":
                plain_name(value)  # checked here, because the lines of a list would follow
        elif ":=" in line:
            key, _, value = line.partition(":=")
            found, value = keys, re.sub(r"\\[n\\]", lambda code: "\n" if code[0][1] == "n" else "\\", value)
        else:
            raise InputError(f"line {number} of its NRRD header is neither a field nor a key; export it again.")
        if found is fields and key in fields:
            raise InputError(f"line {number} of its NRRD header gives a field again; leave one of the two.")
        found[key] = value
    return fields, keys


def nrrd_header(stream: BinaryIO) -> ImageHeader:
    """Read and check the header of a NRRD file.

    Afterwards the stream is at the end of the header.

    Raises
    ------
    InputError
        A field is missing, wrong or not supported.
    GeometryError
        The number of axes is wrong, or the spacing, the space, the directions or the unit of length are missing,
        unknown or contradictory.
    """
    fields, keys = nrrd_fields(stream)
    for name in ("type", "dimension", "sizes", "encoding"):
        if name not in fields:
            raise InputError(f"its NRRD header has no field '{name}'; export it again.")
    axes = whole(fields["dimension"], "dimension", least=1, most=MOST_AXES)
    sizes = lengths(fields["sizes"], axes, "field 'sizes'")
    channel_axis = _channel_axis(fields, axes)
    spatial = [axis for axis in range(axes) if axis != channel_axis]
    if not 2 <= len(spatial) <= 4:
        raise GeometryError(f"it has {len(spatial)} axes beside channels, expected 2 or 3; export one image.")
    lines, oriented = _geometry(fields, axes, spatial)
    return ImageHeader(
        fields=keys,
        shape=tuple(sizes[axis] for axis in spatial),
        layout=_layout(fields, math.prod(sizes)),
        geometry="\n".join(
            ["NRRD0005", "type: uint8", f"dimension: {axes}", f"sizes: {' '.join(map(str, sizes))}", *lines, ""]
        ),
        oriented=oriented,
        channels=1 if channel_axis is None else sizes[channel_axis],
        channel_axis=channel_axis or 0,
        mm_per_unit=_mm_per_unit(fields, spatial),
        data_file=fields.get("datafile"),
        line_skip=whole(fields.get("lineskip", "0"), "line skip", least=0, most=1_000_000),
    )


def _layout(fields: dict[str, str], count: int) -> Layout:
    kind, encoding = TYPES.get(fields["type"].lower()), ENCODINGS.get(fields["encoding"].lower())
    if kind is None:
        raise InputError("its NRRD header gives no type of number that is known; export it as int16 or uint8.")
    if encoding is None:
        raise InputError("its encoding is not supported, expected raw, gzip, text or hex; export it again.")
    endian = fields.get("endian", "little" if kind.endswith("1") or encoding == "text" else "").lower()
    if endian not in ("little", "big"):
        raise InputError(
            "its NRRD header does not say whether its numbers are little or big endian; export it again."
        )
    least = -1 if encoding in ("raw", "deflate") else 0
    skip = whole(fields.get("byteskip", "0"), "byte skip", least=least, most=MOST_VOXELS)
    if skip and encoding in ("text", "hex"):
        raise InputError("its byte skip is meant for binary voxels, but they are text; export it again.")
    return Layout(np.dtype(kind).newbyteorder("<" if endian == "little" else ">"), count, encoding, skip)


def _channel_axis(fields: dict[str, str], axes: int) -> int | None:
    """Return the only axis that is not spatial by its kind, or None.

    Raises InputError if an axis is time, or if several axes are not spatial.
    """
    kinds = fields["kinds"].lower().split() if "kinds" in fields else ["domain"] * axes
    if len(kinds) != axes:
        raise InputError(f"its header has {len(kinds)} kinds for {axes} axes; correct the header.")
    if "time" in kinds or fields.get("space", "").lower().endswith(("-time", "rast", "last", "lpst")):
        raise InputError("one of its axes is time, expected an image of one moment; export one.")
    others = [axis for axis, kind in enumerate(kinds) if kind not in SPATIAL_KINDS]
    if len(others) > 1:
        raise InputError(f"{len(others)} of its axes are not spatial by their kinds, expected one at most.")
    return others[0] if others else None


def _geometry(fields: dict[str, str], axes: int, spatial: list[int]) -> tuple[list[str], bool]:
    """Return the checked lines of the geometry, and whether they give the orientation in the patient."""
    space = fields.get("space", "").lower()
    if space and space not in (*PATIENT_SPACES, *OTHER_SPACES):
        raise GeometryError("its space is unknown, expected one like left-posterior-superior; export it again.")
    if space and "spacedimension" in fields:
        raise GeometryError("its header gives a space and a space dimension, expected one of them; correct it.")
    size = 3 if space else whole(fields.get("spacedimension", "0"), "space dimension", least=0, most=3)
    lines = [f"space: {space}"] if space else [f"space dimension: {size}"] if size else []
    if "kinds" in fields:
        lines.append("kinds: " + " ".join("domain" if axis in spatial else "list" for axis in range(axes)))
    if directed := _directed(fields, axes, size):
        vectors = (directed.get(axis, "none") for axis in range(axes))
        lines.append("space directions: " + " ".join(vectors))
    if size and "spaceorigin" in fields:
        lines.append("space origin: " + _vector(fields["spaceorigin"], size, "space origin"))
    if spaced := _spaced(fields, axes):
        lines.append("spacings: " + " ".join(spaced.get(axis, "nan") for axis in range(axes)))
    if size and spaced:
        raise GeometryError(
            "its header names a space and gives spacings, expected space directions; export it again."
        )
    if not set(spatial[:3]) <= directed.keys() | spaced.keys():
        raise GeometryError("the header has no spacing (space directions, spacings or ElementSpacing); add it.")
    lines += ["endian: little", "encoding: raw"]
    return lines, space in PATIENT_SPACES and set(spatial[:3]) <= directed.keys()


def _spaced(fields: dict[str, str], axes: int) -> dict[int, str]:
    """Return the spacings of the axes in the field ``spacings``, as text."""
    if "spacings" not in fields:
        return {}
    words = fields["spacings"].split()
    if len(words) != axes:
        raise GeometryError(f"its header has {len(words)} spacings for {axes} axes; correct it.")
    spaced = {axis: numbers(word, 1, "spacing")[0] for axis, word in enumerate(words) if word.lower() != "nan"}
    for axis, spacing in spaced.items():
        if spacing <= 0:
            raise GeometryError(f"its spacing is {shown(words[axis])}, expected a positive length in mm.")
    return {axis: repr(spacing) for axis, spacing in spaced.items()}


def _directed(fields: dict[str, str], axes: int, size: int) -> dict[int, str]:
    """Return the space directions of the axes that have one, as text."""
    if "spacedirections" not in fields:
        return {}
    text = fields["spacedirections"]
    vectors = _VECTOR.findall(text)
    if not size or len(vectors) != axes or _VECTOR.sub("", text).strip():
        raise GeometryError(f"its space directions are not {axes} vectors of a space that it names; correct it.")
    return {
        axis: _vector(vector, size, "space direction") for axis, vector in enumerate(vectors) if vector != "none"
    }


def _vector(text: str, size: int, what: str) -> str:
    """Check a vector and return it in a standard notation."""
    if not (text.startswith("(") and text.endswith(")")):
        raise GeometryError(
            f"its {what} is {shown(text)}, expected {size} numbers in brackets; correct the header."
        )
    parts = text[1:-1].split(",")
    if len(parts) != size:
        raise GeometryError(
            f"its {what} is {shown(text)}, expected {size} numbers in brackets; correct the header."
        )
    return "(" + ",".join(repr(numbers(part, 1, what)[0]) for part in parts) + ")"


def _mm_per_unit(fields: dict[str, str], spatial: list[int]) -> float:
    """Return the unit of the geometry in mm, from ``space units`` or else from the ``units`` of the axes."""
    quoted = re.compile(r'"([^"\\]*)"')
    units = quoted.findall(fields.get("spaceunits", ""))
    if not units:
        of_axes = quoted.findall(fields.get("units", ""))
        units = [of_axes[axis] for axis in spatial if axis < len(of_axes)]
    found = {MM_PER_UNIT.get(unit.strip().lower()) for unit in units[:3]}
    if len(found) > 1 or None in found:
        raise GeometryError("its unit of length is unknown or not one for all axes, expected mm; export it in mm.")
    return next((factor for factor in found if factor), 1.0)
