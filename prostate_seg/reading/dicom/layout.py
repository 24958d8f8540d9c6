"""Checks of DICOM pixel data against the header, before memory for the pixels is allocated.

- Uncompressed: the number of bytes must fit frames x rows x columns x samples x bits.
- Compressed: the number of frames and the size of each frame must be those of the header.
- Deflated: the file is inflated only up to the size that the header states.
"""

from __future__ import annotations

import struct
import zlib
from io import BytesIO
from typing import BinaryIO

from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import generate_frames
from pydicom.filereader import read_dataset
from pydicom.filewriter import write_file_meta_info
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from ...errors import InputError
from .codestream import FrameSize, check_frame, check_rle_frame, starts_frame
from .numbers import frame_count, whole

DECODERS: dict[str, str] = {  # transfer syntax -> pydicom's decoding plugin, "" if uncompressed
    **dict.fromkeys((ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian), ""),
    **dict.fromkeys((JPEGBaseline8Bit, JPEGExtended12Bit), "pillow"),
    **dict.fromkeys((JPEGLossless, JPEGLosslessSV1), "gdcm"),
    **dict.fromkeys((JPEGLSLossless, JPEGLSNearLossless), "pyjpegls"),
    **dict.fromkeys((JPEG2000Lossless, JPEG2000, HTJ2KLossless, HTJ2KLosslessRPCL, HTJ2K), "pylibjpeg"),
    RLELossless: "pydicom",
}
JPEG_XL = {  # supplement 232; pydicom has no names for these
    "1.2.840.10008.1.2.4.110": "JPEG XL Lossless",
    "1.2.840.10008.1.2.4.111": "JPEG XL JPEG Recompression",
    "1.2.840.10008.1.2.4.112": "JPEG XL",
}
LARGEST_FRAME = 1 << 26  # pixels: 8192 x 8192
LARGEST_INFLATED = 1 << 30  # bytes of pixels in a deflated file
HEADER_BYTES = 1 << 26  # bytes of attributes before the pixels of a deflated file
MOST_COMPRESSED = 2000  # decoded bytes per compressed byte: black frames in JPEG 2000; deflate reaches 1032
PIXEL_DATA, ITEM, DELIMITER = (0x7FE0, 0x0010), (0xFFFE, 0xE000), (0xFFFE, 0xE0DD)


def transfer_syntax(header: Dataset) -> str:
    """Return the transfer syntax, which is a key of DECODERS.

    Raises InputError with its name if these pixels cannot be decoded.
    """
    syntax = str(header.file_meta.get("TransferSyntaxUID", ""))
    if syntax not in DECODERS:
        known = UID(syntax).name if UID(syntax).is_transfer_syntax else "unknown"
        raise InputError(
            f"the pixels cannot be decoded from (0002,0010) transfer syntax {JPEG_XL.get(syntax, known)!r}; "
            "convert the file to an uncompressed one."
        )
    return syntax


def inflated(stream: BinaryIO, pixel_bytes: int | None = None) -> BinaryIO:
    """Return a DICOM file at its beginning: the stream itself, or the inflated form of a deflated file.

    Parameters
    ----------
    stream
        The file, at its beginning.
    pixel_bytes
        Size of the decoded pixels by the header. A deflated file is inflated completely, to at most this size (up
        to 1 GiB) plus 64 MiB. None: a deflated file is inflated to at most 64 MiB, to read only the attributes
        before the pixels.

    Raises
    ------
    InputError
        The deflated data are damaged, are cut short, or exceed the limit. With ``pixel_bytes`` None, only damage
        raises an error.
    """
    meta = Dataset()
    if stream.read(132)[128:] == b"DICM":
        meta = read_dataset(stream, False, True, stop_when=lambda tag, vr, length: tag >> 16 != 2)
    if meta.get("TransferSyntaxUID") != DeflatedExplicitVRLittleEndian:
        stream.seek(0)
        return stream
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    plain = BytesIO(b"\0" * 128 + b"DICM")
    plain.seek(0, 2)
    write_file_meta_info(plain, FileMetaDataset(meta), enforce_standard=False)
    packed = stream.read()
    most = min(pixel_bytes or 0, LARGEST_INFLATED) + HEADER_BYTES
    engine, left = zlib.decompressobj(-zlib.MAX_WBITS), most
    try:
        while left > 0 and (block := engine.decompress(packed, min(left, 1 << 20))):
            plain.write(block)
            packed, left = engine.unconsumed_tail, left - len(block)
    except zlib.error:
        raise InputError(
            "the deflated file cannot be inflated, expected a deflate stream; it is damaged."
        ) from None
    if pixel_bytes is not None and not engine.eof:
        reason = f"inflates to over {most} bytes" if left <= 0 else f"ends after {most - left} inflated bytes"
        raise InputError(
            f"the deflated file {reason}, expected {pixel_bytes} bytes of pixels and at most {HEADER_BYTES} of "
            "attributes; the file is damaged."
        )
    plain.seek(0)
    return plain


def decoded_bytes(header: Dataset) -> int:
    """Return the size of all decoded frames in bytes, by the header."""
    size = frame_by_header(header)
    return frame_count(header) * size.rows * size.columns * size.samples * size.bits // 8


