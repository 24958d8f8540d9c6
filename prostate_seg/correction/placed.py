"""Hints on the grid of an image. Hints that contradict each other or the image are refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from ..errors import GeometryError
from ..geometry.hints import Contour, Hint, Hints, Plane, Point, Scribble, kind_of
from ..geometry.slice_hints import OFF_SLICE
from ..geometry.slices import Transverse, transverse_of
from ..geometry.things import Thing, voxels_of
from ..geometry.volume import Array, Volume
from .filled import filled
from .through import may_pass


@dataclass(frozen=True, eq=False)
class Placed:
    """Hints on a grid (I, J, K). Coordinates are voxel indices.

    Attributes
    ----------
    slices
        The transverse slices of the grid.
    ends
        Position of the plane at ``apex`` and ``base`` along the slices' axis. The last plane of an end counts.
    boundary
        Points on the boundary (n, 3).
    names
        Names of these points, for messages.
    inside, outside
        Voxels of points and scribbles (n, 3).
    contours
        Mask of each contoured slice by its index, bool (two axes). The last contour of a slice counts.
    """

    slices: Transverse
    ends: dict[str, float] = field(default_factory=dict)
    boundary: Array = field(default_factory=lambda: np.empty((0, 3)))
    names: tuple[str, ...] = ()
    inside: Array = field(default_factory=lambda: np.empty((0, 3), int))
    outside: Array = field(default_factory=lambda: np.empty((0, 3), int))
    contours: dict[int, Array] = field(default_factory=dict)

    def any(self) -> bool:
        """Return whether there is a hint."""
        points = (self.boundary, self.inside, self.outside)
        return bool(self.ends or self.contours or any(len(one) for one in points))

    def empty_slices(self) -> Array:
        """Return which slices lie beyond a plane, bool (count,)."""
        index = np.arange(self.slices.count)
        beyond = np.zeros(self.slices.count, bool)
        for end, at in self.ends.items():
            beyond |= self.beyond(end, index, at)
        return beyond

    def beyond(self, end: str, index: Array, at: float) -> Array:
        """Return which slice positions lie beyond a plane at a position."""
        return np.asarray(index < at if (end == "apex") == self.slices.rises else index > at)


def check_image(hints: Hints, image: Volume) -> None:
    """Raise GeometryError if hints were given for another image, by its digest."""
    own = image.source.sha256
    if hints.image_sha256 and own and hints.image_sha256 != own:
        raise GeometryError(
            f"The hints were given for another image (its digest begins with {hints.image_sha256[:8]}, here is "
            f"{own[:8]}); give the image that they were drawn on."
        )


def placed(hints: Hints, image: Volume) -> Placed:
    """Return hints on the grid of an image.

    Raises
    ------
    GeometryError
        The hints were given for another image, one lies outside of it, or two contradict each other.
    """
    check_image(hints, image)
    slices = transverse_of(image.array.shape, image.affine, image.orientation)
    on_grid = _OnGrid(image, slices)
    for number, hint in enumerate(hints.items, 1):
        on_grid.add(number, hint)
    return on_grid.checked()


class _OnGrid:
    """The hints so far, with their numbers."""

    def __init__(self, image: Volume, slices: Transverse) -> None:
        self.shape, self.affine, self.slices = image.array.shape, np.asarray(image.affine), slices
        self.ends: dict[str, tuple[int, float]] = {}
        self.contours: dict[int, tuple[int, Array]] = {}
        self.boundary: list[tuple[int, Array]] = []
        self.painted: dict[str, list[tuple[int, Array]]] = {"inside": [], "outside": []}
        self.names: dict[int, str] = {}

    def add(self, number: int, hint: Hint) -> None:
        self.names[number] = f"hint {number} ({_described(hint)})"
        if isinstance(hint, Plane):
            at = float(self.index(number, [hint.at_mm])[0, self.slices.axis])
            self.ends[hint.end] = (number, at)
        elif isinstance(hint, Contour):
            k = self.slice_of(number, [hint.at_mm])
            self.contours[k] = (number, self.mask_of(number, hint, k))
        elif isinstance(hint, Scribble):
            self.index(number, hint.path_mm)
            self.painted[hint.side].append((number, self.stroke(hint)))
        elif hint.side == "boundary":
            self.boundary.append((number, self.index(number, [hint.at_mm])))
        else:
            self.painted[hint.side].append((number, self.nearest(self.index(number, [hint.at_mm]))))

    def index(self, number: int, points_mm: Sequence[Sequence[float]]) -> Array:
        """Return points in RAS mm as voxel indices (n, 3). Raise GeometryError if one is outside the grid."""
        inverse = np.linalg.inv(self.affine)
        at = np.asarray(points_mm, float) @ inverse[:3, :3].T + inverse[:3, 3]
        beyond = np.maximum(-0.5 - at, at - (np.array(self.shape) - 0.5)).max()
        if beyond > 1e-3:
            far = float(beyond)
            raise GeometryError(
                f"{_capital(self.names[number])} lies outside the image by {far:.1f} voxels; give a place in "
                "the image, in RAS mm."
            )
        return np.asarray(at)

    def nearest(self, at: Array) -> Array:
        return np.asarray(np.rint(at).astype(int).clip(0, np.array(self.shape) - 1))

    def slice_of(self, number: int, points_mm: Sequence[Sequence[float]]) -> int:
        """Return the index of the slice on which all points lie."""
        along = self.index(number, points_mm)[:, self.slices.axis]
        k = int(np.rint(along[0]).clip(0, self.slices.count - 1))
        if np.abs(along - k).max() > OFF_SLICE:
            raise GeometryError(
                f"{_capital(self.names[number])} does not lie on one transverse slice: its points are on slices "
                f"{along.min() + 1:.2f} to {along.max() + 1:.2f}; draw it on one slice."
            )
        return k

    def mask_of(self, number: int, contour: Contour, k: int) -> Array:
        across = [axis for axis in range(3) if axis != self.slices.axis]
        mask_shape = [self.shape[axis] for axis in across]
        outlines = []
        for outline in contour.outlines_mm:
            if self.slice_of(number, outline) != k:
                raise GeometryError(
                    f"{_capital(self.names[number])} has an outline on another slice; draw one contour a slice."
                )
            outlines.append(self.index(number, outline)[:, across])
        return filled(outlines, mask_shape, self.names[number])

    def stroke(self, scribble: Scribble) -> Array:
        path = scribble.path_mm if len(scribble.path_mm) > 1 else scribble.path_mm * 2
        radius = max(scribble.radius_mm, 1e-6)
        mask = np.zeros(self.shape, bool)
        for start, end in pairwise(path):
            mask[tuple(voxels_of(Thing("Scribble", start, end, radius), self.affine, self.shape).T)] = True
        return np.argwhere(mask)

    def checked(self) -> Placed:
        """Return the hints without their numbers. Raise GeometryError if two contradict each other."""
        self._check_ends()
        for side, groups in self.painted.items():
            for number, voxels in groups:
                self._check_within(number, voxels, side)
        self._check_sides()
        for number, at in self.boundary:
            self._check_passes(number, at)
        painted = {
            side: np.concatenate([np.empty((0, 3), int), *(voxels for _, voxels in groups)])
            for side, groups in self.painted.items()
        }
        return Placed(
            self.slices,
            {end: at for end, (_, at) in self.ends.items()},
            np.concatenate([np.empty((0, 3)), *(at for _, at in self.boundary)]),
            tuple(self.names[number] for number, _ in self.boundary),
            painted["inside"],
            painted["outside"],
            {k: mask for k, (_, mask) in self.contours.items()},
        )

    def _check_ends(self) -> None:
        for end, (number, at) in self.ends.items():
            if Placed(self.slices, {end: at}).empty_slices().all():
                raise GeometryError(
                    f"{_capital(self.names[number])} lies beyond all slices of the image, so nothing of the gland "
                    "is left; give a place in the image."
                )
        if len(self.ends) == 2:
            (apex, low), (base, high) = self.ends["apex"], self.ends["base"]
            if (high - low if self.slices.rises else low - high) < 0:
                raise self._contradiction(apex, base, "the apex lies above the base")
            if Placed(self.slices, {"apex": low, "base": high}).empty_slices().all():
                raise self._contradiction(apex, base, "no slice lies between them")
        for number, mask in self.contours.values():
            if mask.any():
                k = next(k for k, (own, _) in self.contours.items() if own == number)
                self._check_planes(number, np.array([k]))

    def _check_planes(self, number: int, along: Array) -> None:
        none = Placed(self.slices)
        for end, (plane, at) in self.ends.items():
            if none.beyond(end, along, at).any():
                raise self._contradiction(number, plane, f"it lies beyond the plane of the {end}")

    def _check_within(self, number: int, voxels: Array, side: str) -> None:
        """Check the voxels of a point or scribble against planes and contours."""
        if side == "inside":
            self._check_planes(number, voxels[:, self.slices.axis])
        across = [axis for axis in range(3) if axis != self.slices.axis]
        for k, (contour, mask) in self.contours.items():
            here = voxels[voxels[:, self.slices.axis] == k][:, across]
            if (mask[tuple(here.T)] != (side == "inside")).any():
                raise self._contradiction(number, contour, f"it is not {side} the contour of slice {k + 1}")

    def _check_passes(self, number: int, at: Array) -> None:
        """Check a boundary point against planes, contours, and voxels inside and outside."""
        axis = self.slices.axis
        k = int(np.rint(at[0, axis]).clip(0, self.slices.count - 1))
        self._check_planes(number, np.array([at[0, axis], k]))
        across = [n for n in range(3) if n != axis]
        pixel_mm = np.linalg.norm(self.affine[:3, :3], axis=0)[across]
        inside, owner = self._fixed_on(k)
        if may_pass(inside, owner > 0, at[0, across], pixel_mm):
            return
        pixels = np.argwhere(owner)
        nearest = pixels[np.linalg.norm((pixels - at[0, across]) * pixel_mm, axis=1).argmin()]
        other = int(owner[tuple(nearest)])
        why = f"it is not on the contour of slice {k + 1}" if k in self.contours else "it lies amid its voxels"
        raise self._contradiction(number, other, why)

    def _fixed_on(self, k: int) -> tuple[Array, Array]:
        """Return which pixels of a slice are inside by a hint, and the number of the hint that fixes each, or 0."""
        across = [n for n in range(3) if n != self.slices.axis]
        inside = np.zeros([self.shape[n] for n in across], bool)
        owner = np.zeros(inside.shape, int)
        for side, groups in self.painted.items():
            for number, voxels in groups:
                here = tuple(voxels[voxels[:, self.slices.axis] == k][:, across].T)
                inside[here], owner[here] = side == "inside", number
        if k in self.contours:
            number, inside = self.contours[k]
            owner[:] = number
        return inside, owner

    def _check_sides(self) -> None:
        """Check that no voxel is both inside and outside."""
        if not all(self.painted.values()):
            return
        found = []
        for groups in self.painted.values():
            flat = [np.ravel_multi_index(tuple(voxels.T), self.shape) for _, voxels in groups]
            owner = [np.full(len(part), number) for part, (number, _) in zip(flat, groups, strict=True)]
            empty = np.empty(0, int)
            found.append((np.concatenate([empty, *flat]), np.concatenate([empty, *owner])))
        (inside, first), (outside, second) = found
        _, here, there = np.intersect1d(inside, outside, return_indices=True)
        if len(here):
            raise self._contradiction(int(first[here[0]]), int(second[there[0]]), "both hold the same voxel")

    def _contradiction(self, one: int, other: int, why: str) -> GeometryError:
        return contradiction(self.names[one], self.names[other], why)


def contradiction(one: str, other: str, why: str) -> GeometryError:
    """Return the error on two hints, by their names, that cannot both be obeyed."""
    return GeometryError(f"{_capital(one)} contradicts {other}: {why}; leave one of the two out.")


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _described(hint: Hint) -> str:
    if isinstance(hint, Plane):
        return f"plane of the {hint.end}"
    if isinstance(hint, Point):
        return f"{hint.side} point"
    return f"{hint.side} scribble" if isinstance(hint, Scribble) else kind_of(hint)
