"""Overlap, surface distances in millimetres and volumes of binary masks.

A mask is an array of 0 and 1 on an orthogonal grid, isotropic or not, along the patient's axes or
oblique to them; a sheared grid is refused (:func:`orthogonal_spacing_mm`). Distances run between voxel
centres of the masks' boundaries, in mm. The boundary of a mask is the mask minus its 6-connected
erosion, and the image's border counts as outside. Axes of length 1 carry no boundary: a single slice
is measured in its plane (4-connected) and has no volume.

The empty-mask table:

===================== ==== ========= ================ =====================
prediction, reference Dice distances volume error, mL relative volume error
===================== ==== ========= ================ =====================
both empty            1    0         0                0
prediction empty      0    inf       -V(reference)    -1
reference empty       0    inf       +V(prediction)   inf
===================== ==== ========= ================ =====================

Summaries over cases (``prostate_seg.summary``) count infinite distances and replace each by the
:func:`diagonal_mm` of its reference image, which no distance exceeds: a missed case never improves a score.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.ndimage import distance_transform_edt
from scipy.spatial import KDTree

from .errors import GeometryError, SettingsError
from .volume import spacing_of

Array = np.ndarray[Any, Any]

DISTANCES = ("hd_mm", "hd95_mm", "assd_mm")


@dataclass(frozen=True)
class Metrics:
    """One prediction measured against its reference.

    dice: in [0, 1]. hd_mm, hd95_mm, assd_mm: see :class:`SurfaceDistances`; inf where one mask is empty.
    volume_ml, reference_volume_ml, volume_error_ml (prediction minus reference) and
    relative_volume_error (that over the reference, 0.1 is 10 % too large): None for a single slice.
    """

    dice: float
    hd_mm: float
    hd95_mm: float
    assd_mm: float
    volume_ml: float | None
    reference_volume_ml: float | None
    volume_error_ml: float | None
    relative_volume_error: float | None


@dataclass(frozen=True)
class Overlap:
    """Voxel counts of two masks."""

    intersection: int
    prediction: int
    reference: int

    @property
    def dice(self) -> float:
        """2 |P and R| / (|P| + |R|), in [0, 1]; 1 where both are empty (Dice 1945)."""
        total = self.prediction + self.reference
        return 2.0 * self.intersection / total if total else 1.0


@dataclass(frozen=True, eq=False)
class SurfaceDistances:
    """Distance in mm from each boundary voxel of one mask to the nearest boundary voxel of the other.

    to_reference: (number of the prediction's boundary voxels,), to_prediction: likewise for the
    reference, both unordered. Empty masks: both arrays are empty, or the one that exists holds inf.
    """

    to_reference: Array
    to_prediction: Array

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


def orthogonal_spacing_mm(affine: Array) -> tuple[float, float, float]:
    """Spacing along i, j, k of a 4x4 affine in mm; GeometryError where its axes are sheared.

    Axes may deviate from right angles by a cosine of 0.001 (0.06 degrees): distances err by about 0.1 %.
    """
    axes = np.asarray(affine, np.float64)[:3, :3]
    axes = axes / np.linalg.norm(axes, axis=0)
    cosine = float(np.abs(axes.T @ axes - np.eye(3)).max())
    if cosine > 1e-3:
        raise GeometryError(
            f"The grid is sheared: two of its axes meet at {np.degrees(np.arccos(min(cosine, 1.0))):.2f} "
            "degrees, expected 90; resample both masks to an orthogonal grid."
        )
    return spacing_of(affine)


def diagonal_mm(shape: Sequence[int], spacing_mm: Sequence[float]) -> float:
    """Diagonal of an image's outer box in mm: no distance between two of its voxels is longer."""
    return float(np.linalg.norm(np.asarray(shape, np.float64) * np.asarray(spacing_mm, np.float64)))


def overlap(prediction: Array, reference: Array) -> Overlap:
    """Count voxels of two masks of equal shape (any number of axes). GeometryError if they differ."""
    prediction, reference = _masks(prediction, reference)
    return Overlap(
        int(np.count_nonzero(prediction & reference)),
        int(np.count_nonzero(prediction)),
        int(np.count_nonzero(reference)),
    )


def surface_distances(prediction: Array, reference: Array, spacing_mm: Sequence[float]) -> SurfaceDistances:
    """Exact distances between the boundaries of two masks of equal shape.

    spacing_mm: distance of voxel centres along each axis, positive. The module's docstring defines the
    boundary and the empty masks. Raises GeometryError for shapes, SettingsError for the spacing.
    """
    prediction, reference = _masks(prediction, reference)
    spacing = _checked_spacing(spacing_mm, prediction.ndim)
    thick = [axis for axis, length in enumerate(prediction.shape) if length > 1] or list(range(prediction.ndim))
    box = _bounding_box(prediction | reference)
    prediction, reference = prediction[box], reference[box]
    surface, other = _boundary(prediction, thick), _boundary(reference, thick)
    counts = int(np.count_nonzero(surface)), int(np.count_nonzero(other))
    if 0 in counts:
        return SurfaceDistances(np.full(counts[0], np.inf), np.full(counts[1], np.inf))
    # Both ways are exact. A KD-tree wins where thin surfaces lie close, the distance transform elsewhere.
    close = overlap(prediction, reference).dice > 0.7 and sum(counts) < 0.1 * surface.size
    measure = _to_nearest if close else _to_nearest_by_transform
    return SurfaceDistances(measure(surface, other, spacing), measure(other, surface, spacing))


def evaluate_masks(prediction: Array, reference: Array, spacing_mm: Sequence[float]) -> Metrics:
    """All metrics of a prediction against its reference.

    prediction, reference: equal shapes, (I, J, K) or (I, J), values 0 and 1 only (a probability must be
    thresholded first). spacing_mm: one positive length an axis; an orthogonal grid is assumed. Raises
    GeometryError (shapes), SettingsError (values, spacing).
    """
    counts = overlap(prediction, reference)
    distances = surface_distances(prediction, reference, spacing_mm)
    shape = np.shape(prediction)
    volume = reference_volume = error = relative = None
    if len(shape) == 3 and min(shape) > 1:
        voxel_ml = float(np.prod(np.asarray(spacing_mm, np.float64))) / 1000.0
        volume, reference_volume = counts.prediction * voxel_ml, counts.reference * voxel_ml
        error = volume - reference_volume
        relative = error / reference_volume if counts.reference else (float("inf") if counts.prediction else 0.0)
    return Metrics(
        dice=counts.dice,
        hd_mm=distances.hd_mm,
        hd95_mm=distances.hd95_mm,
        assd_mm=distances.assd_mm,
        volume_ml=volume,
        reference_volume_ml=reference_volume,
        volume_error_ml=error,
        relative_volume_error=relative,
    )


def _masks(prediction: Array, reference: Array) -> tuple[Array, Array]:
    prediction, reference = np.asarray(prediction), np.asarray(reference)
    if prediction.shape != reference.shape or prediction.ndim == 0:
        raise GeometryError(
            f"The prediction has shape {prediction.shape}, the reference {reference.shape}; expected equal "
            "shapes, resample one to the other's grid."
        )
    return _binary(prediction, "prediction"), _binary(reference, "reference")


def _binary(mask: Array, name: str) -> Array:
    if mask.dtype == np.bool_:
        return mask
    inside = mask == 1
    if np.count_nonzero(inside) != np.count_nonzero(mask):  # NaN counts as non-zero
        other = mask[~inside & (mask != 0)].flat[0]
        raise SettingsError(
            f"The {name} is not a mask: it holds the value {other}, expected 0 and 1 only; choose one label "
            "or threshold the probability."
        )
    return np.asarray(inside)


def _checked_spacing(spacing_mm: Sequence[float], axes: int) -> Array:
    spacing = np.asarray(spacing_mm, np.float64)
    if spacing.shape != (axes,) or not np.isfinite(spacing).all() or (spacing <= 0).any():
        raise SettingsError(f"Spacing is {axes} positive lengths in mm, one an axis, got {spacing.tolist()}.")
    return spacing


def _bounding_box(mask: Array) -> tuple[slice, ...]:
    box = []
    for axis in range(mask.ndim):
        filled = np.flatnonzero(mask.any(tuple(other for other in range(mask.ndim) if other != axis)))
        box.append(slice(int(filled[0]), int(filled[-1]) + 1) if filled.size else slice(0, 0))
    return tuple(box)


def _boundary(mask: Array, axes: Sequence[int]) -> Array:
    """Mask minus its erosion by the two neighbours along each of the axes; beyond the array is outside."""
    inside = mask.copy()
    for axis in axes:
        moved_mask, moved_inside = np.moveaxis(mask, axis, 0), np.moveaxis(inside, axis, 0)
        moved_inside[1:] &= moved_mask[:-1]
        moved_inside[:-1] &= moved_mask[1:]
        moved_inside[:1] = False
        moved_inside[-1:] = False
    return mask & ~inside


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