def frame_by_header(header: Dataset) -> FrameSize:
    """Return the size of a frame by the header, with Bits Allocated; 0 for what is absent. Raises InputError."""
    columns, rows, samples, bits = (
        whole(header, keyword) or 0 for keyword in ("Columns", "Rows", "SamplesPerPixel", "BitsAllocated")
    )
    return FrameSize(columns, rows, samples, bits)


def check_pixel_data(stream: BinaryIO, header: Dataset) -> None:
    """Raise InputError if the pixel data do not fit the header.

    Parameters
    ----------
    stream
        A file from :func:`inflated`, at the beginning of its pixel data element.
    header
        The attributes of the file.
    """
    syntax, size = UID(transfer_syntax(header)), frame_by_header(header)
    if size.columns * size.rows > LARGEST_FRAME:
        raise InputError(
            f"frames of {size.columns} x {size.rows} pixels ((0028,0011) Columns, (0028,0010) Rows), expected at "
            f"most {LARGEST_FRAME}; the header is damaged."
        )
    order = "<" if syntax.is_little_endian else ">"
    head = stream.read(8 if syntax.is_implicit_VR else 12)
    if len(head) < 8 or struct.unpack(f"{order}2H", head[:4]) != PIXEL_DATA:
        raise InputError("no image: (7FE0,0010) Pixel Data is missing.")
    if syntax.is_encapsulated:
        _check_compressed(stream, header, size)
    else:
        _check_plain(stream, header, int.from_bytes(head[-4:], "little" if order == "<" else "big"))


def _check_plain(stream: BinaryIO, header: Dataset, length: int) -> None:
    """Raise InputError if the size of uncompressed pixels differs from the header.

    ``length`` is the value length of the pixel data element.
    """
    expected = decoded_bytes(header)
    if header.PhotometricInterpretation == "YBR_FULL_422":
        expected = expected * 2 // 3  # two pixels share their chroma samples
    start = stream.tell()
    found = min(length, stream.seek(0, 2) - start)
    if found not in (expected, expected + expected % 2):
        size, frames = frame_by_header(header), frame_count(header)
        raise InputError(
            f"the pixels cannot be decoded: {found} bytes in (7FE0,0010) Pixel Data, expected {expected} for "
            f"{frames} frames of {size}; the file is cut short or (0028,0008) Number of Frames is wrong."
        )


def _check_compressed(stream: BinaryIO, header: Dataset, size: FrameSize) -> None:
    """Raise InputError if the number of compressed frames, or the size of one of them, differs from the header."""
    expected, rle = frame_count(header), transfer_syntax(header) == RLELossless
    start = stream.tell()
    table, fragments, total = _fragments(stream)
    extended = [header.get(f"ExtendedOffsetTable{end}") for end in ("", "Lengths")]
    offsets = (extended[0], extended[1]) if all(isinstance(part, bytes) and part for part in extended) else None
    found = len(offsets[0]) // 8 if offsets else table or len(fragments)
    exact = bool(offsets or table or rle)
    extra = sum(map(starts_frame, fragments[1:])) if expected == 1 and not exact else 0
    if found < expected or extra or (exact and found != expected):
        raise InputError(_frames_differ(1 + extra if extra else found, expected))
    if decoded_bytes(header) > max(HEADER_BYTES, MOST_COMPRESSED * total):
        raise InputError(
            f"the pixels cannot be decoded: {total} compressed bytes are too few for {expected} frames of {size}; "
            "the header is damaged."
        )
    stream.seek(start)
    count = 0
    check = check_rle_frame if rle else check_frame
    for count, frame in enumerate(generate_frames(stream, number_of_frames=expected, extended_offsets=offsets), 1):
        check(frame, size, count)
    if count != expected:
        raise InputError(_frames_differ(count, expected))


def _frames_differ(found: int, expected: int) -> str:
    return (
        f"the pixels cannot be decoded: {found} compressed frames in (7FE0,0010) Pixel Data, expected {expected} "
        "by (0028,0008) Number of Frames; the file is cut short or the number is wrong."
    )


def _fragments(stream: BinaryIO) -> tuple[int, list[bytes], int]:
    """Read the items of compressed pixel data.

    Returns the number of offsets in the Basic Offset Table, the first bytes of each fragment (at most 12), and the
    total size of the fragments in bytes. Raises InputError if a fragment is cut short.
    """
    start = stream.tell()
    end = stream.seek(0, 2)
    stream.seek(start)
    items: list[bytes] = []
    table = total = 0
    while len(head := stream.read(8)) == 8:
        group, element, length = struct.unpack("<HHL", head)
        if (group, element) == DELIMITER:
            break
        at = stream.tell()
        if (group, element) != ITEM or length > end - at:
            raise InputError(
                f"the pixels cannot be decoded: fragment {max(len(items), 1)} of (7FE0,0010) Pixel Data has "
                f"{end - at} bytes, expected {length}; the file is cut short or damaged."
            )
        if items:
            total += length
        else:
            table = length // 4
        items.append(stream.read(min(length, 12)))
        stream.seek(at + length)
    return table, items[1:], total
