"""Distances in mm between the boundaries of two masks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.ndimage import distance_transform_edt
from scipy.spatial import KDTree

from ...geometry.volume import Array, bounding_box
from .masks import boundary, checked_masks, checked_spacing
from .overlap import overlap


@dataclass(frozen=True, eq=False)
class SurfaceDistances:
    """Distance in mm from each boundary voxel of one mask to the nearest boundary voxel of the other.

    to_reference: (P,), of the prediction's boundary voxels, whose indices (P, axes) are
    prediction_voxels; to_prediction: (R,), likewise. Empty masks: both arrays are empty, or the one that
    exists holds inf.
    """

    to_reference: Array
    to_prediction: Array
    prediction_voxels: Array
    reference_voxels: Array

    @property
    def hd_mm(self) -> float:
        """Hausdorff distance: the larger of the two directed maxima."""
        return max(_or_zero(np.max, self.to_reference), _or_zero(np.max, self.to_prediction))

    @property
    def hd95_mm(self) -> float:
        """The larger of the two directed 95th percentiles (linear interpolation between ranks)."""
        return max(_or_zero(_percentile95, self.to_reference), _or_zero(_percentile95, self.to_prediction))

    @property
    def assd_mm(self) -> float:
        """Average symmetric surface distance: mean over the boundary voxels of both masks together."""
        return _or_zero(np.mean, np.concatenate([self.to_reference, self.to_prediction]))

    @property
    def means_mm(self) -> tuple[float, float]:
        """Mean distance from the prediction's boundary to the reference's, and back."""
        return _or_zero(np.mean, self.to_reference), _or_zero(np.mean, self.to_prediction)

    def surface_dice(self, tolerance_mm: float) -> float:
        """Share of the boundary voxels of both masks that lie within a tolerance; 1 where there are none."""
        together = np.concatenate([self.to_reference, self.to_prediction])
        return float((together <= tolerance_mm).mean()) if together.size else 1.0

    def where(self, prediction: Array, reference: Array) -> SurfaceDistances:
        """The distances of some of the boundary voxels only: two bool arrays, (P,) and (R,).

        Where a region holds none of one mask's boundary, that direction has none to say, unless the other
        mask is empty altogether: then all is infinite.
        """
        return SurfaceDistances(
            self.to_reference[prediction],
            self.to_prediction[reference],
            self.prediction_voxels[prediction],
            self.reference_voxels[reference],
        )


def surface_distances(prediction: Array, reference: Array, spacing_mm: Sequence[float]) -> SurfaceDistances:
    """Exact distances between the boundaries of two masks of equal shape.

    spacing_mm: distance of voxel centres along each axis, positive. The module's docstring defines the
    boundary and the empty masks. Raises GeometryError for shapes, SettingsError for the spacing.
    """
    prediction, reference = checked_masks(prediction, reference)
    spacing = checked_spacing(spacing_mm, prediction.ndim)
    thick = [axis for axis, length in enumerate(prediction.shape) if length > 1] or list(range(prediction.ndim))
    box = bounding_box(prediction | reference)
    prediction, reference = prediction[box], reference[box]
    surface, other = boundary(prediction, thick), boundary(reference, thick)
    counts = int(np.count_nonzero(surface)), int(np.count_nonzero(other))
    start = [edge.start for edge in box]
    voxels = tuple(np.argwhere(part) + start for part in (surface, other))
    if 0 in counts:
        return SurfaceDistances(np.full(counts[0], np.inf), np.full(counts[1], np.inf), *voxels)
    # Both ways are exact. A KD-tree wins where thin surfaces lie close, the distance transform elsewhere.
    close = overlap(prediction, reference).dice > 0.7 and sum(counts) < 0.1 * surface.size
    measure = _to_nearest if close else _to_nearest_by_transform
    return SurfaceDistances(measure(surface, other, spacing), measure(other, surface, spacing), *voxels)


def _to_nearest(surface: Array, target: Array, spacing: Array) -> Array:
    """Distance in mm from each voxel of surface to the nearest of target, by a KD-tree."""
    distances = np.zeros(int(np.count_nonzero(surface)))
    apart = ~target[surface]  # a voxel on both surfaces is at distance 0
    tree = KDTree(np.argwhere(target) * spacing, balanced_tree=False, compact_nodes=False)
    distances[apart] = tree.query(np.argwhere(surface & ~target) * spacing)[0]
    return distances


def _to_nearest_by_transform(surface: Array, target: Array, spacing: Array) -> Array:
    """The same by a Euclidean distance transform of the whole box."""
    return np.asarray(distance_transform_edt(~target, sampling=spacing)[surface])


def _percentile95(distances: Array) -> float:
    # All distances are infinite or none is; interpolation between infinities would give NaN.
    return float(np.percentile(distances, 95.0)) if np.isfinite(distances[0]) else float("inf")


def _or_zero(statistic: Callable[[Array], Any], distances: Array) -> float:
    return float(statistic(distances)) if distances.size else 0.0
