"""Reader of ultrasound DICOM: multi-frame, single-frame series, Enhanced US Volume (PS3.3 A.6, A.7, A.59).

The attributes that are used, and the reasons to reject a file, are listed in docs/dicom.md. If a file has no
orientation in the patient, the orientation is taken from the options or assumed
(:mod:`prostate_seg.reading.acquisition`).
"""

from __future__ import annotations

import hashlib
import logging
from collections import defaultdict
from collections.abc import Sequence
from typing import BinaryIO

import numpy as np
from pydicom import Dataset, dcmread
from pydicom.datadict import tag_for_keyword
from pydicom.uid import UID

from ...errors import GeometryError, InputError
from ...geometry.source import FrameReference, Source
from ...geometry.volume import Array, Volume
from ...system.input_files import InputFile, opened
from ..acquisition import SPACING_TOLERANCE, Acquisition
from ..field_of_view import blacken_outside, field_of_view, over_frames
from .calibration import Calibration, calibration
from .frames import ENHANCED_VOLUME, Placed, functional_group, place
from .layout import check_pixel_data, decoded_bytes, inflated
from .pixels import damage_refused, decode_luma, frame_dtype

logger = logging.getLogger(__name__)

MODALITIES = (  # PS3.3 C.7.3.1.1.1, including retired codes
    "ANN AR ASMT AU BDUS BI BMD CD CF CFM CR CS CT CTPROTOCOL DD DF DG DM DMS DS DX EC ECG EEG EMG EOG EPS ES "
    "FA FID FS GM HC HD IO IOL IVOCT IVUS KER KO LEN LP LS MA MG MR MS M3D NM OAM OCT OP OPM OPR OPT OPTBSV "
    "OPTENF OPV OSS OT PA PLAN POS PR PT PX REG RESP RF RG RTDOSE RTIMAGE RTINTENT RTPLAN RTRAD RTRECORD "
    "RTSEGANN RTSTRUCT RWV SEG SM SMR SR SRF ST STAIN TEXTUREMAP TG US VA VF XA XAPROTOCOL XC"
)

US_CLASSES = frozenset(
    # Ultrasound Multi-frame (retired, current), Ultrasound Image (retired, current)
    [f"1.2.840.10008.5.1.4.1.1.{end}" for end in ("3", "3.1", "6", "6.1")] + [ENHANCED_VOLUME]
)


def read_header(file: InputFile, tags: list[str] | None = None) -> Dataset:
    """Read the attributes of a DICOM file without its pixels.

    Parameters
    ----------
    file
        The file.
    tags
        Keywords of the attributes to read; None reads all.

    Raises
    ------
    InputError
        The file is not a readable DICOM file.
    """
    with damage_refused(f"{file.name}: the DICOM header cannot be read"), opened(file) as stream:
        return _header(inflated(stream), file, tags)


def _header(plain: BinaryIO, file: InputFile, tags: list[str] | None = None) -> Dataset:
    """Read the attributes from a stream of :func:`inflated`. Afterwards the stream is at its pixel data."""
    header = dcmread(plain, stop_before_pixels=True, force=True, specific_tags=tags)
    if "SOPClassUID" not in header:
        raise InputError(f"{file.name}: not a DICOM image: (0008,0016) SOP Class UID is missing.")
    return header


def modality_name(header: Dataset) -> str:
    """Return the modality or the name of the SOP class for a message, or ``unknown``.

    Only names from the DICOM standard are returned, because other texts may identify the patient.
    """
    if (code := str(header.get("Modality", ""))) in MODALITIES.split():
        return code
    sop_class = UID(str(header.get("SOPClassUID", "")))
    return sop_class.name if sop_class.type == "SOP Class" else "unknown"


def is_ultrasound(header: Dataset) -> bool:
    """Return whether a file holds ultrasound images, by its SOP class, or by modality US and the attribute Rows."""
    return header.SOPClassUID in US_CLASSES or (header.get("Modality") == "US" and "Rows" in header)


def read_us(files: Sequence[InputFile], acquisition: Acquisition) -> Volume:
    """Read one multi-frame file or the files of one single-frame series, in any order.

    The array is luma, uint8 or uint16, (i, j, k) = (column, row, frame), black outside the field of view. Little
    memory is needed in addition to the array. Raises InputError and GeometryError.
    """
    with damage_refused("its attributes cannot be understood"):
        return _read(files, acquisition)


def _read(files: Sequence[InputFile], acquisition: Acquisition) -> Volume:
    headers = [_image_header(file) for file in files]
    planar = _common_calibration(headers)
    placed = place(headers, planar, acquisition)
    array = _decode(files, headers, placed)
    left, top, right, bottom = planar.box
    allowed = np.zeros(array.shape[:2], bool)
    allowed[left:right, top:bottom] = True
    inside = array[left:right, top:bottom]
    if inside.min() == inside.max():
        what = f"of the one gray {inside.min()}" if inside.any() else "black"
        raise InputError(f"all {array.shape[2]} frames are {what}; there is nothing to segment.")
    mask = field_of_view(array, allowed)
    blacken_outside(array, mask)
    logger.info("read %s, %s voxels", placed.kind, array.shape)
    return Volume(
        array,
        placed.affine,
        placed.orientation,
        over_frames(mask, array.shape[2]),
        (*planar.warnings, *placed.warnings, *_annotation_warnings(headers)),
        _source(files, headers, placed),
    )


