"""Geometry of ultrasound DICOM: calibration regions, distances between frames, positions of frames.

No value is guessed. If an attribute is missing or contradicts another one, a GeometryError names the attribute. The
caller adds the name of the case.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from pydicom import Dataset

from ...errors import GeometryError
from ...geometry.volume import Array, affine_from_lps
from ..acquisition import SPACING_TOLERANCE
from .numbers import check_finite, check_positive, lengths, numbers, whole

REGIONS = "(0018,6011) Sequence of Ultrasound Regions"
PIXEL_SPACING = "(0028,0030) Pixel Spacing"
PRIVATE_SPACING = "(1129,1016) private isotropic spacing"
PRIVATE_CREATORS = ("Eigen, Inc", "Eigen Artemis")  # in (1129,0010): makers of the biopsy system Artemis

GAP_TOLERANCE = 0.05  # of the gap: largest deviation of a gap, and sideways shift, in a regular grid
CENTIMETRE, FORMAT_2D, TISSUE = 3, 1, 1  # PS3.3 C.8.5.5.1.15, .1, .2


@dataclass(frozen=True)
class Calibration:
    """In-plane calibration of an image.

    Attributes
    ----------
    spacing_mm
        In-plane spacing (columns, rows) in mm.
    box
        Calibrated part of the image: first column, first row, last column + 1, last row + 1.
    warnings
        Warnings for the user.
    isotropic_mm
        Spacing of all three axes if a private attribute gives it, otherwise None.
    """

    spacing_mm: tuple[float, float]
    box: tuple[int, int, int, int]
    warnings: tuple[str, ...] = ()
    isotropic_mm: float | None = None


def calibration(header: Dataset) -> Calibration:
    """Return the in-plane calibration of an image (PS3.3 C.8.5.5 and 10.7.1.3).

    The first available source is used:

    1. the largest 2D tissue region that is calibrated in cm;
    2. Pixel Spacing;
    3. the private isotropic spacing (1129,1016) of Eigen, in mm, as in the files of Prostate-MRI-US-Biopsy (TCIA).

    Raises
    ------
    GeometryError
        There is none of the three, the region and Pixel Spacing differ by more than 1 %, or a value is not a finite
        positive length.
    """
    columns, rows = int(header.Columns), int(header.Rows)
    box, warnings = (0, 0, columns, rows), []
    found: dict[str, tuple[float, float]] = {}
    candidates = [region for region in header.get("SequenceOfUltrasoundRegions") or () if _is_calibrated(region)]
    inside = [(region, clamped) for region in candidates if (clamped := _clamped(region, columns, rows))]
    if inside:
        region, box = max(inside, key=lambda pair: _area(pair[1]))
        found[REGIONS] = (10.0 * abs(region.PhysicalDeltaX), 10.0 * abs(region.PhysicalDeltaY))
        check_finite(found[REGIONS], REGIONS)
        if region.RegionLocationMaxX1 > columns or region.RegionLocationMaxY1 > rows:
            warnings.append(
                f"The calibration region reaches column {region.RegionLocationMaxX1} and row "
                f"{region.RegionLocationMaxY1} of an image of {columns} x {rows}: cut to the image, which "
                "may have been resized after calibration, check the scale."
            )
    if len(inside) > 1:
        warnings.append(f"{len(inside)} calibrated tissue regions: the largest is used, the others are black.")
    if (pair := lengths(header, "PixelSpacing", 2)) is not None:
        found[PIXEL_SPACING] = (pair[1], pair[0])  # in DICOM the row spacing is the first value
    isotropic = None if found else _private_spacing(header)
    if isotropic is not None:
        found[PRIVATE_SPACING] = (isotropic, isotropic)
    return Calibration(_agreed(found), box, tuple(warnings), isotropic)


def _agreed(found: dict[str, tuple[float, float]]) -> tuple[float, float]:
    if not found:
        raise GeometryError(
            f"no in-plane calibration: neither a 2D tissue region in cm in {REGIONS} nor "
            f"{PIXEL_SPACING}; export the images with their calibration."
        )
    (first_tag, first), *others = found.items()
    for tag, other in others:
        if not np.allclose(first, other, rtol=SPACING_TOLERANCE, atol=0.0):
            raise GeometryError(
                f"{first_tag} gives {first[0]:.5g} x {first[1]:.5g} mm but {tag} gives "
                f"{other[0]:.5g} x {other[1]:.5g} mm (column x row spacing); correct the wrong one."
            )
    return first


def _is_calibrated(region: Dataset) -> bool:
    kinds = (region.get("RegionSpatialFormat"), region.get("RegionDataType"))
    units = (region.get("PhysicalUnitsXDirection"), region.get("PhysicalUnitsYDirection"))
    if kinds != (FORMAT_2D, TISSUE) or units != (CENTIMETRE, CENTIMETRE):
        return False
    deltas = [numbers(region, f"PhysicalDelta{axis}", 1) for axis in "XY"]
    return all(delta is not None and delta[0] != 0 for delta in deltas)


def _clamped(region: Dataset, columns: int, rows: int) -> tuple[int, int, int, int] | None:
    """Return the rectangle of a region within the image, end exclusive, or None if it is empty."""
    x0, y0, x1, y1 = (whole(region, f"RegionLocation{corner}") for corner in ("MinX0", "MinY0", "MaxX1", "MaxY1"))
    if x0 is None or y0 is None or x1 is None or y1 is None:
        return None
    box = (max(x0, 0), max(y0, 0), min(x1 + 1, columns), min(y1 + 1, rows))
    return box if box[0] < box[2] and box[1] < box[3] else None


def _area(box: tuple[int, int, int, int]) -> int:
    return (box[2] - box[0]) * (box[3] - box[1])


def _private_spacing(header: Dataset) -> float | None:
    """Return the spacing in mm in Eigen's private block. Blocks of other creators have other meanings."""
    for creator in PRIVATE_CREATORS:
        with contextlib.suppress(KeyError):
            value = header.get_private_item(0x1129, 0x16, creator).value
            text = value.decode("ascii", "ignore") if isinstance(value, bytes) else str(value)
            try:
                spacing = float(text.strip("\0 "))
            except ValueError:
                raise GeometryError(f"{PRIVATE_SPACING} is no number; correct it in the file.") from None
            check_positive([spacing], PRIVATE_SPACING)
            return spacing
    return None


