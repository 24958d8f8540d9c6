"""Decoding of ultrasound DICOM pixels and conversion of colour to luma, frame by frame.

No window, modality LUT or overlay is applied. The luma is uint8, or uint16 if gray pixels have more than 8 bits
stored. A palette image gives the 8 bits that are displayed.
"""

from __future__ import annotations

import logging
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from pydicom import Dataset
from pydicom.dataelem import DataElement
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.pixels import apply_color_lut, iter_pixels
from pydicom.uid import UID, ExplicitVRBigEndian

from ...errors import InputError
from ...geometry.volume import Array
from ...system.input_files import InputFile, opened
from ..luma import luma
from .layout import DECODERS, decoded_bytes, inflated, transfer_syntax
from .numbers import whole

GRAY, PALETTE = ("MONOCHROME1", "MONOCHROME2"), "PALETTE COLOR"
SAMPLES = {
    **dict.fromkeys((*GRAY, PALETTE), 1),
    **dict.fromkeys(("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT"), 3),
}
LOGGERS = ("pydicom", "pylibjpeg", "openjpeg", "PIL")
_DAMAGE = (  # errors of pydicom and the decoders for damaged bytes
    *(RuntimeError, NotImplementedError, AttributeError, ValueError, KeyError, IndexError, TypeError),
    *(EOFError, OSError, MemoryError, OverflowError, AssertionError, struct.error, zlib.error),
    *(BytesLengthException, InvalidDicomError),
)


@contextmanager
def damage_refused(what: str) -> Iterator[None]:
    """Turn errors of pydicom and the decoders into InputError, and silence their warnings and log messages.

    The warnings of pydicom quote attribute values, which may identify the patient.

    Parameters
    ----------
    what
        Beginning of the message, including the verb.
    """
    loggers = [logging.getLogger(name) for name in LOGGERS]
    levels = [log.level for log in loggers]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for log in loggers:
                log.setLevel(logging.CRITICAL)
            yield
    except InputError:
        raise
    except _DAMAGE as error:
        raise InputError(f"{what} ({type(error).__name__}); the file is damaged or needs converting.") from error
    finally:
        for log, level in zip(loggers, levels, strict=True):
            log.setLevel(level)


def frame_dtype(header: Dataset) -> type[np.uint8] | type[np.uint16]:
    """Return the type of the luma frames. Raises InputError if the pixel attributes are not supported."""
    rows, columns, bits, stored = (
        whole(header, keyword) for keyword in ("Rows", "Columns", "BitsAllocated", "BitsStored")
    )
    photometric = header.get("PhotometricInterpretation")
    if not (rows and columns and photometric and stored):
        raise InputError("no image: (0028,0010) Rows or another pixel attribute is missing.")
    if stored > 16 or bits not in (8, 16):
        raise InputError(f"(0028,0100) Bits Allocated is {bits}, expected 8 or 16.")
    if not 1 <= stored <= bits:
        raise InputError(
            f"(0028,0101) Bits Stored is {stored}, expected 1 to the {bits} of (0028,0100) Bits Allocated."
        )
    if photometric not in SAMPLES:
        raise InputError(
            f"(0028,0004) Photometric Interpretation is unknown, expected {', '.join(SAMPLES)}; convert the file."
        )
    if (samples := whole(header, "SamplesPerPixel")) != SAMPLES[photometric]:
        raise InputError(
            f"(0028,0002) Samples per Pixel is {samples}, expected {SAMPLES[photometric]} for {photometric} by "
            "(0028,0004) Photometric Interpretation; correct the wrong one."
        )
    return np.uint16 if stored > 8 and photometric in GRAY else np.uint8


def decode_luma(file: InputFile, header: Dataset) -> Iterator[Array]:
    """Yield the frames (rows, columns) of one file as luma.

    Only one frame is in memory at a time. The complete bytes of a file are also in memory if it is deflated or in a
    zip.

    Parameters
    ----------
    file
        The file.
    header
        Its attributes without pixels.

    Raises
    ------
    InputError
        The pixels cannot be decoded; the text names the transfer syntax.
    """
    table = _palette_luma(header)
    syntax = transfer_syntax(header)
    what = f"the pixels cannot be decoded from (0002,0010) transfer syntax {UID(syntax).name!r}"
    with damage_refused(what), opened(file) as stream:
        for frame in iter_pixels(inflated(stream, decoded_bytes(header)), decoding_plugin=DECODERS[syntax]):
            yield _to_luma(frame, header, table)


def _palette_luma(header: Dataset) -> Array | None:
    """Return the luma of every index of a PALETTE COLOR image (PS3.3 C.7.6.3.1.5), or None for other images."""
    if header.PhotometricInterpretation != PALETTE:
        return None
    index = np.arange(1 << header.BitsAllocated, dtype=f"u{header.BitsAllocated // 8}")
    with damage_refused("the palette (0028,1201) to (0028,1203) cannot be read"):
        colour = apply_color_lut(index, _little_endian_palette(header))
        bits = header.RedPaletteColorLookupTableDescriptor[2]
    if colour.dtype == np.uint8:
        return luma(colour)
    narrow = bits == 8 and colour.max() <= np.iinfo(np.uint8).max  # 8-bit entries stored in 16-bit words
    return luma((colour if narrow else colour >> 8).astype(np.uint8))


def _little_endian_palette(header: Dataset) -> Dataset:
    """Return the header with the 16-bit words of its palette in little endian, as pydicom expects them."""
    if transfer_syntax(header) != ExplicitVRBigEndian:
        return header
    swapped = Dataset(header)
    swapped.file_meta = header.file_meta
    for colour in ("Red", "Green", "Blue"):
        words = header.get(f"{colour}PaletteColorLookupTableData")
        if isinstance(words, bytes):
            tag = header[f"{colour}PaletteColorLookupTableData"].tag
            swapped[tag] = DataElement(tag, "OW", np.frombuffer(words, ">u2").astype("<u2").tobytes())
    return swapped


def _to_luma(frame: Array, header: Dataset, table: Array | None) -> Array:
    if frame.ndim == 3:
        if frame.shape[-1] != 3 or frame.dtype != np.uint8:
            raise InputError(
                f"{frame.shape[-1]} samples of {frame.dtype} a pixel, expected RGB of 8 bits "
                "(PS3.3 A.6.4: ultrasound)."
            )
        return luma(frame)
    if header.get("PixelRepresentation") and frame.min() < 0:
        raise InputError("negative pixels ((0028,0103) Pixel Representation 1); ultrasound has none.")
    if table is not None:
        return table[frame]
    dtype, brightest = frame_dtype(header), (1 << header.BitsStored) - 1
    inverted = header.PhotometricInterpretation == "MONOCHROME1"
    if frame.max() > (brightest if inverted else np.iinfo(dtype).max):
        raise InputError(f"pixels of {frame.max()}, expected at most {brightest} by (0028,0101) Bits Stored.")
    return (brightest - frame).astype(dtype) if inverted else frame.astype(dtype, copy=False)
