"""The transverse slices of a grid: their axis, their direction, and their numbers as users see them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform

from .volume import Array, Orientation


@dataclass(frozen=True)
class Transverse:
    """Where the transverse slices of a grid lie.

    Attributes
    ----------
    axis
        Axis of the array along which the slices follow each other.
    rises
        Whether a larger index is more superior (nearer to the base).
    count
        Number of slices.
    """

    axis: int
    rises: bool
    count: int

    def number(self, index: int) -> int:
        """Return the 1-based number in the file, as the case page shows it."""
        return index + 1

    def index(self, number: int) -> int:
        """Return the index of a slice's number."""
        return number - 1


def transverse_of(shape: tuple[int, ...], affine: Array, orientation: Orientation) -> Transverse:
    """Return the transverse slices of a grid (I, J, K). If its orientation is assumed, they follow axis k."""
    axis = 2
    if orientation != "assumed":
        turn = ornt_transform(io_orientation(affine), axcodes2ornt("LPS"))
        axis = int(np.argsort(turn[:, 0])[2])
    return Transverse(axis, bool(np.asarray(affine)[2, axis] > 0), int(shape[axis]))