def _image_header(file: InputFile) -> Dataset:
    """Read the header of a file. Raises InputError if it is not ultrasound, or its pixels do not fit the header."""
    with opened(file) as stream:
        plain = inflated(stream)
        header = _header(plain, file)
        if not is_ultrasound(header):
            raise InputError(f"(0008,0060) Modality is {modality_name(header)}, expected US (ultrasound).")
        frame_dtype(header)
        if plain is not stream:
            stream.seek(0)
            plain = inflated(stream, decoded_bytes(header))
            _header(plain, file, ["SOPClassUID"])
        check_pixel_data(plain, header)
    return header


def _common_calibration(headers: list[Dataset]) -> Calibration:
    """Return the common calibration of all files, with the smallest box that contains all their boxes.

    Raises GeometryError if image sizes differ, or if spacings differ by more than 1 %.
    """
    found = [calibration(_planar(header)) for header in headers]
    first = headers[0]
    for header, other in zip(headers, found, strict=True):
        if (header.Columns, header.Rows) != (first.Columns, first.Rows):
            raise GeometryError(
                f"images of {first.Columns} x {first.Rows} and of {header.Columns} x {header.Rows} pixels "
                "((0028,0011) x (0028,0010)) in one series; give the images of one sweep."
            )
        if not np.allclose(found[0].spacing_mm, other.spacing_mm, rtol=SPACING_TOLERANCE, atol=0.0):
            raise GeometryError(
                f"in-plane spacings of {found[0].spacing_mm[0]:.5g} and {other.spacing_mm[0]:.5g} mm in one "
                "series (the depth was changed, (0018,6011)); give the images of one depth."
            )
    boxes = np.array([one.box for one in found])
    left, top, right, bottom = (int(edge) for edge in (*boxes[:, :2].min(axis=0), *boxes[:, 2:].max(axis=0)))
    unique = tuple(dict.fromkeys(text for one in found for text in one.warnings))
    return Calibration(found[0].spacing_mm, (left, top, right, bottom), unique, found[0].isotropic_mm)


def _planar(header: Dataset) -> Dataset:
    """Return a header with Pixel Spacing at the top level, also for an Enhanced US Volume."""
    measures = functional_group(header, 0, "PixelMeasuresSequence")
    if measures is None or "PixelSpacing" not in measures:
        return header
    planar = Dataset()
    planar.update({"Rows": header.Rows, "Columns": header.Columns, "PixelSpacing": measures.PixelSpacing})
    return planar


def _decode(files: Sequence[InputFile], headers: list[Dataset], placed: Placed) -> Array:
    """Return the luma (i, j, k) of all slices: a transposed view of the frames (K, rows, columns)."""
    first = headers[0]
    dtype = np.result_type(*(frame_dtype(header) for header in headers))
    frames = np.empty((len(placed.slots), first.Rows, first.Columns), dtype)
    slices: dict[int, dict[int, int]] = defaultdict(dict)
    for k, (file, frame) in enumerate(placed.slots):
        slices[file][frame] = k
    for file, wanted in slices.items():
        decoded = 0
        for frame, image in enumerate(decode_luma(files[file], headers[file])):
            if frame in wanted:
                frames[wanted[frame]] = image
                decoded += 1
        if decoded != len(wanted):
            raise InputError(
                f"{decoded} frames in (7FE0,0010) Pixel Data, expected {len(wanted)} by (0028,0008) Number "
                "of Frames; the file is cut short."
            )
    return frames.T  # (K, rows, columns) -> (columns, rows, K)


def _annotation_warnings(headers: list[Dataset]) -> tuple[str, ...]:
    if all(header.get("BurnedInAnnotation") == "NO" for header in headers):
        return ()
    return (
        "(0028,0301) Burned In Annotation is not NO: text inside the field of view may identify the patient; "
        "look at the images before sharing them.",
    )


def _source(files: Sequence[InputFile], headers: list[Dataset], placed: Placed) -> Source:
    digest = hashlib.sha256()
    for file in dict.fromkeys(index for index, _ in placed.slots):
        with opened(files[file]) as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    references = tuple(
        FrameReference(str(headers[file].get("SOPInstanceUID", "")), frame + 1) for file, frame in placed.slots
    )
    return Source(placed.kind, digest.hexdigest(), references, _of_no_pixels(headers[placed.slots[0][0]]))


def _of_no_pixels(header: Dataset) -> Dataset:
    """Remove the palette and the read buffer from a header, so that it can be sent to another process."""
    for colour in ("Red", "Green", "Blue", "Alpha"):
        for part in ("Descriptor", "Data"):
            header.pop(tag_for_keyword(f"{colour}PaletteColorLookupTable{part}"), None)
    header.buffer = None
    return header
