"""Planimetry: a volume from areas on slices at a fixed step, as it is measured by hand on a stepper."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import binary_erosion

from ..errors import SettingsError
from .volume import Array, Volume, spacing_of

LARGEST_STEP_MM = 100.0


@dataclass(frozen=True)
class Station:
    """Measurements on one slice.

    Attributes
    ----------
    slice
        Index k.
    from_base_mm
        Distance from the first station.
    area_cm2
        Area of the mask.
    width_mm, height_mm
        Extents of the mask along the slice's first and second axis, end voxels included.
    distance_mm
        Smallest distance between two further structures on the slice; None if one of them is not there.
    """

    slice: int
    from_base_mm: float
    area_cm2: float
    width_mm: float
    height_mm: float
    distance_mm: float | None


def stations_at(mask: Array, affine: Array, every_mm: float | None, *, from_last: bool) -> list[int]:
    """Return the slices k at a fixed step, from one end of a mask on; without a step all slices.

    They are the slices nearest to multiples of ``every_mm`` from the last slice of the mask (its base, if k runs to
    the superior), or from its first slice. Slices beyond the mask are included. SettingsError is raised if the step
    is below the distance of the slices or above 100 mm.
    """
    count, gap_mm = mask.shape[2], spacing_of(affine)[2]
    if every_mm is None:
        return list(range(count))
    if not gap_mm * 0.99 <= every_mm <= LARGEST_STEP_MM:
        raise SettingsError(
            f"Contours every {every_mm:g} mm cannot be made on slices {gap_mm:g} mm apart; give {gap_mm:g} to "
            f"{LARGEST_STEP_MM:g} mm."
        )
    filled = np.flatnonzero(mask.any(axis=(0, 1)))
    start, step = (filled[-1], -1) if from_last else (filled[0], 1)
    reach = int(max(count - start, start) * gap_mm / every_mm) + 1
    wanted = start + step * np.rint(np.arange(-reach, reach + 1) * every_mm / gap_mm).astype(int)
    return sorted({int(k) for k in wanted if 0 <= k < count})


def measure(
    mask: Array, affine: Array, slices: list[int], *, from_last: bool, apart: tuple[Array, Array] | None = None
) -> list[Station]:
    """Measure a mask on slices, from its base on (its last slice) or from its first slice.

    Parameters
    ----------
    mask
        Bool (I, J, K).
    affine
        Voxel indices to RAS mm.
    slices
        Slices k, as from :func:`stations_at`; those without the mask are left out.
    from_last
        Whether the stations begin at the last slice.
    apart
        Two masks whose distance is measured.
    """
    across_mm, down_mm, gap_mm = spacing_of(affine)
    shown = [k for k in slices if mask[:, :, k].any()]
    if from_last:
        shown.reverse()
    found = []
    for k in shown:
        columns, rows = (np.flatnonzero(mask[:, :, k].any(axis=axis)) for axis in (1, 0))
        found.append(
            Station(
                k,
                abs(k - shown[0]) * gap_mm,
                float(np.count_nonzero(mask[:, :, k]) * across_mm * down_mm / 100),
                float((columns[-1] - columns[0] + 1) * across_mm),
                float((rows[-1] - rows[0] + 1) * down_mm),
                None if apart is None else _distance_mm(apart[0][:, :, k], apart[1][:, :, k], (across_mm, down_mm)),
            )
        )
    return found


def planimetric_volume_ml(stations: list[Station], step_mm: float) -> float:
    """Return the volume in mL: the sum of the areas times the step."""
    return sum(one.area_cm2 for one in stations) * step_mm / 10


def _distance_mm(one: Array, other: Array, spacing_mm: tuple[float, float]) -> float | None:
    """Return the smallest distance in mm between the pixels of two masks (I, J), from edge to edge.

    It is 0 for pixels that touch, and None if a mask is empty.
    """
    if not one.any() or not other.any():
        return None
    first, second = (np.argwhere(mask & ~binary_erosion(mask)) for mask in (one, other))
    nearest = np.inf
    for part in np.array_split(first, len(first) // 256 + 1):
        steps = np.abs(part[:, None] - second[None]) - 1
        gaps = np.clip(steps, 0, None) * np.asarray(spacing_mm)
        nearest = min(nearest, float(np.linalg.norm(gaps, axis=-1).min()))
    return nearest


def base_is_last(volume: Volume) -> bool | None:
    """Return whether the slices run from apex to base (inferior to superior); None if that is not known.

    It is not known if the orientation is assumed, or if the slices are not transverse.
    """
    axis = np.asarray(volume.affine)[:3, 2]
    if volume.orientation == "assumed" or int(np.abs(axis).argmax()) != 2:
        return None
    return bool(axis[2] > 0)
