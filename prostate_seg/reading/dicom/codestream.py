"""Size of compressed frames, read from their codestream before decoding.

A decoder allocates memory by the size in the codestream, which may differ from the size in the DICOM header. A
JPEG, JPEG-LS or JPEG 2000 frame states its size, components and bits. An RLE frame states the offsets of its
segments.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from itertools import pairwise

from ...errors import InputError

START = {b"\xff\xd8": "JPEG", b"\xff\x4f": "JPEG 2000"}  # first bytes of a frame
JP2_BOX = b"\x00\x00\x00\x0cjP  "
RLE_HEADER, RLE_RUN = 64, 64  # bytes of the header; largest expansion of a byte in a segment
_NO_FRAME = frozenset([0xC4, 0xC8, 0xCC])  # JPEG markers C0 to CF that start no frame: tables, extensions
_BARE = frozenset([0x01, *range(0xD0, 0xD9)])  # JPEG markers without a segment


@dataclass(frozen=True)
class FrameSize:
    """Size of one frame, from the DICOM header or from a codestream."""

    columns: int
    rows: int
    samples: int
    bits: int

    def __str__(self) -> str:
        return f"{self.columns} x {self.rows} pixels of {self.samples} samples with {self.bits} bits"


def starts_frame(fragment: bytes) -> bool:
    """Return whether a fragment begins like a JPEG, JPEG-LS or JPEG 2000 frame."""
    return fragment[:2] in START or fragment.startswith(JP2_BOX)


def check_frame(data: bytes, expected: FrameSize, number: int) -> None:
    """Raise InputError if the size of a compressed frame differs from the header, or its bits exceed the header's.

    Parameters
    ----------
    data
        The compressed frame.
    expected
        Size by the header; its bits are (0028,0100) Bits Allocated.
    number
        Number of the frame, from 1, for the message.
    """
    found = frame_size(data)
    if found is None:
        raise InputError(
            f"the pixels cannot be decoded: frame {number} does not begin with a JPEG, JPEG-LS or JPEG 2000 "
            "header; the file is damaged."
        )
    if (found.columns, found.rows, found.samples) != (expected.columns, expected.rows, expected.samples) or (
        found.bits > expected.bits
    ):
        raise InputError(
            f"frame {number} is compressed as {found}, expected {expected} by (0028,0011) Columns, (0028,0010) "
            "Rows, (0028,0002) Samples per Pixel and (0028,0100) Bits Allocated; correct the header."
        )


def frame_size(data: bytes) -> FrameSize | None:
    """Return the size that a codestream states, or None if its header cannot be read."""
    try:
        return _jpeg_2000(data) if data[:2] == b"\xff\x4f" or data.startswith(JP2_BOX) else _jpeg(data)
    except (struct.error, IndexError):
        return None


def check_rle_frame(data: bytes, expected: FrameSize, number: int) -> None:
    """Raise InputError if the segments of an RLE frame are too short or far too long for its pixels (PS3.5 G).

    It also raises InputError if the number or the offsets of the segments are wrong. The parameters are those of
    :func:`check_frame`.
    """
    pixels, count = expected.columns * expected.rows, expected.samples * expected.bits // 8
    found = struct.unpack("<L", data[:4])[0] if len(data) >= RLE_HEADER else 0
    edges = [*struct.unpack(f"<{count}L", data[4 : 4 + 4 * count]), len(data)] if found == count <= 15 else []
    sizes = [end - start for start, end in pairwise(edges)]
    if not sizes or edges[0] < RLE_HEADER or any(not pixels <= RLE_RUN * size for size in sizes):
        raise InputError(
            f"the pixels cannot be decoded: frame {number} is no RLE of {expected} in {len(data)} bytes; the file "
            "is damaged."
        )
    if max(sizes) > 2 * pixels + RLE_HEADER:  # even one run for each pixel takes only 2 bytes
        raise InputError(
            f"an RLE segment of frame {number} has {max(sizes)} bytes, expected at most {2 * pixels} for "
            f"{expected.columns} x {expected.rows} pixels; the file is damaged."
        )


def _jpeg_2000(data: bytes) -> FrameSize | None:
    """Read the size from the SIZ segment (ISO 15444-1 A.5.1) of a codestream, or of one in a JP2 file."""
    start = 0
    if data.startswith(JP2_BOX):
        while data[start + 4 : start + 8] != b"jp2c":
            length = struct.unpack_from(">L", data, start)[0]
            if length < 8:
                return None
            start += length
        start += 8
    if data[start : start + 4] != b"\xff\x4f\xff\x51":
        return None
    right, bottom, left, top = struct.unpack_from(">4L", data, start + 8)
    components = struct.unpack_from(">H", data, start + 40)[0]
    bits = [(data[start + 42 + 3 * component] & 0x7F) + 1 for component in range(components)]
    return FrameSize(right - left, bottom - top, components, max(bits, default=0))


def _jpeg(data: bytes) -> FrameSize | None:
    """Read the size from the frame header of JPEG (ISO 10918-1 B.2.2) or JPEG-LS (ISO 14495-1 C.2.2)."""
    if data[:2] != b"\xff\xd8":
        return None
    at = 2
    while data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:  # a fill byte
            at += 1
        elif marker in _BARE:
            at += 2
        elif (0xC0 <= marker <= 0xCF and marker not in _NO_FRAME) or marker == 0xF7:
            bits, rows, columns, components = struct.unpack_from(">BHHB", data, at + 4)
            return FrameSize(columns, rows, components, bits)
        else:
            at += 2 + struct.unpack_from(">H", data, at + 2)[0]
    return None
