"""Hints that belong to a transverse slice of an image: the plane after the last slice, and contours."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..errors import GeometryError
from .hints import Contour, End, Plane, Point3
from .outlines import outlines
from .slices import Transverse, transverse_of
from .volume import Array, Volume

OFF_SLICE = 0.25  # largest distance of a contour from its slice, in slices


def slices_of(image: Volume) -> Transverse:
    """Return the transverse slices of an image."""
    return transverse_of(image.array.shape, image.affine, image.orientation)


def slice_centre_mm(image: Volume, index: float) -> Point3:
    """Return the point in the middle of a slice, in RAS mm; the index, from 0, may lie between two slices."""
    middle = (np.array(image.array.shape) - 1) / 2
    middle[slices_of(image).axis] = index
    return _points_mm(image, middle[None])[0]


def plane_after(image: Volume, end: End, index: int) -> Plane:
    """Return the plane of an end of the gland if the slice of an index, from 0, is the last one with gland.

    The plane is the outer face of the slice: the inferior one at the apex, the superior one at the base.
    """
    outward = -0.5 if (end == "apex") == slices_of(image).rises else 0.5
    return Plane(end, slice_centre_mm(image, index + outward))


def contour_of(image: Volume, index: int, mask: Array) -> Contour:
    """Return the contour of a mask on a slice.

    Parameters
    ----------
    image
        The image.
    index
        Index of the slice, from 0.
    mask
        Bool, along the image's two other axes in their order. The contour encloses exactly its voxels.
    """
    axis = slices_of(image).axis
    found = [_points_mm(image, np.insert(line, axis, index, axis=1)) for line in outlines(mask)]
    return Contour(slice_centre_mm(image, index), tuple(found))


def contours_through(image: Volume, lines: Sequence[tuple[str, Array]]) -> tuple[Contour, ...]:
    """Return the contours of an image's slices through closed lines. Lines of one slice are one contour.

    Parameters
    ----------
    image
        The image.
    lines
        Name of each line for messages, and its points (P, 3) in RAS mm.

    Raises
    ------
    GeometryError
        A line does not lie on one slice of the image, within a quarter of the distance of slices.
    """
    found: dict[int, list[tuple[Point3, ...]]] = {}
    for name, line in lines:
        index = _slice_of(image, line, name)
        found.setdefault(index, []).append(as_points(line))
    return tuple(Contour(slice_centre_mm(image, index), tuple(drawn)) for index, drawn in found.items())


def along_slices(image: Volume, points_mm: Array) -> Array:
    """Return where points (P, 3) in RAS mm lie along the slices, as an index from 0 with a fraction, (P,)."""
    index = np.linalg.inv(image.affine)[slices_of(image).axis]
    return np.asarray(points_mm @ index[:3] + index[3])


def nearest_slice(image: Volume, point_mm: Point3, name: str) -> int:
    """Return the index of the slice that holds a point in RAS mm. GeometryError names the point if none does."""
    at, count = float(along_slices(image, np.array([point_mm]))[0]), slices_of(image).count
    if not -0.5 <= at <= count - 0.5:
        raise GeometryError(
            f"{name} lies at slice {at + 1:.2f} of the image, which has slices 1 to {count}; give the image "
            "that it was set on, or move it into the image."
        )
    return min(round(at), count - 1)


def as_points(points_mm: Array) -> tuple[Point3, ...]:
    """Return points (P, 3) as a tuple of three numbers each."""
    return tuple((x, y, z) for x, y, z in np.asarray(points_mm, float).tolist())


def _slice_of(image: Volume, line: Array, name: str) -> int:
    along, count = along_slices(image, line), slices_of(image).count
    index = round(float(along.mean()))
    if not 0 <= index < count or np.abs(along - index).max() > OFF_SLICE:
        raise GeometryError(
            f"{name} lies at slices {along.min() + 1:.2f} to {along.max() + 1:.2f} of the image, expected one "
            f"of its transverse slices 1 to {count}; draw it on one slice."
        )
    return index


def _points_mm(image: Volume, index: Array) -> tuple[Point3, ...]:
    return as_points(index @ np.asarray(image.affine)[:3, :3].T + image.affine[:3, 3])
