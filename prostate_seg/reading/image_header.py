"""Common parts of NRRD and MetaImage headers: lines of limited length, checked numbers, the data file."""

from __future__ import annotations

import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from ..errors import InputError
from ..system.input_files import InputFile, ZipMember
from .voxel_data import Layout

HEADER_BYTES = 1 << 20
HEADER_LINES = 20_000
MOST_VOXELS = 1 << 40
SMALLEST, LARGEST = 1e-300, 1e12  # smaller numbers become 0 (ITK reads no subnormal ones), larger are rejected
_NUMBER = re.compile(r"[+-]?(\d{1,40}\.?\d{0,40}|\.\d{1,40})([eE][+-]?\d{1,3})?", re.ASCII)


@dataclass(frozen=True)
class ImageHeader:
    """Checked header of a NRRD or MetaImage file.

    Attributes
    ----------
    fields
        Keys and values of the header that are not fields of the format.
    shape
        Lengths of the spatial axes, the fastest axis first.
    layout
        Layout of the voxels.
    geometry
        A new header for ITK that holds only the geometry.
    oriented
        Whether the axis directions in the patient are given.
    channels
        Number of values per voxel.
    channel_axis
        Index of the channel axis among all axes of the file.
    mm_per_unit
        Unit of the spacing and the origin, in mm.
    data_file
        Name of the file that holds the voxels; None if they are in the same file as the header.
    packed_bytes
        Size of the compressed voxels; None if the header does not give it.
    line_skip
        Number of lines before the voxels.
    """

    fields: dict[str, str]
    shape: tuple[int, ...]
    layout: Layout
    geometry: str
    oriented: bool
    channels: int = 1
    channel_axis: int = 0
    mm_per_unit: float = 1.0
    data_file: str | None = None
    packed_bytes: int | None = None
    line_skip: int = 0


def header_lines(stream: BinaryIO, last: re.Pattern[str]) -> list[str]:
    """Read the lines of a header, up to and including the first line that ``last`` matches.

    Afterwards the stream is behind this line. Raises InputError if the header is too long or has control
    characters, which include other line ends than LF and CR LF.
    """
    lines: list[str] = []
    left = HEADER_BYTES
    while left > 0 and len(lines) < HEADER_LINES and (line := stream.readline(left)):
        left -= len(line)
        text = _decoded(line.removesuffix(b"\n").removesuffix(b"\r"))
        if any(character < " " and character != "\t" for character in text):
            raise InputError("its header has control characters, expected lines of text; export it again.")
        lines.append(text)
        if last.fullmatch(text):
            return lines
    if left <= 0 or len(lines) >= HEADER_LINES:
        raise InputError(
            f"its header is longer than {HEADER_BYTES >> 20} MiB or {HEADER_LINES} lines; remove keys from it."
        )
    return lines


def numbers(text: str, count: int, what: str) -> list[float]:
    """Return the numbers in a text that are separated by blanks; values below 1e-300 become 0.

    Parameters
    ----------
    text
        The text.
    count
        The expected number of values.
    what
        Name of the field, for the message.

    Raises
    ------
    InputError
        The text does not hold ``count`` numbers, or a number is larger than 1e12.
    """
    words = text.split()
    if len(words) != count or not all(_NUMBER.fullmatch(word) for word in words):
        raise InputError(f"its {what} is {shown(text)}, expected {count} finite numbers; correct the header.")
    found = [float(word) for word in words]
    if any(abs(value) > LARGEST for value in found):
        raise InputError(f"its {what} is {shown(text)}, expected numbers up to {LARGEST:g}; correct the header.")
    return [value if abs(value) >= SMALLEST else 0.0 for value in found]


def whole(text: str, what: str, *, least: int, most: int) -> int:
    """Return a whole number. Raises InputError if the text is not a whole number from ``least`` to ``most``."""
    if not re.fullmatch(r"-?\d{1,18}", text.strip(), re.ASCII) or not least <= int(text) <= most:
        raise InputError(f"its {what} is {shown(text)}, expected a whole number from {least} to {most}.")
    return int(text)


def lengths(text: str, count: int, what: str) -> tuple[int, ...]:
    """Return the numbers of voxels along ``count`` axes. Raises InputError if one of them is less than 1."""
    words = text.split()
    if len(words) != count:
        raise InputError(f"its {what} has {len(words)} lengths, expected {count}, one an axis; correct the header.")
    found = tuple(whole(word, what, least=0, most=MOST_VOXELS) for word in words)
    if 0 in found:
        raise InputError(f"it is empty, shape {found}.")
    return found


def shown(text: str) -> str:
    """Return the value of a geometric field for a message. A value that is long or not numeric is not quoted."""
    return (
        repr(text)
        if len(text) <= 40 and re.fullmatch(r"[\d .,+()eEinfatyINFATY-]*", text, re.ASCII)
        else "no such thing"
    )


def plain_name(name: str) -> str:
    """Return ``name`` if it is the plain name of one data file, in the folder of its header.

    Raises InputError for a path, a pattern or a list, because these could name any file on this computer.
    """
    if re.search(r"[/\\%:]", name) or name.strip(". ") == "" or name.split(maxsplit=1)[0].lower() == "list":
        raise InputError(
            "its header names its data file by a path, a pattern or a list; expected the plain name of one file "
            "in the same folder: put them together, or save image and header as one file."
        )
    return name


def data_file_of(file: InputFile, name: str) -> InputFile:
    """Return the data file of a header.

    Raises InputError if it is missing, is not a regular file in the folder of the header, or is the header itself.
    """
    if isinstance(file, ZipMember):
        beside = file.beside(name)
        if beside is None or beside == file:
            raise InputError("the image is damaged, or its data file is missing.")
        return beside
    path = file.parent / name
    try:
        target, mode = path.resolve(strict=True), path.stat().st_mode
    except (OSError, RuntimeError) as error:
        raise InputError("the image is damaged, or its data file is missing.") from error
    if not stat.S_ISREG(mode) or target == file.resolve():
        raise InputError(
            "its data file is no regular file of its own (a folder, a pipe or itself); export it again."
        )
    if target.parent != file.parent.resolve():
        raise InputError(
            "its data file is a link to another folder, expected a file beside the header; copy the file there."
        )
    return Path(target)


def _decoded(line: bytes) -> str:
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError:
        return line.decode("latin-1")
