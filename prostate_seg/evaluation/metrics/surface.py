"""Distances in mm between the boundaries of two masks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.ndimage import distance_transform_edt
from scipy.spatial import KDTree

from ...geometry.extent import bounding_box
from ...geometry.volume import Array
from .masks import boundary, checked_masks, checked_spacing
from .overlap import overlap


@dataclass(frozen=True, eq=False)
class SurfaceDistances:
    """Distances in mm from each boundary voxel of one mask to the nearest boundary voxel of the other mask.

    If both masks are empty, all arrays are empty. If only one mask is empty, the distances of the other mask are
    inf.

    Attributes
    ----------
    to_reference
        Distances of the boundary voxels of the prediction, (P,).
    to_prediction
        Distances of the boundary voxels of the reference, (R,).
    prediction_voxels, reference_voxels
        Indices of these boundary voxels, (P, axes) and (R, axes).
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
        """Return the fraction of the boundary voxels of both masks within a tolerance; 1 if there are no voxels."""
        together = np.concatenate([self.to_reference, self.to_prediction])
        return float((together <= tolerance_mm).mean()) if together.size else 1.0

    def where(self, prediction: Array, reference: Array) -> SurfaceDistances:
        """Return the distances of selected boundary voxels only.

        A mask without a selected boundary voxel adds no distance to the result. If one of the masks is empty, the
        distances of the other mask stay infinite.

        Parameters
        ----------
        prediction, reference
            Bool arrays of the selected boundary voxels, (P,) and (R,).
        """
        return SurfaceDistances(
            self.to_reference[prediction],
            self.to_prediction[reference],
            self.prediction_voxels[prediction],
            self.reference_voxels[reference],
        )


def surface_distances(prediction: Array, reference: Array, spacing_mm: Sequence[float]) -> SurfaceDistances:
    """Compute the exact distances between the boundaries of two masks.

    The docstring of the package defines the boundary and the values for empty masks.

    Parameters
    ----------
    prediction, reference
        Masks of equal shape, with the values 0 and 1.
    spacing_mm
        Positive distance of voxel centres along each axis.

    Raises
    ------
    GeometryError
        The shapes differ.
    SettingsError
        The spacing is invalid, or a mask has another value than 0 and 1.
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
    # Both methods are exact. The KD-tree is faster for thin surfaces close to each other, the transform otherwise.
    close = overlap(prediction, reference).dice > 0.7 and sum(counts) < 0.1 * surface.size
    measure = _to_nearest if close else _to_nearest_by_transform
    return SurfaceDistances(measure(surface, other, spacing), measure(other, surface, spacing), *voxels)


def _to_nearest(surface: Array, target: Array, spacing: Array) -> Array:
    """Return the distance in mm from each voxel of surface to the nearest voxel of target, with a KD-tree."""
    distances = np.zeros(int(np.count_nonzero(surface)))
    apart = ~target[surface]  # a voxel on both surfaces is at distance 0
    tree = KDTree(np.argwhere(target) * spacing, balanced_tree=False, compact_nodes=False)
    distances[apart] = tree.query(np.argwhere(surface & ~target) * spacing)[0]
    return distances


def _to_nearest_by_transform(surface: Array, target: Array, spacing: Array) -> Array:
    """Return the same distances as :func:`_to_nearest`, with a Euclidean distance transform of the whole box."""
    return np.asarray(distance_transform_edt(~target, sampling=spacing)[surface])


def _percentile95(distances: Array) -> float:
    # Either all distances are infinite or none. Interpolation between infinite values would give NaN.
    return float(np.percentile(distances, 95.0)) if np.isfinite(distances[0]) else float("inf")


def _or_zero(statistic: Callable[[Array], Any], distances: Array) -> float:
    return float(statistic(distances)) if distances.size else 0.0
