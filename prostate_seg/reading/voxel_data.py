"""The voxels of an image or mask file: their layout, decompression and check of every byte."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Literal

import numpy as np

from ..errors import GeometryError, InputError
from ..geometry.volume import Array
from ..system.input_files import InputFile

Encoding = Literal["raw", "deflate", "text", "hex"]

CHUNK_BYTES = 1 << 20
DEFLATE_RATIO = 1032  # largest compression ratio of deflate (zlib, "Technical Details")
TEXT_BYTES = 1 << 26  # largest size of voxels stored as text
SHORTEST_MM, LONGEST_MM = 1e-4, 1e4  # limits of a plausible distance between voxels
FARTHEST_MM = 1e6  # limit of a plausible origin
GZIP_MAGIC = b"\x1f\x8b"


@dataclass(frozen=True, eq=False, repr=False)
class Grid:
    """The voxels of a file and their geometry, as stored in the file.

    Attributes
    ----------
    array
        (I, J, ...), or (I, J, ..., channels) if there are several channels.
    spacing_mm
        Spacing along the first two or three axes.
    affine
        RAS mm; None if the file does not give the orientation of its axes in the patient.
    channels
        Number of values per voxel.
    fields
        Keys and values of the header.
    assumed
        Whether the file states that its orientation is only assumed.
    data_file
        The second file, if the voxels are stored in one.
    """

    array: Array
    spacing_mm: tuple[float, ...]
    affine: Array | None
    channels: int = 1
    fields: dict[str, str] = field(default_factory=dict)
    assumed: bool = False
    data_file: InputFile | None = None


@dataclass(frozen=True)
class Layout:
    """Layout of voxels in a stream.

    Attributes
    ----------
    dtype
        Type of a value, with its byte order.
    count
        Number of values.
    encoding
        Storage of the values.
    skip
        Number of bytes before the voxels, counted after decompression. -1: the voxels are the last bytes.
    """

    dtype: np.dtype[Any]
    count: int
    encoding: Encoding = "raw"
    skip: int = 0

    @property
    def size(self) -> int:
        """Size of the decompressed voxels in bytes."""
        return self.count * self.dtype.itemsize


def unpacked(stream: BinaryIO, layout: Layout) -> Array:
    """Read the voxels (count,) from the current position to the end of a stream, in their own type.

    Memory is allocated only if the stream is long enough to fill it.

    Raises
    ------
    InputError
        The stream holds fewer or more bytes than the voxels, or its compressed data or checksum are wrong.
    """
    if layout.encoding == "text":
        return _from_text(stream, layout)
    if layout.encoding == "hex":
        content = _from_hex(stream, layout.size)
    elif layout.encoding == "deflate":
        content = _inflated(stream, max(layout.skip, 0) + layout.size, last=layout.skip < 0)[max(layout.skip, 0) :]
    else:
        start = stream.tell() + max(layout.skip, 0)
        if layout.skip < 0:
            start = max(start, stream.seek(0, os.SEEK_END) - layout.size)
        stream.seek(start)
        content = _raw(stream, layout.size)
    return np.require(content.view(layout.dtype), requirements=["A", "W"])


def check_geometry(spacing_mm: Array, origin_mm: Array | None = None) -> None:
    """Raise GeometryError if the spacing or the origin is not plausible.

    Parameters
    ----------
    spacing_mm
        Distances between voxels; each must be from 1e-4 to 1e4 mm.
    origin_mm
        Position of the first voxel; each coordinate must be within 1e6 mm of 0. None is not checked.
    """
    for length in np.asarray(spacing_mm, np.float64).tolist():
        if not SHORTEST_MM <= length <= LONGEST_MM:
            raise GeometryError(
                f"its voxels are {length:g} mm apart along one axis, expected {SHORTEST_MM:g} to {LONGEST_MM:g} "
                "mm; correct the spacing in its header."
            )
    if origin_mm is not None and not (np.abs(origin_mm) <= FARTHEST_MM).all():
        raise GeometryError(
            f"its first voxel lies at {np.asarray(origin_mm).tolist()} mm, expected finite positions up to "
            f"{FARTHEST_MM:g} mm; correct the origin in its header."
        )


def damaged(found: str, size: int) -> InputError:
    """Return the error for a file that does not hold the voxels that its header states."""
    return InputError(
        f"the image is damaged or cut short: its file holds {found}, expected {size} bytes of voxels by its "
        "header; copy or export it again."
    )


def _raw(stream: BinaryIO, size: int) -> Array:
    left = _left(stream)
    if left != size:
        raise damaged(f"{left} bytes of them", size)
    content = _room(size)
    if stream.readinto(content.data) != size:  # type: ignore[attr-defined]
        raise damaged("fewer", size)
    return content


def _inflated(stream: BinaryIO, size: int, *, last: bool) -> Array:
    """Decompress ``size`` bytes of zlib or gzip data that fill the rest of a stream.

    If ``last``, up to 1 MiB of decompressed bytes may come before them.
    """
    packed = _left(stream)
    if size > DEFLATE_RATIO * packed:
        raise damaged(f"{packed} compressed bytes, which make at most {DEFLATE_RATIO * packed}", size)
    room = size + CHUNK_BYTES if last else size
    content, done = _room(room), 0
    try:
        for piece in _pieces(stream):
            if done + len(piece) > room:
                raise damaged("more", size)
            content[done : done + len(piece)] = np.frombuffer(piece, np.uint8)
            done += len(piece)
    except zlib.error as error:
        raise damaged("compressed data with a wrong code or checksum, or others behind them", size) from error
    if done < size:
        raise damaged(f"{done} bytes of them", size)
    return content[done - size : done]


def _pieces(stream: BinaryIO) -> Iterator[bytes]:
    """Yield the decompressed bytes of zlib data, or of one or more gzip members, which may be padded with zeros.

    Raises zlib.error if the data are damaged or other bytes follow them.
    """
    chunk = stream.read(CHUNK_BYTES)
    gzipped = chunk.startswith(GZIP_MAGIC)
    while chunk:
        unpacker = zlib.decompressobj(zlib.MAX_WBITS | 16 if gzipped else zlib.MAX_WBITS)
        while not unpacker.eof:
            piece = unpacker.decompress(chunk, CHUNK_BYTES)
            yield piece
            chunk = unpacker.unconsumed_tail
            if not chunk and len(piece) < CHUNK_BYTES and not unpacker.eof:
                chunk = stream.read(CHUNK_BYTES)
                if not chunk:
                    raise zlib.error("cut short")
        chunk = unpacker.unused_data or stream.read(CHUNK_BYTES)
        while gzipped and chunk and not (chunk := chunk.lstrip(b"\0")):
            chunk = stream.read(CHUNK_BYTES)
        if len(chunk) == 1:
            chunk += stream.read(CHUNK_BYTES)
        if chunk and not (gzipped and chunk.startswith(GZIP_MAGIC)):
            raise zlib.error("bytes behind the data")


def _from_hex(stream: BinaryIO, size: int) -> Array:
    text = _text(stream, size)
    try:
        content = np.frombuffer(bytearray.fromhex(text), np.uint8)
    except ValueError as error:
        raise damaged("something else than hexadecimal digits", size) from error
    if content.size != size:
        raise damaged(f"{content.size} bytes of them", size)
    return content


def _from_text(stream: BinaryIO, layout: Layout) -> Array:
    words = _text(stream, layout.count).replace(",", " ").split()
    if len(words) != layout.count:
        raise damaged(f"{len(words)} numbers", layout.size)
    number = float if layout.dtype.kind == "f" else int
    try:
        return np.array([number(word) for word in words], layout.dtype)
    except (ValueError, OverflowError) as error:
        raise damaged(f"text that is no list of {layout.dtype.name} numbers", layout.size) from error


def _text(stream: BinaryIO, count: int) -> str:
    """Return the rest of a stream as text. Raises InputError if it has fewer than ``count`` characters."""
    left = _left(stream)
    if left < count:
        raise damaged(f"{left} characters of text", count)
    if left > TEXT_BYTES:
        raise InputError(f"its voxels are {left} bytes of text, expected at most {TEXT_BYTES}; save it as binary.")
    return stream.read().decode("latin-1")


def _room(size: int) -> Array:
    try:
        return np.empty(size, np.uint8)
    except MemoryError as error:
        raise InputError(f"its {size} bytes of voxels do not fit into memory; export a smaller image.") from error


def _left(stream: BinaryIO) -> int:
    """Return the number of bytes from the current position to the end of a stream."""
    here = stream.tell()
    end = stream.seek(0, os.SEEK_END)
    stream.seek(here)
    return max(0, end - here)
