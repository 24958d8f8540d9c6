"""The voxels of an image or mask file: their layout, and how they are unpacked and checked to the last byte."""

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
DEFLATE_RATIO = 1032  # deflate makes at most this many bytes of one (zlib, "Technical Details")
TEXT_BYTES = 1 << 26  # of the longest list of numbers as text
SHORTEST_MM, LONGEST_MM = 1e-4, 1e4  # of a distance between voxels that can be meant
FARTHEST_MM = 1e6  # of an origin that can be meant
GZIP_MAGIC = b"\x1f\x8b"


@dataclass(frozen=True, eq=False, repr=False)
class Grid:
    """The voxels of a file and their place, as the file gives them.

    array: (I, J, ...), with several channels (I, J, ..., channels). spacing_mm: along the first two or three
    axes. affine: RAS mm; None if the file does not say how its axes lie in the patient. channels: values a
    voxel. fields: the keys and values of the header. assumed: whether the file says that its orientation is a
    convention. data_file: the second file, if the voxels lie in one.
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
    """How voxels lie in a stream.

    skip: bytes before the voxels, unpacked ones if the voxels are packed; -1: as many as there are.
    """

    dtype: np.dtype[Any]
    count: int
    encoding: Encoding = "raw"
    skip: int = 0

    @property
    def size(self) -> int:
        """Bytes of the unpacked voxels."""
        return self.count * self.dtype.itemsize


def unpacked(stream: BinaryIO, layout: Layout) -> Array:
    """The voxels (count,) between here and the end of the stream, in their own type.

    The stream must hold exactly these, with the right checksum if they are packed. Nothing is allocated that
    the stream cannot fill. Raises InputError.
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
    """Raise GeometryError for distances between voxels, or a place of the first one, that cannot be meant."""
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
    """The error for a file that does not hold the voxels of its header."""
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
    """Size bytes from zlib or gzip data that fill the rest of a stream; last: up to 1 MiB may come before them."""
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
    """What zlib data, or one or more gzip members padded with zeros, unpack to. Raises zlib.error."""
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
    """The rest of a stream as text, which holds at least count characters."""
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
    """Bytes between here and the end of a stream."""
    here = stream.tell()
    end = stream.seek(0, os.SEEK_END)
    stream.seek(here)
    return max(0, end - here)
