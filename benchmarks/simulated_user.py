"""Simulated users, who know the reference mask and give hints as a person would.

They give the end planes by slice numbers, each off by -1, 0 or 1 at random; or a point on the true boundary, within
a slice, where the mask is most wrong; or contours on every second planning slice.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from prostate_seg.geometry.hints import Contour, Plane, Point, Point3
from prostate_seg.geometry.slices import transverse_of
from prostate_seg.geometry.volume import Volume
from prostate_seg.writing.dicom.contours import closed_contours

AROUND_MM = 6.0  # a user sees how wrong a stretch of the contour is, not a single point
PLANNING_MM = 5.0  # usual distance of planning slices


class SimulatedUser:
    """A user of one volume.

    Parameters
    ----------
    volume
        The volume.
    truth
        Reference mask, bool (I, J, K).
    """

    def __init__(self, volume: Volume, truth: np.ndarray) -> None:
        self.volume, self.truth = volume, truth
        self.slices = transverse_of(volume.array.shape, volume.affine, volume.orientation)
        self.spacing = np.array(volume.spacing_mm)
        self.points = self._boundary()
        tree = cKDTree(self.points * self.spacing)
        self.around = tree.query_ball_point(self.points * self.spacing, AROUND_MM)

    def _boundary(self) -> np.ndarray:
        """Return the points (n, 3) half-way between neighbours in a slice of which one is inside, in voxels."""
        found = []
        for axis in (one for one in range(3) if one != self.slices.axis):
            found.append(np.argwhere(np.diff(self.truth, axis=axis)) + 0.5 * np.eye(3)[axis])
        return np.concatenate(found)

    def ras_mm(self, index: np.ndarray) -> Point3:
        """Return a voxel index as RAS mm."""
        x, y, z = map(float, self.volume.affine[:3, :3] @ index + self.volume.affine[:3, 3])
        return x, y, z

    def errors_mm(self, mask: np.ndarray) -> np.ndarray:
        """Return how far each true boundary point is from a mask's boundary, positive inside the mask."""
        inside = ndimage.distance_transform_edt(mask, sampling=self.spacing)
        outside = ndimage.distance_transform_edt(~mask, sampling=self.spacing)
        return ndimage.map_coordinates(inside - outside, self.points.T, order=1)

    def click(self, mask: np.ndarray, *, farthest: bool = False, empty: np.ndarray | None = None) -> Point:
        """Return a boundary point where the mask is most wrong.

        This is the middle of the stretch (6 mm around) with the largest sum of errors; or, if ``farthest``, the
        point with the largest error. It lies on none of the slices that are ``empty``, bool (K,).
        """
        errors = self.errors_mm(mask)
        wrong = np.abs(errors) if farthest else np.array([abs(errors[near].sum()) for near in self.around])
        if empty is not None:
            wrong[empty[self.points[:, self.slices.axis].astype(int)]] = 0
        return Point("boundary", self.ras_mm(self.points[wrong.argmax()]))

    def nearest(self, at_mm: Sequence[float]) -> Point:
        """Return the boundary point nearest to a suggested place."""
        inverse = np.linalg.inv(self.volume.affine)
        index = inverse[:3, :3] @ np.asarray(at_mm) + inverse[:3, 3]
        n = np.linalg.norm((self.points - index) * self.spacing, axis=1).argmin()
        return Point("boundary", self.ras_mm(self.points[n]))

    def planes(self, rng: np.random.Generator) -> tuple[Plane, Plane]:
        """Return the planes of apex and base, at the outer faces of slices that are off by one at random."""
        first, last = self._ends()
        low, high = first + rng.integers(-1, 2) - 0.5, last + rng.integers(-1, 2) + 0.5
        low, high = max(low, -0.5), min(high, self.slices.count - 0.5)
        axis = np.eye(3)[self.slices.axis]
        ends = ("apex", "base") if self.slices.rises else ("base", "apex")
        one, other = (
            Plane(end, self.ras_mm(axis * at))
            for end, at in zip(ends, (low, high), strict=True)  # type: ignore[arg-type]
        )
        return one, other

    def _ends(self) -> tuple[int, int]:
        others = tuple(axis for axis in range(3) if axis != self.slices.axis)
        there = np.flatnonzero(self.truth.any(axis=others))
        return int(there[0]), int(there[-1])

    def contoured(self, every: int) -> list[int]:
        """Return every n-th planning slice of the gland, from its first slice on."""
        first, last = self._ends()
        step = max(1, round(PLANNING_MM / float(self.spacing[self.slices.axis]))) * every
        return list(range(first, last + 1, step))

    def contour(self, k: int) -> Contour:
        """Return the true contour of a slice."""
        axis = self.slices.axis
        across = [n for n in range(3) if n != axis]

        def place(point: np.ndarray) -> Point3:
            index = np.zeros(3)
            index[across], index[axis] = point, k
            return self.ras_mm(index)

        lines = closed_contours(np.take(self.truth, k, axis=axis))
        return Contour(place(np.zeros(2)), tuple(tuple(place(point) for point in line) for line in lines))


def edited(mask: np.ndarray, at: np.ndarray, spacing_mm: np.ndarray, reach_mm: float = 8.0) -> np.ndarray:
    """Return a mask with its boundary moved to a point by a Gaussian bump: what a push brush does.

    Parameters
    ----------
    mask
        Bool (I, J, K).
    at
        Point in voxels.
    spacing_mm
        Voxel spacing.
    reach_mm
        Standard deviation of the bump.
    """
    inside, outside = (ndimage.distance_transform_edt(part, sampling=spacing_mm) for part in (mask, ~mask))
    distance = inside - outside
    off = float(ndimage.map_coordinates(distance, at[:, None], order=1)[0])
    square = sum(((axis - at[n]) * spacing_mm[n]) ** 2 for n, axis in enumerate(np.indices(mask.shape)))
    return np.asarray(distance - off * np.exp(-square / (2 * reach_mm**2)) > 0)
