"""Transfer of a mask to the grid of an image: a copy if the voxels coincide, interpolation otherwise."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import SimpleITK as sitk  # noqa: N813

from ..errors import GeometryError
from .extent import bounding_box
from .volume import Array, Segmentation, Volume, lps_from_affine, reindexed

ON_GRID_VOXELS = 1e-3  # largest distance at which two voxel centres count as the same
LARGEST_LOSS = 0.001  # largest share of a mask that may lie outside the image


def turned_like(mask: Segmentation, other: Segmentation) -> Segmentation:
    """Return a mask with its axes in the order and direction of another mask's axes.

    Both masks must lie on the same voxels; otherwise the mask is returned unchanged. This is needed because a
    DICOM Segmentation may return its slices in reverse order.
    """
    index = np.linalg.inv(other.affine) @ mask.affine
    turn = np.rint(index[:3, :3])
    if np.abs(index[:3, :3] - turn).max() > ON_GRID_VOXELS or not (np.abs(turn).sum(axis=0) == 1).all():
        return mask
    order = np.abs(turn).argmax(axis=1)
    labels = mask.labels.transpose(order)
    flipped = tuple(axis for axis in range(3) if turn[axis, order[axis]] < 0)
    corner = np.array([labels.shape[axis] - 1 if axis in flipped else 0 for axis in range(3)], float)
    same_place = labels.shape == other.labels.shape and np.abs(index[:3, 3] - corner).max() < 0.01
    return replace(mask, labels=np.flip(labels, flipped), affine=other.affine) if same_place else mask


def on_grid_of(volume: Volume, mask: Array, affine: Array, name: str) -> tuple[Array, bool]:
    """Return a mask on the grid of a volume, and whether the voxels of both coincide.

    The voxels coincide if the mask's grid is the volume's grid, possibly cropped, shifted by whole voxels, or with
    its axes permuted or mirrored. They are then copied. Otherwise the mask is interpolated linearly and
    thresholded at 0.5.

    Parameters
    ----------
    volume
        Volume with the wanted grid.
    mask
        Bool (I, J, K).
    affine
        The mask's voxel indices to RAS mm.
    name
        Name of the segment, for the error message.

    Raises
    ------
    GeometryError
        More than 0.1 % of the mask lies outside the volume.
    """
    if not mask.any():
        return np.zeros(volume.array.shape, bool), True
    box = bounding_box(mask)
    inner, placed = mask[box], reindexed(affine, shift=[edge.start for edge in box])
    index = np.linalg.inv(volume.affine) @ placed  # voxel of the mask -> voxel of the volume
    whole = np.rint(index)
    reach = np.array(inner.shape, float)
    if (
        np.abs((index - whole)[:3, :3] @ reach).max() + np.abs((index - whole)[:3, 3]).max() < ON_GRID_VOXELS
        and (np.abs(whole[:3, :3]).sum(axis=0) == 1).all()
    ):
        at = np.argwhere(inner) @ whole[:3, :3].astype(int).T + whole[:3, 3].astype(int)
        inside = ((at >= 0) & (at < volume.array.shape)).all(axis=1)
        _check_loss(1 - inside.mean(), name)
        out = np.zeros(volume.array.shape, bool)
        out[tuple(at[inside].T)] = True
        return out, True
    out = _resampled(inner, placed, volume)
    _check_loss(_share_outside(inner, placed, volume), name)
    return out, False


def _resampled(mask: Array, affine: Array, volume: Volume) -> Array:
    moving = sitk.GetImageFromArray(np.pad(mask, 1).astype(np.float32).transpose(2, 1, 0))
    _place(moving, reindexed(affine, shift=(-1, -1, -1)))
    resample = sitk.ResampleImageFilter()
    resample.SetSize(volume.array.shape)
    direction, spacing, origin = lps_from_affine(volume.affine)
    resample.SetOutputDirection(direction.ravel().tolist())
    resample.SetOutputSpacing(spacing.tolist())
    resample.SetOutputOrigin(origin.tolist())
    resample.SetInterpolator(sitk.sitkLinear)
    return np.asarray(sitk.GetArrayFromImage(resample.Execute(moving)).transpose(2, 1, 0) >= 0.5)


def _place(image: Any, affine: Array) -> None:
    direction, spacing, origin = lps_from_affine(affine)
    image.SetDirection(direction.ravel().tolist())
    image.SetSpacing(spacing.tolist())
    image.SetOrigin(origin.tolist())


def _share_outside(mask: Array, affine: Array, volume: Volume) -> float:
    """Return the share of a mask's voxel centres that lie outside the volume's voxels."""
    centres = np.argwhere(mask) @ affine[:3, :3].T + affine[:3, 3]
    inverse = np.linalg.inv(volume.affine)
    at = centres @ inverse[:3, :3].T + inverse[:3, 3]
    inside = ((at >= -0.5) & (at <= np.array(volume.array.shape) - 0.5)).all(axis=1)
    return float(1 - inside.mean())


def _check_loss(share: float, name: str) -> None:
    if share > LARGEST_LOSS:
        raise GeometryError(
            f"{100 * share:.1f} % of the segment {name} lies outside the image; give the image that it was drawn "
            "on, read as it was then (--frame-spacing, --frame-order, --probe-side), or correct the segment."
        )
