"""The third axis of ultrasound DICOM: order and position of the slices.

There are three kinds of input: a US Multi-frame file, without positions of its frames; a series of single-frame
images, with or without positions; an Enhanced US Volume, with positions in the patient or in its own frame of
reference.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from pydicom import Dataset
from pydicom.multival import MultiValue
from pydicom.tag import Tag

from ...errors import GeometryError
from ...geometry.volume import Array, Orientation, spacing_of
from ..acquisition import SPACING_TOLERANCE, Acquisition
from .calibration import PRIVATE_SPACING, Calibration, Planes, uniform_gap
from .numbers import frame_count, length, name_of, numbers, whole

ENHANCED_VOLUME = "1.2.840.10008.5.1.4.1.1.6.2"

POSITION = "(0020,0032) Image Position (Patient)"
ORIENTATION = "(0020,0037) Image Orientation (Patient)"
POSITION_IN_VOLUME = "(0020,9301) Image Position (Volume)"
BETWEEN_SLICES = "(0018,0088) Spacing Between Slices"
THICKNESS = "(0018,0050) Slice Thickness"
LOCATION_VECTOR = "(0018,2005) Slice Location Vector"
INSTANCE_NUMBER = "(0020,0013) Instance Number"
SLICE_LOCATION = "(0020,1041) Slice Location"

_TIME_POINTERS = (Tag(0x00181063), Tag(0x00181065))  # Frame Time, Frame Time Vector
_ANGLE_POINTERS = (Tag(0x00540050), Tag(0x00540090))  # Rotation Vector, Angular View Vector


@dataclass(frozen=True, eq=False)
class Placed:
    """Frames in slice order, with their affine (RAS mm) and the source of its orientation.

    For each slice k, ``slots`` holds the 0-based (file, frame) from which the slice is decoded.
    """

    kind: str
    slots: tuple[tuple[int, int], ...]
    affine: Array
    orientation: Orientation
    warnings: tuple[str, ...] = ()


def place(headers: list[Dataset], planar: Calibration, acquisition: Acquisition) -> Placed:
    """Return the slices of one multi-frame file or of one series.

    Parameters
    ----------
    headers
        One header per file, in any order.
    planar
        Their common in-plane calibration.
    acquisition
        The options for reading.

    Raises
    ------
    GeometryError
        The order or the positions of the slices are unknown, contradictory or not a regular grid.
    """
    if len(headers) == 1 and headers[0].SOPClassUID == ENHANCED_VOLUME:
        return _enhanced_volume(headers[0], planar, acquisition)
    if len(headers) == 1 and frame_count(headers[0]) > 1:
        return _multiframe(headers[0], planar, acquisition)
    if any(frame_count(header) > 1 for header in headers):
        raise GeometryError("several files, some of them with (0028,0008) frames; give one sweep at a time.")
    return _series(headers, planar, acquisition)


def _multiframe(header: Dataset, planar: Calibration, acquisition: Acquisition) -> Placed:
    pointers = header.get("FrameIncrementPointer")
    pointers = [] if pointers is None else pointers if isinstance(pointers, MultiValue) else [pointers]
    image_type = header.get("ImageType") or ()
    if any(Tag(tag) in _ANGLE_POINTERS for tag in pointers) or any("ROTATION" in str(part) for part in image_type):
        raise GeometryError(
            "a raw rotational sweep by (0028,0009) Frame Increment Pointer or (0008,0008) Image Type; "
            "reconstruct it to parallel slices first."
        )
    timed = any(Tag(tag) in _TIME_POINTERS for tag in pointers) or (
        not pointers and ("FrameTime" in header or "FrameTimeVector" in header)
    )
    if timed and acquisition.frame_spacing_mm is None:
        raise GeometryError(
            f"the {frame_count(header)} frames increment by time ((0028,0009) Frame Increment Pointer, "
            "(0018,1063) Frame Time): a cine loop or a free pull-back; give the frame spacing in mm "
            "(--frame-spacing) if it is a steady pull-back."
        )
    told = ("The frames increment by time; the distance between them is the user's statement.",) if timed else ()
    gaps = _written_gaps([header], planar)
    if (vector := numbers(header, "SliceLocationVector", frame_count(header))) is not None:
        gaps[LOCATION_VECTOR] = uniform_gap(vector, LOCATION_VECTOR)
    slots = tuple((0, frame) for frame in range(frame_count(header)))
    affine, orientation = acquisition.affine((*planar.spacing_mm, _gap(gaps, acquisition)))
    return Placed("us-multiframe", slots, affine, orientation, told)


def _series(headers: list[Dataset], planar: Calibration, acquisition: Acquisition) -> Placed:
    positions = [numbers(header, "ImagePositionPatient", 3) for header in headers]
    orientations = [numbers(header, "ImageOrientationPatient", 6) for header in headers]
    placed = [None not in pair for pair in zip(positions, orientations, strict=True)]
    if any(placed) and not all(placed):
        raise GeometryError(f"{POSITION} is missing in {placed.count(False)} of {len(placed)} images.")
    if all(placed):
        planes = Planes(np.array(positions, np.float64), np.array(orientations, np.float64), POSITION)
        order, affine, told = _in_patient(planes, planar, headers[0], acquisition)
        return Placed("us-series", tuple((int(file), 0) for file in order), affine, "file", told)
    if len(headers) == 1:
        depth, told = _single_depth(headers[0], planar, acquisition)
        affine, orientation = acquisition.affine((*planar.spacing_mm, depth))
        return Placed("us-series", ((0, 0),), affine, orientation, told)
    gaps = _written_gaps(headers, planar)
    _check_complete(headers)
    order, located_gap = _order_without_positions(headers)
    if located_gap is not None:
        gaps[SLICE_LOCATION] = located_gap
    affine, orientation = acquisition.affine((*planar.spacing_mm, _gap(gaps, acquisition)))
    return Placed("us-series", tuple((int(file), 0) for file in order), affine, orientation)


def _enhanced_volume(header: Dataset, planar: Calibration, acquisition: Acquisition) -> Placed:
    """Place the frames by their positions in the patient, or else in the volume's own frame of reference.

    Source: PS3.3 C.8.24.3. The axes of the volume's own frame of reference belong to the transducer or a table, not
    to the patient. Therefore only distances are taken from it, not directions.
    """
    count = frame_count(header)
    in_patient = functional_group(header, 0, "PlanePositionSequence") is not None
    suffix = "Patient" if in_patient else "Volume"
    sequences = ("PlanePositionSequence", "PlaneOrientationSequence")
    if not in_patient:
        sequences = ("PlanePositionVolumeSequence", "PlaneOrientationVolumeSequence")
    where = POSITION if in_patient else POSITION_IN_VOLUME
    values: list[list[Any]] = [[], []]
    for frame in range(count):
        for collected, sequence, (keyword, size) in zip(
            values, sequences, (("ImagePosition", 3), ("ImageOrientation", 6)), strict=True
        ):
            item = functional_group(header, frame, sequence)
            value = None if item is None else numbers(item, keyword + suffix, size)
            if value is None:
                raise GeometryError(
                    f"frame {frame + 1} has no {keyword}{suffix} in its functional groups "
                    f"((5200,9230), {where}); export the volume with its geometry."
                )
            collected.append(value)
    planes = Planes(np.array(values[0], np.float64), np.array(values[1], np.float64), where)
    measures = functional_group(header, 0, "PixelMeasuresSequence") or Dataset()
    order, affine, told = _in_patient(planes, planar, measures, acquisition, check_options=in_patient)
    slots = tuple((0, int(frame)) for frame in order)
    if in_patient:
        return Placed("enhanced-us-volume", slots, affine, "file", told)
    affine, orientation = acquisition.affine(spacing_of(affine))
    return Placed("enhanced-us-volume", slots, affine, orientation, told)


def functional_group(header: Dataset, frame: int, sequence: str) -> Dataset | None:
    """Return the functional group item of a 0-based frame: its own, or else the shared one, or else None."""
    per_frame = header.get("PerFrameFunctionalGroupsSequence") or ()
    groups = [per_frame[frame]] if frame < len(per_frame) else []
    for group in (*groups, *(header.get("SharedFunctionalGroupsSequence") or ())):
        if group.get(sequence):
            return group[sequence][0]
    return None


def _in_patient(
    planes: Planes,
    planar: Calibration,
    measures: Dataset,
    acquisition: Acquisition,
    *,
    check_options: bool = True,
) -> tuple[Array, Array, tuple[str, ...]]:
    """Return order, affine and warnings of frames with positions.

    Raises GeometryError if the frames form no grid, or if an option contradicts the positions.
    """
    order = planes.order()
    told: tuple[str, ...] = ()
    depth = 1.0
    if len(order) == 1:
        depth, told = _single_depth(measures, planar, acquisition)
    ordered = Planes(planes.positions[order], planes.orientations[order], planes.where)
    affine = ordered.affine(planar.spacing_mm, depth)
    if len(order) > 1:
        acquisition.check_frame_spacing(spacing_of(affine)[2], planes.where)
    if check_options:
        acquisition.check_orientation(affine, f"{planes.where} and {ORIENTATION}")
    return order, affine, told


def _check_complete(headers: list[Dataset]) -> None:
    """Raise GeometryError if images of a series without positions are missing, or belong to several times."""
    for header in headers:
        expected = whole(header, "ImagesInAcquisition")
        if expected is not None and expected > len(headers):
            raise GeometryError(
                f"{len(headers)} images, expected {expected} by {name_of('ImagesInAcquisition')}; give all images "
                "of the sweep."
            )
        times = whole(header, "NumberOfTemporalPositions")
        if times is not None and times > 1:
            raise GeometryError(
                f"{name_of('NumberOfTemporalPositions')} is {times}: several times in one series without "
                f"{POSITION}; give the images of one."
            )


def _order_without_positions(headers: list[Dataset]) -> tuple[Array, float | None]:
    """Return the slice order by Slice Location, or else by Instance Number, and the gap by Slice Location or None.

    Slices always follow ascending Instance Numbers: if the locations decrease with them, the order is from high to
    low location. If all images have the same location, it is ignored.
    """
    instances = [number for header in headers if (number := whole(header, "InstanceNumber")) is not None]
    numbered = len(set(instances)) == len(headers)
    locations = [found[0] for header in headers if (found := numbers(header, "SliceLocation", 1)) is not None]
    if len(set(locations)) > 1:
        if len(locations) < len(headers):
            missing = len(headers) - len(locations)
            raise GeometryError(f"{SLICE_LOCATION} is missing in {missing} of {len(headers)} images.")
        order = np.argsort(locations)
        if numbered and instances[order[0]] > instances[order[-1]]:
            order = order[::-1]
        return order, uniform_gap([locations[index] for index in order], SLICE_LOCATION)
    if not numbered:
        raise GeometryError(
            f"the order of the {len(headers)} images is unknown: no {POSITION}, and {INSTANCE_NUMBER} is missing "
            "or repeated; give the images of one sweep with their numbers."
        )
    order = np.argsort(instances)
    for before, after in pairwise(order):
        if instances[after] != instances[before] + 1:
            raise GeometryError(
                f"{INSTANCE_NUMBER} jumps from {instances[before]} to {instances[after]}, expected steps of 1 in a "
                f"series without {POSITION} and {SLICE_LOCATION}: images are missing; give all images of the sweep."
            )
    return order, None


def _written_gaps(headers: list[Dataset], planar: Calibration) -> dict[str, float]:
    """Return the distances between frames in the headers. Raises GeometryError if headers differ by over 1 %."""
    gaps = {} if planar.isotropic_mm is None else {PRIVATE_SPACING: planar.isotropic_mm}
    found = [gap for header in headers if (gap := length(header, "SpacingBetweenSlices")) is not None]
    if not found:
        return gaps
    low, high = min(found), max(found)
    if high - low > SPACING_TOLERANCE * high:
        raise GeometryError(
            f"{BETWEEN_SLICES} is {low:g} mm in one image of the series and {high:g} mm in another; give the "
            "images of one sweep."
        )
    return {BETWEEN_SLICES: found[0], **gaps}


def _gap(gaps: dict[str, float], acquisition: Acquisition) -> float:
    """Return the distance between frames from the file, or else from the option.

    Raises GeometryError if there is none, or if two distances differ by more than 1 %.
    """
    if not gaps:
        if acquisition.frame_spacing_mm is None:
            raise GeometryError(
                f"the file gives no distance between its frames ({BETWEEN_SLICES} is missing); give the "
                "frame spacing in mm (--frame-spacing), the step of the stepper or the sweep."
            )
        return acquisition.frame_spacing_mm
    (first_tag, first), *others = gaps.items()
    for tag, other in others:
        if abs(other - first) > SPACING_TOLERANCE * first:
            raise GeometryError(
                f"{first_tag} gives {first:g} mm but {tag} gives {other:g} mm between frames; "
                "correct the wrong one in the file."
            )
    acquisition.check_frame_spacing(first, first_tag)
    return first


def _single_depth(header: Dataset, planar: Calibration, acquisition: Acquisition) -> tuple[float, tuple[str, ...]]:
    """Return the depth of a single slice in mm and a warning: its thickness, or else the option, or else 1.0."""
    written = numbers(header, "SliceThickness", 1) != [0.0]  # 0 means that it is unknown
    thickness = planar.isotropic_mm or (length(header, "SliceThickness") if written else None)
    if thickness is not None:
        acquisition.check_frame_spacing(thickness, THICKNESS)
    depth = thickness or acquisition.frame_spacing_mm or 1.0
    said = "" if thickness or acquisition.frame_spacing_mm else "; its thickness of 1 mm is a placeholder"
    return depth, (f"One slice only: it has an area but no volume{said}.",)