def uniform_gap(locations: Sequence[float] | Array, where: str) -> float:
    """Return the mean distance in mm between neighbouring slices.

    Parameters
    ----------
    locations
        Positions of at least two slices along their axis, in slice order, ascending or descending.
    where
        Attribute with the positions, for the message.

    Raises
    ------
    GeometryError
        A gap is less than 1e-4 mm or runs in the opposite direction, or differs from the median gap by more than
        5 %. The message gives the gaps.
    """
    steps = np.diff(np.asarray(locations, np.float64))
    gaps = steps if steps.sum() >= 0 else -steps
    middle = float(np.median(gaps))
    if gaps.min() < 1e-4:
        slice_number = int(gaps.argmin()) + 1
        raise GeometryError(
            f"slice {slice_number + 1} does not lie beyond slice {slice_number} by {where} (gap "
            f"{gaps.min():.3f} mm): several acquisitions or times in one series; give one of them."
        )
    if np.abs(gaps - middle).max() > GAP_TOLERANCE * middle:
        values = ", ".join(f"{gap:.3f}" for gap in np.unique(gaps.round(3))[:8])
        raise GeometryError(
            f"the slice gaps by {where} are not uniform: {values} mm; expected equal ones within 5 %. "
            "Slices are missing, or the sweep needs a reconstruction first."
        )
    return float(gaps.mean())


@dataclass(frozen=True, eq=False)
class Planes:
    """Positions and orientations of frames in a frame of reference.

    Attributes
    ----------
    positions
        (K, 3), mm: centre of the first pixel of each frame.
    orientations
        (K, 6): unit vectors along a row (to the next column) and along a column (to the next row), as in Image
        Orientation (Patient).
    where
        Attribute with the positions, for messages.
    """

    positions: Array
    orientations: Array
    where: str

    def order(self) -> Array:
        """Return the indices of the frames in order along their normal. Raises GeometryError as :meth:`normal`."""
        return np.argsort(self.positions @ self.normal(), kind="stable")

    def normal(self) -> Array:
        """Return the unit normal of the frames: row direction x column direction.

        Raises GeometryError if the frames are not parallel, or if their vectors are not orthogonal unit vectors.
        """
        row, column = self.orientations[0, :3], self.orientations[0, 3:]
        if not np.allclose([row @ row, column @ column, row @ column], [1.0, 1.0, 0.0], atol=1e-2):
            raise GeometryError(
                f"the image orientation {self.orientations[0].tolist()} beside {self.where} is not made of "
                "two unit vectors at a right angle."
            )
        if np.abs(self.orientations - self.orientations[0]).max() > 1e-2:
            raise GeometryError(
                f"the frames beside {self.where} are not parallel (a raw rotational or fan sweep); "
                "reconstruct it to parallel slices first."
            )
        normal = np.cross(row, column)
        return normal / np.linalg.norm(normal)

    def affine(self, spacing_mm: tuple[float, float], thickness_mm: float) -> Array:
        """Return the affine (RAS mm) of frames that are already in order.

        Parameters
        ----------
        spacing_mm
            In-plane spacing (columns, rows).
        thickness_mm
            Step along k if there is only one frame.

        Raises
        ------
        GeometryError
            The frames do not form a regular grid: their gaps differ, or they are shifted sideways.
        """
        normal = self.normal()
        row = self.orientations[0, :3] / np.linalg.norm(self.orientations[0, :3])
        column = np.cross(normal, row)
        depth = thickness_mm
        if len(self.positions) > 1:
            depth = uniform_gap(self.positions @ normal, self.where)
            offsets = self.positions - self.positions[0]
            sideways = offsets - np.outer(offsets @ normal, normal)
            shift = float(np.linalg.norm(sideways, axis=1).max())
            if shift > GAP_TOLERANCE * depth:
                raise GeometryError(
                    f"by {self.where} the slices shift sideways by up to "
                    f"{shift:.3f} mm; resample the series to a rectangular grid first."
                )
        direction = np.stack([row, column, normal], axis=1)
        return affine_from_lps(direction, np.array([*spacing_mm, depth]), self.positions[0])
