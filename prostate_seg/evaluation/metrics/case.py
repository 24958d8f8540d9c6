"""Metrics of one case."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...errors import GeometryError
from ...geometry.extent import bounding_box
from ...geometry.volume import Array
from .masks import checked_masks, orthogonal_spacing_mm
from .overlap import Overlap, overlap
from .patient import THIRDS, by_direction, centroid_lps_mm, ellipsoid_ml, extents_mm, third_bounds_mm, thirds_of
from .surface import SurfaceDistances, surface_distances


@dataclass(frozen=True)
class Metrics:
    """Metrics of one prediction against its reference.

    None means undefined, see the table in the docstring of the package. The extents and all metrics below them are
    None if the orientation is unknown.

    Attributes
    ----------
    dice, iou, precision, recall
        Overlap, in [0, 1].
    hd_mm, hd95_mm, assd_mm, mean_distance_to_reference_mm, mean_distance_to_prediction_mm
        Surface distances, see :class:`SurfaceDistances`.
    surface_dice_1mm, surface_dice_2mm, surface_dice_3mm
        Surface Dice with a tolerance of 1, 2 and 3 mm, in [0, 1].
    centroid_shift_mm
        Distance between the two centroids.
    volume_ml, reference_volume_ml
        Volumes of prediction and reference.
    volume_error_ml, absolute_volume_error_ml
        Volume of the prediction minus volume of the reference, and its absolute value.
    relative_volume_error, absolute_relative_volume_error
        Volume error divided by the volume of the reference (0.1 is 10 % too large), and its absolute value.
    slice_dice
        Mean 2D Dice over the slices (axis k) that contain either mask. Much of the literature reports this value.
    missed_slices, extra_slices
        Number of slices that contain only the reference, and only the prediction.
    left_right_mm, anterior_posterior_mm, superior_inferior_mm
        Extents of the prediction along the patient's axes; with the prefix ``reference_`` those of the reference.
    ellipsoid_ml, reference_ellipsoid_ml
        Ellipsoid volumes: π/6 times the product of the three extents.
    dice_apex, dice_mid, dice_base, hd95_apex_mm, hd95_mid_mm, hd95_base_mm
        Dice and HD95 in the thirds of the reference from apex to base.
    distance_anterior_mm, distance_posterior_mm, distance_left_mm, distance_right_mm
        Mean surface distance by direction from the centroid of the reference.
    """

    dice: float
    hd_mm: float
    hd95_mm: float
    assd_mm: float
    iou: float
    precision: float
    recall: float
    mean_distance_to_reference_mm: float
    mean_distance_to_prediction_mm: float
    surface_dice_1mm: float
    surface_dice_2mm: float
    surface_dice_3mm: float
    centroid_shift_mm: float | None = None
    volume_ml: float | None = None
    reference_volume_ml: float | None = None
    volume_error_ml: float | None = None
    absolute_volume_error_ml: float | None = None
    relative_volume_error: float | None = None
    absolute_relative_volume_error: float | None = None
    slice_dice: float | None = None
    missed_slices: int | None = None
    extra_slices: int | None = None
    left_right_mm: float | None = None
    anterior_posterior_mm: float | None = None
    superior_inferior_mm: float | None = None
    reference_left_right_mm: float | None = None
    reference_anterior_posterior_mm: float | None = None
    reference_superior_inferior_mm: float | None = None
    ellipsoid_ml: float | None = None
    reference_ellipsoid_ml: float | None = None
    dice_apex: float | None = None
    dice_mid: float | None = None
    dice_base: float | None = None
    hd95_apex_mm: float | None = None
    hd95_mid_mm: float | None = None
    hd95_base_mm: float | None = None
    distance_anterior_mm: float | None = None
    distance_posterior_mm: float | None = None
    distance_left_mm: float | None = None
    distance_right_mm: float | None = None


# Distances. They are infinite for a missed case; a summary then uses the diagonal of the image instead.
DISTANCES = (
    *("hd_mm", "hd95_mm", "assd_mm", "mean_distance_to_reference_mm", "mean_distance_to_prediction_mm"),
    *("centroid_shift_mm", "hd95_apex_mm", "hd95_mid_mm", "hd95_base_mm"),
    *("distance_anterior_mm", "distance_posterior_mm", "distance_left_mm", "distance_right_mm"),
)
# Metrics that rank predictions: 1 if a higher value is better, -1 if a lower value is better. Volumes and slice
# counts are not among them: a missed case may be closer to the true volume than a mask that is far too large.
SCORES = {
    **dict.fromkeys(("dice", "iou", "precision", "recall", "slice_dice"), 1),
    **dict.fromkeys(("surface_dice_1mm", "surface_dice_2mm", "surface_dice_3mm"), 1),
    **dict.fromkeys(("dice_apex", "dice_mid", "dice_base"), 1),
    **dict.fromkeys(DISTANCES, -1),
}


def evaluate_masks(
    prediction: Array,
    reference: Array,
    spacing_mm: Sequence[float] | None = None,
    *,
    affine: Array | None = None,
) -> Metrics:
    """Compute all metrics of a prediction against its reference.

    Parameters
    ----------
    prediction, reference
        Masks of equal shape, (I, J, K) or (I, J). The only values are 0 and 1: threshold a probability first.
    spacing_mm
        Positive voxel spacing along each axis of an orthogonal grid. Not used if ``affine`` is given.
    affine
        Affine of (I, J, K) masks in RAS mm. It is required for the metrics that need the patient's directions.

    Raises
    ------
    GeometryError
        The shapes differ, the grid is sheared, or neither spacing nor affine is given.
    SettingsError
        A mask has another value than 0 and 1, or the spacing is invalid.
    """
    prediction, reference = checked_masks(prediction, reference)
    if affine is not None:
        spacing_mm = orthogonal_spacing_mm(affine)
    if spacing_mm is None:
        raise GeometryError("Distances need the spacing in mm or the affine; give one of them.")
    if prediction.ndim == 2:
        prediction, reference, spacing_mm = prediction[..., None], reference[..., None], (*spacing_mm, 1.0)
    counts = overlap(prediction, reference)
    distances = surface_distances(prediction, reference, spacing_mm)
    means = distances.means_mm
    values = _slices(prediction, reference)
    if min(prediction.shape) > 1:
        values |= _volumes(counts, float(np.prod(np.asarray(spacing_mm, np.float64))) / 1000.0)
    values |= _positions(prediction, reference, distances, affine=affine, spacing_mm=spacing_mm)
    return Metrics(
        dice=counts.dice,
        iou=counts.iou,
        precision=counts.precision,
        recall=counts.recall,
        hd_mm=distances.hd_mm,
        hd95_mm=distances.hd95_mm,
        assd_mm=distances.assd_mm,
        mean_distance_to_reference_mm=float("inf") if _missed(counts) else means[0],
        mean_distance_to_prediction_mm=float("inf") if _missed(counts) else means[1],
        surface_dice_1mm=distances.surface_dice(1.0),
        surface_dice_2mm=distances.surface_dice(2.0),
        surface_dice_3mm=distances.surface_dice(3.0),
        **values,  # type: ignore[arg-type]
    )


def _missed(counts: Overlap) -> bool:
    """Return whether exactly one of the masks is empty."""
    return (counts.prediction == 0) != (counts.reference == 0)


def _volumes(counts: Overlap, voxel_ml: float) -> dict[str, float | None]:
    volume, reference = counts.prediction * voxel_ml, counts.reference * voxel_ml
    error = volume - reference
    relative = error / reference if counts.reference else (float("inf") if counts.prediction else 0.0)
    return {
        "volume_ml": volume,
        "reference_volume_ml": reference,
        "volume_error_ml": error,
        "absolute_volume_error_ml": abs(error),
        "relative_volume_error": relative,
        "absolute_relative_volume_error": abs(relative),
    }


def _slices(prediction: Array, reference: Array) -> dict[str, float | None]:
    shared, of_prediction, of_reference = (
        mask.sum(axis=(0, 1)) for mask in (prediction & reference, prediction, reference)
    )
    held = (of_prediction + of_reference) > 0
    dice = 2 * shared[held] / (of_prediction + of_reference)[held]
    return {
        "slice_dice": float(dice.mean()) if held.any() else 1.0,
        "missed_slices": int(((of_reference > 0) & (of_prediction == 0)).sum()),
        "extra_slices": int(((of_reference == 0) & (of_prediction > 0)).sum()),
    }


def _positions(
    prediction: Array,
    reference: Array,
    distances: SurfaceDistances,
    *,
    affine: Array | None,
    spacing_mm: Sequence[float],
) -> dict[str, float | None]:
    """Return the centroid shift and, if the affine is known, extents and the metrics by third and direction."""
    place = (
        np.diag([*np.asarray(spacing_mm, np.float64), 1.0]) if affine is None else np.asarray(affine, np.float64)
    )
    centres = centroid_lps_mm(prediction, place), centroid_lps_mm(reference, place)
    values: dict[str, float | None] = {"centroid_shift_mm": _apart(*centres)}
    if affine is None:
        return values
    names = ("left_right_mm", "anterior_posterior_mm", "superior_inferior_mm")
    for prefix, mask in (("", prediction), ("reference_", reference)):
        extents = extents_mm(mask, place)
        values |= {f"{prefix}{name}": value for name, value in zip(names, extents, strict=True)}
        values[f"{prefix}ellipsoid_ml"] = ellipsoid_ml(extents)
    if centres[1] is None:
        return values
    values |= {f"distance_{name}_mm": value for name, value in by_direction(distances, place, centres[1]).items()}
    return values | _thirds(prediction, reference, distances, place)


def _apart(first: Array | None, second: Array | None) -> float:
    if first is None or second is None:
        return 0.0 if first is second else float("inf")
    return float(np.linalg.norm(first - second))


def _thirds(
    prediction: Array, reference: Array, distances: SurfaceDistances, affine: Array
) -> dict[str, float | None]:
    bounds = third_bounds_mm(reference, affine)
    box = bounding_box(prediction | reference)
    third = np.broadcast_to(thirds_of(prediction.shape, affine, bounds), prediction.shape)
    inner = third[box]
    counts = [np.bincount(inner[mask], minlength=3) for mask in
              (prediction[box] & reference[box], prediction[box], reference[box])]  # fmt: skip
    missed = not prediction.any()
    sides = [third[tuple(voxels.T)] for voxels in (distances.prediction_voxels, distances.reference_voxels)]
    values: dict[str, float | None] = {}
    for index, name in enumerate(THIRDS):
        shared, of_prediction, of_reference = (int(count[index]) for count in counts)
        part = distances.where(sides[0] == index, sides[1] == index)
        values[f"dice_{name}"] = 0.0 if missed else Overlap(shared, of_prediction, of_reference).dice
        values[f"hd95_{name}_mm"] = float("inf") if missed else part.hd95_mm
    return values
