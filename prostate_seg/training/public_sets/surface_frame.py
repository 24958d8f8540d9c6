"""The frame of the ultrasound surfaces of Prostate-MRI-US-Biopsy, and tests that a surface fits its image.

A point (x, y, z) in mm is relative to the centre of the volume. With F frames of R rows and C columns, the centre
of the voxel in frame f, row r and column c lies at ::

    x = row spacing * (r - R / 2)
    y = frame distance * (F - 1 - f - F / 2)
    z = column spacing * (C - 1 - c - C / 2)

as the published converter of the set has it. Nobody has verified it on all cases. A surface therefore has to lie in
its image and to have the volume of a prostate, and the rim of a gland is brighter than its inside: if the rim that
another flip of the axes gives is much brighter, the surface is refused and the flip is named.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np
from scipy import ndimage

from ...errors import GeometryError
from ...geometry.volume import Array, Volume
from ...geometry.voxelise import check_closed, enclosed_volume

INSIDE = 0.99  # of the corners must lie in the volume
SMALLEST_ML, LARGEST_ML = 10.0, 300.0
RIM_MM, CORE_MM = (-1.5, -1.0, -0.5, 0.0, 0.5), (3.0, 4.0, 5.0, 6.0, 7.0, 8.0)  # depths below the surface
BRIGHTER = 0.2  # the stated axes may have a rim this much fainter than a flip; 0.15 at most in 57 right cases
FEWEST, STEADY = 8, 2.5  # cases, and standard errors of their mean, that prove another flip
FLIPS = tuple(product((1, -1), repeat=3))


def in_voxels(triangles_mm: Array, volume: Volume, flip: Sequence[int] = (1, 1, 1)) -> Array:
    """Return points of a surface (..., 3) as voxel indices (column, row, frame) of a volume.

    Parameters
    ----------
    triangles_mm
        x, y and z in the frame of the surfaces.
    volume
        The image, as read: axes i, j, k are columns, rows and frames.
    flip
        Signs of x, y and z, to try other axes.
    """
    x, y, z = np.moveaxis(triangles_mm * np.asarray(flip), -1, 0)
    columns, rows, frames = volume.array.shape
    of_column, of_row, of_frame = volume.spacing_mm
    column = columns - 1 - columns / 2 - z / of_column
    frame = frames - 1 - frames / 2 - y / of_frame
    return np.stack([column, x / of_row + rows / 2, frame], axis=-1)


def check_solid(triangles_mm: Array, volume: Volume, name: str) -> None:
    """Raise GeometryError unless a surface (T, 3, 3) is closed, lies in its image and is as large as a prostate."""
    check_closed(triangles_mm)
    corners = in_voxels(triangles_mm, volume).reshape(-1, 3)
    inside = ((corners >= -0.5) & (corners <= np.array(volume.array.shape) - 0.5)).all(axis=1).mean()
    if inside < INSIDE:
        raise GeometryError(
            f"{100 * inside:.0f} % of the corners of {name} lie in the image, expected {100 * INSIDE:g} %: it is "
            "not in mm around the centre of this image"
        )
    volume_ml = enclosed_volume(triangles_mm) / 1000
    if not SMALLEST_ML <= volume_ml <= LARGEST_ML:
        raise GeometryError(
            f"{name} encloses {volume_ml:.1f} mL, expected {SMALLEST_ML:g} to {LARGEST_ML:g} mL: it is not in mm, "
            "or no prostate"
        )


def check_fit(triangles_mm: Array, volume: Volume, name: str) -> None:
    """Raise GeometryError unless a surface (T, 3, 3) fits its image, see the module."""
    check_solid(triangles_mm, volume, name)
    rims = rim_contrasts(triangles_mm, volume)
    best = int(rims.argmax())
    if rims[best] > rims[0] + BRIGHTER:
        raise GeometryError(
            f"the rim of {name} is brighter than its inside by {rims[best]:.2f} with {_named(best)} mirrored, but "
            f"by {rims[0]:.2f} as documented: the axes of this case differ, look at it"
        )


def check_together(rims: Sequence[Array]) -> None:
    """Raise GeometryError if a flip fits cases of a set better than the documented axes do, on the average.

    Parameters
    ----------
    rims
        Result of :func:`rim_contrasts` for each case. Fewer than 8 cases prove nothing. With 24 of 27 real volumes,
        or of 30 phantoms, the right axes were never refused, and six of the seven flips always; left and right of
        the real glands are too much alike.
    """
    if len(rims) < FEWEST:
        return
    gains = np.stack(rims)[:, 1:] - np.stack(rims)[:, :1]  # cases x flips
    errors = gains.std(axis=0, ddof=1) / np.sqrt(len(gains))
    steady = gains.mean(axis=0) / np.maximum(errors, 1e-9)
    best = int(gains.mean(axis=0).argmax())
    if steady[best] > STEADY:
        raise GeometryError(
            f"In {len(rims)} cases the rim of the gland is brighter with {_named(best + 1)} mirrored, by "
            f"{gains.mean(axis=0)[best]:.2f} +- {errors[best]:.2f} on the average: the axes of these files are not "
            "those documented for the set; nothing was taken."
        )


def rim_contrasts(triangles_mm: Array, volume: Volume) -> Array:
    """Return (rim - core) / (rim + core) of the mean gray at a surface and 3 to 8 mm below it, for each flip."""
    return np.array([_contrast(in_voxels(triangles_mm, volume, flip), volume) for flip in FLIPS])


def _contrast(triangles: Array, volume: Volume) -> float:
    spacing = np.asarray(volume.spacing_mm)
    points = triangles * spacing
    a, b, c = np.moveaxis(points, 1, 0)
    normals = np.cross(b - a, c - a)
    normals *= np.sign(np.einsum("ij,ij->", a - points.mean(axis=(0, 1)), normals))  # outward
    areas = np.linalg.norm(normals, axis=1)
    units = normals / np.maximum(areas, 1e-12)[:, None]
    centres = points.mean(axis=1)

    def gray(depth_mm: float) -> Array:
        at = ((centres - depth_mm * units) / spacing).T
        return np.asarray(ndimage.map_coordinates(volume.array, at, np.float32, order=1, mode="constant"))

    rim, core = (
        float(np.average(np.mean([gray(depth) for depth in depths], axis=0), weights=areas))
        for depths in (RIM_MM, CORE_MM)
    )
    return (rim - core) / max(rim + core, 1e-6)


def _named(flip: int) -> str:
    """Return the names of the axes that a flip mirrors."""
    names = [name for name, sign in zip("xyz", FLIPS[flip], strict=True) if sign < 0]
    return " and ".join(names) if len(names) < 3 else "x, y and z"
