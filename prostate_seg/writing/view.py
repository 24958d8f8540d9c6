"""Slices in radiological convention, and outlines of masks on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from nibabel.orientations import apply_orientation, axcodes2ornt, io_orientation, ornt_transform
from skimage.measure import find_contours

from ..geometry.extent import bounding_box
from ..geometry.volume import Array, Volume
from ..system.atomic import stored_array


@dataclass(frozen=True, eq=False)
class View:
    """The slices of a volume as they are displayed: i to the right, j downward.

    Black margins that all slices have in common are cut off.

    Attributes
    ----------
    gray
        (I, J, K) uint8.
    pixel_mm
        Spacing along i and j.
    gap_mm
        Distance between slices.
    numbers
        For each displayed slice, its 1-based number in the file.
    letters
        Directions of the left and the upper edge of a slice ("R" and "A"); empty if unknown.
    turn
        nibabel's orientation transform from the file's axes; None if the axes are unchanged.
    box
        Displayed range of i and j.
    """

    gray: Array
    pixel_mm: tuple[float, float]
    gap_mm: float
    numbers: list[int]
    letters: tuple[str, str]
    turn: Array | None
    box: tuple[slice, slice]

    def of(self, array: Array) -> Array:
        """Return an array on the volume's grid as it is displayed."""
        turned = array if self.turn is None else apply_orientation(array, self.turn)
        return turned[self.box]

    @property
    def extent_mm(self) -> tuple[float, float]:
        """Width and height of a slice in mm."""
        across, down = self.gray.shape[:2]
        return across * self.pixel_mm[0], down * self.pixel_mm[1]


def view_of(volume: Volume, masks: Sequence[Array] = ()) -> View:
    """Return the view of a volume. The masks, bool (I, J, K), are never cut off.

    If the orientation is known, slices are transverse: the patient's right on the left, anterior at the top, apex
    before base. If it is assumed, array axis i runs to the right and j downward, and no direction is named.
    """
    gray = _gray(stored_array(volume))
    drawn = np.logical_or.reduce([gray > 0, *masks])
    spacing, numbers = volume.spacing_mm, list(range(1, gray.shape[2] + 1))
    if volume.orientation == "assumed":
        box = _box(drawn)
        return View(gray[box], spacing[:2], spacing[2], numbers, ("", ""), None, box)
    turn = ornt_transform(io_orientation(volume.affine), axcodes2ornt("LPS"))
    source = np.argsort(turn[:, 0])  # for each displayed axis, the file's axis
    numbers = list(range(1, gray.shape[source[2]] + 1))
    if turn[source[2], 1] < 0:
        numbers.reverse()
    box = _box(apply_orientation(drawn, turn))
    across, down, gap = (spacing[axis] for axis in source)
    return View(apply_orientation(gray, turn)[box], (across, down), gap, numbers, ("R", "A"), turn, box)


def outlines(mask: Array) -> list[Array]:
    """Return the outlines of a mask, bool (I, J), at level 0.5 between voxel centres.

    Each outline is (P, 2) in voxels. Voxel n extends from n to n + 1.
    """
    across, down = bounding_box(mask)
    padded = np.pad(mask[across, down], 1).astype(np.float32)
    # find_contours counts voxel centres, and the padding adds 1. A voxel begins 0.5 before its centre.
    corner = np.array([across.start, down.start]) - 0.5
    return [contour + corner for contour in find_contours(padded, 0.5)]


def _box(drawn: Array) -> tuple[slice, slice]:
    box = []
    for axis in (0, 1):
        filled = np.flatnonzero(drawn.any(axis=(1 - axis, 2)))
        box.append(slice(int(filled[0]), int(filled[-1]) + 1) if filled.size else slice(None))
    return box[0], box[1]


def _gray(array: Array) -> Array:
    """Return an image as uint8.

    8-bit images are unchanged. Others are scaled from their 0.5th to their 99.5th percentile.
    """
    if array.dtype == np.uint8:
        return array
    low, high = np.percentile(array, (0.5, 99.5))
    if low == high:  # nearly all voxels have one value: show the few others
        low, high = array.min(), array.max()
    scaled = (array.astype(np.float64) - low) * (255.0 / (high - low) if high > low else 0.0)
    return np.clip(np.round(scaled), 0, 255).astype(np.uint8)
