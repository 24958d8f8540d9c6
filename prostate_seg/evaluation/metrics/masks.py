"""Functions that all metrics share: checks of masks and spacing, the diagonal, the boundary."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...errors import GeometryError, SettingsError
from ...geometry.volume import Array, spacing_of


def orthogonal_spacing_mm(affine: Array) -> tuple[float, float, float]:
    """Return the spacing in mm along i, j and k of a 4x4 affine. Raise GeometryError if its axes are sheared.

    The cosine of the angle between two axes may be up to 0.001, which is 0.06 degrees from a right angle. The
    resulting error of a distance is about 0.1 %.
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
    """Return the diagonal of an image in mm, from outer corner to outer corner; no two voxels are farther apart."""
    return float(np.linalg.norm(np.asarray(shape, np.float64) * np.asarray(spacing_mm, np.float64)))


def checked_masks(prediction: Array, reference: Array) -> tuple[Array, Array]:
    """Return two masks of equal shape as bool.

    Raises
    ------
    GeometryError
        The shapes differ.
    SettingsError
        A mask has another value than 0 and 1.
    """
    prediction, reference = np.asarray(prediction), np.asarray(reference)
    if prediction.shape != reference.shape or prediction.ndim == 0:
        raise GeometryError(
            f"The prediction has shape {prediction.shape}, the reference {reference.shape}; expected equal "
            "shapes, resample one to the other's grid."
        )
    return checked_mask(prediction, "prediction"), checked_mask(reference, "reference")


def checked_mask(mask: Array, name: str) -> Array:
    """Return a mask of 0 and 1 as bool. Raise SettingsError if it has another value."""
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


def checked_spacing(spacing_mm: Sequence[float], axes: int) -> Array:
    """Return the spacing in mm as an array. Raise SettingsError unless each axis has one positive length."""
    spacing = np.asarray(spacing_mm, np.float64)
    if spacing.shape != (axes,) or not np.isfinite(spacing).all() or (spacing <= 0).any():
        raise SettingsError(f"Spacing is {axes} positive lengths in mm, one an axis, got {spacing.tolist()}.")
    return spacing


def boundary(mask: Array, axes: Sequence[int]) -> Array:
    """Return the mask minus its erosion by the two neighbours along each axis; beyond the array is outside."""
    inside = mask.copy()
    for axis in axes:
        moved_mask, moved_inside = np.moveaxis(mask, axis, 0), np.moveaxis(inside, axis, 0)
        moved_inside[1:] &= moved_mask[:-1]
        moved_inside[:-1] &= moved_mask[1:]
        moved_inside[:1] = False
        moved_inside[-1:] = False
    return mask & ~inside
