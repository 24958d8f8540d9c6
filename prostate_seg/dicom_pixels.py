"""Decodes the pixels of ultrasound DICOM and turns colour into luma, frame by frame.

No window, modality
LUT or overlay is applied. Results are uint8, or uint16 where gray pixels store more than 8 bits; a palette
gives the 8 bits that a display shows.
"""

from __future__ import annotations

import logging
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from pydicom import Dataset, dcmread
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.pixels import apply_color_lut, iter_pixels
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian

from .colour import luma
from .errors import InputError
from .input_files import InputFile, opened
from .volume import Array

GRAY = ("MONOCHROME1", "MONOCHROME2")
JPEG_XL = {  # supplement 232, not among pydicom's names
    "1.2.840.10008.1.2.4.110": "JPEG XL Lossless",
    "1.2.840.10008.1.2.4.111": "JPEG XL JPEG Recompression",
    "1.2.840.10008.1.2.4.112": "JPEG XL",
}
_DAMAGE = (  # what pydicom and the decoders raise on damaged bytes
    *(RuntimeError, NotImplementedError, AttributeError, ValueError, KeyError, IndexError, TypeError),
    *(EOFError, OSError, MemoryError, OverflowError, AssertionError, struct.error, zlib.error),
    *(BytesLengthException, InvalidDicomError),
)


@contextmanager
def damage_refused(what: str) -> Iterator[None]:
    """Turn what damaged attributes or pixels make pydicom raise into InputError; silence its warnings.

    what: the beginning of the sentence, up to its verb. pydicom's warnings, which it also logs, quote attribute
    values, which may identify the patient.
    """
    log = logging.getLogger("pydicom")
    level = log.level
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            log.setLevel(logging.CRITICAL)
            yield
    except InputError:
        raise
    except _DAMAGE as error:
        raise InputError(f"{what} ({type(error).__name__}); the file is damaged or needs converting.") from error
    finally:
        log.setLevel(level)


def frame_dtype(header: Dataset) -> type[np.uint8] | type[np.uint16]:
    """The type that luma frames of this file have. Raises InputError on more than 16 bits or no pixels."""
    photometric, bits = header.get("PhotometricInterpretation"), header.get("BitsStored")
    if not (header.get("Rows") and header.get("Columns") and photometric and bits):
        raise InputError("no image: (0028,0010) Rows or another pixel attribute is missing.")
    if bits > 16 or header.get("BitsAllocated") not in (8, 16):
        raise InputError(f"(0028,0100) Bits Allocated is {header.get('BitsAllocated')}, expected 8 or 16.")
    return np.uint16 if bits > 8 and photometric in GRAY else np.uint8


def decode_luma(file: InputFile, header: Dataset) -> Iterator[Array]:
    """Yield the frames (rows, columns) of one file as luma.

    header: the file's attributes without pixels. Only one frame is in memory at a time (and the bytes of a
    file that lies in a zip). Raises InputError naming the transfer syntax where no decoder understands it.
    """
    table = _palette_luma(header)
    syntax = UID(header.file_meta.get("TransferSyntaxUID", ""))
    told = JPEG_XL.get(syntax, syntax.name or "unknown")
    what = f"the pixels cannot be decoded from (0002,0010) transfer syntax {told!r}"
    with damage_refused(what), opened(file) as stream:
        deflated = syntax == DeflatedExplicitVRLittleEndian
        for frame in iter_pixels(dcmread(stream) if deflated else stream):
            yield _to_luma(frame, header, table)


def _palette_luma(header: Dataset) -> Array | None:
    """Luma of every index of a PALETTE COLOR image (PS3.3 C.7.6.3.1.5), else None."""
    if header.PhotometricInterpretation != "PALETTE COLOR":
        return None
    index = np.arange(1 << header.BitsAllocated, dtype=f"u{header.BitsAllocated // 8}")
    with damage_refused("the palette (0028,1201) to (0028,1203) cannot be read"):
        colour = apply_color_lut(index, header)
    return luma(colour if colour.dtype == np.uint8 else (colour >> 8).astype(np.uint8))


def _to_luma(frame: Array, header: Dataset, table: Array | None) -> Array:
    dtype = frame_dtype(header)
    if table is not None:
        return table[frame]
    if frame.ndim == 3:
        if frame.shape[-1] != 3 or frame.dtype != np.uint8:
            raise InputError(
                f"{frame.shape[-1]} samples of {frame.dtype} a pixel, expected RGB of 8 bits "
                "(PS3.3 A.6.4: ultrasound)."
            )
        return luma(frame)
    if header.get("PixelRepresentation") and frame.min() < 0:
        raise InputError("negative pixels ((0028,0103) Pixel Representation 1); ultrasound has none.")
    if header.PhotometricInterpretation == "MONOCHROME1":
        return ((1 << header.BitsStored) - 1 - frame).astype(dtype)
    return frame.astype(dtype, copy=False)
