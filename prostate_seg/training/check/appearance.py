"""Appearance of a case in few numbers: two small pictures of it, and the edges along its contour.

Images are turned first, so that the axes run to the left, posterior and superior, and reduced to voxels of about
1 mm.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from nibabel.orientations import apply_orientation, axcodes2ornt, io_orientation, ornt_transform
from scipy import ndimage
from scipy.spatial import cKDTree
from scipy.stats import rankdata
from skimage.measure import block_reduce

from ...assessment.rays import cast_rays, sphere
from ...assessment.shape_model import SMOOTHING
from ...geometry.extent import bounding_box
from ...geometry.volume import Array, spacing_of

COARSE_MM = 1.0  # voxels that are smaller are averaged
SIZE = (20, 16, 12)  # of a small picture
SPREADS = 2.6  # half-length of a gland's picture, in standard deviations of its voxels (an ellipsoid ends at 2.24)
LOCAL = 2.0  # standard deviation, in voxels of a small picture, of the mean that is subtracted
FEWEST = 0.3  # share of a small picture that must show ultrasound
NEIGHBOURS, EVERY = 12, 4  # rays that are averaged; every fourth of them is kept
REACH = 12  # mm on either side of the contour
APART = 4  # mm between the two gray values of a difference


@dataclass(frozen=True, eq=False)
class Upright:
    """An image with axes to the left, posterior and superior.

    Attributes
    ----------
    gray
        float32 (I, J, K).
    seen
        Share of each voxel that shows ultrasound, float32 (I, J, K).
    gland
        Share of each voxel within the mask, float32 (I, J, K); None without a mask.
    spacing_mm
        Voxel spacing (3,).
    """

    gray: Array
    seen: Array
    gland: Array | None
    spacing_mm: Array


@dataclass(frozen=True, eq=False)
class Picture:
    """A small picture: ranks of its gray values minus their local mean (3840,), and where it shows ultrasound."""

    values: Array
    seen: Array


def upright(affine: Array, gray: Array, seen: Array, gland: Array | None) -> Upright:
    """Turn and reduce an image (I, J, K), its field of view and the mask of its gland (bool, or None)."""
    turn = ornt_transform(io_orientation(affine), axcodes2ornt("LPS"))
    spacing = np.array(spacing_of(affine))[np.argsort(turn[:, 0])]
    steps = np.maximum(np.rint(COARSE_MM / spacing), 1).astype(int)

    def reduced(array: Array) -> Array:
        turned = apply_orientation(array, turn)
        fits = np.minimum(steps, turned.shape)
        whole = tuple(slice(0, n - n % step) for n, step in zip(turned.shape, fits, strict=True))
        return np.asarray(block_reduce(turned[whole], tuple(fits), np.mean), np.float32)

    return Upright(reduced(gray), reduced(seen), None if gland is None else reduced(gland), spacing * steps)


def gland_picture(image: Upright) -> Picture | None:
    """Return the small picture of the gland, which a crop, a shift or another size of the image does not change."""
    if image.gland is None or not (inside := np.argwhere(image.gland >= 0.5)).size:
        return None
    return _picture(image, inside.mean(axis=0), SPREADS * np.maximum(inside.std(axis=0), 0.5))


def whole_picture(image: Upright) -> Picture:
    """Return the small picture of the field of view, which does not depend on a mask."""
    box = bounding_box(image.seen >= 0.5)
    ends = np.array([[edge.start, edge.stop] for edge in box], float)
    return _picture(image, ends.mean(axis=1) - 0.5, np.maximum(np.diff(ends)[:, 0] / 2, 0.5))


def _picture(image: Upright, centre: Array, half: Array) -> Picture:
    """Return the small picture of a box, given by centre and half-lengths (3,) in voxels."""
    step = 2 * half / np.array(SIZE)
    low = np.maximum(np.floor(centre - half - 2 * step), 0).astype(int)
    high = np.minimum(np.ceil(centre + half + 2 * step) + 1, image.gray.shape).astype(int)
    box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    width = 0.5 * np.sqrt(np.maximum(step**2 - 1, 0))
    weight = ndimage.gaussian_filter(image.seen[box], width, mode="constant")
    smooth = ndimage.gaussian_filter(image.gray[box] * image.seen[box], width, mode="constant")
    axes = [
        c - h + (np.arange(n) + 0.5) * s - a for c, h, n, s, a in zip(centre, half, SIZE, step, low, strict=True)
    ]
    at = np.stack(np.meshgrid(*axes, indexing="ij"))
    share = ndimage.map_coordinates(weight, at, order=1, mode="constant")
    gray = ndimage.map_coordinates(smooth, at, order=1, mode="constant") / np.maximum(share, 1e-6)
    seen = share > 0.5
    ranks = np.zeros(SIZE, np.float32)
    if seen.any():
        ranks[seen] = rankdata(gray[seen]) / np.count_nonzero(seen)
    local = ndimage.gaussian_filter(ranks, LOCAL) / np.maximum(ndimage.gaussian_filter(seen * 1.0, LOCAL), 1e-6)
    return Picture(np.where(seen, ranks - local, 0).astype(np.float16).ravel(), seen.ravel())


def edges(image: Upright, flipped: int | None = None) -> Array | None:
    """Return the differences of gray along the contour of a mask; None without one.

    Gray is sampled along rays through the contour, every mm up to 12 mm on either side, and averaged over
    neighbouring rays. The result is float16 (161 x 21,): for every ray the differences of gray 4 mm apart, divided
    by the standard deviation of gray around the contour, 0 outside the field of view.

    Parameters
    ----------
    image
        The image.
    flipped
        Axis along which the mask is reversed first; None for the mask as it is.
    """
    if image.gland is None:
        return None
    field = image.gland if flipped is None else np.flip(image.gland, flipped)
    rays = cast_rays(ndimage.gaussian_filter(field, SMOOTHING), image.spacing_mm.tolist())
    if rays is None:
        return None
    lengths = rays.radii_mm[:, None] + np.arange(-REACH, REACH + 1)  # (642, 25)
    at = np.moveaxis((rays.centre_mm + sphere()[:, None] * lengths[..., None]) / image.spacing_mm, -1, 0)
    gray, seen = (ndimage.map_coordinates(part, at, order=1, mode="constant") for part in (image.gray, image.seen))
    weight = (seen > 0.5) & (lengths > 0)
    near = _near()
    share = weight[near].mean(axis=1)
    mean = (gray * weight)[near].mean(axis=1) / np.maximum(share, 1e-3)
    shown = share > 0.5
    if np.count_nonzero(shown) < FEWEST * shown.size:
        return None
    difference = mean[:, APART:] - mean[:, :-APART]
    both = shown[:, APART:] & shown[:, :-APART]
    return (np.where(both, difference, 0) / max(float(mean[shown].std()), 1e-6)).astype(np.float16).ravel()


@cache
def _near() -> Array:
    """Return, for every fourth ray, the indices of the rays that are averaged (161, 12)."""
    return np.asarray(cKDTree(sphere()).query(sphere()[::EVERY], k=NEIGHBOURS)[1])


def likeness(patterns: Sequence[Array], others: Sequence[Array] | None = None) -> Array:
    """Return the correlation of each pattern (n,) with the mean of the other cases' patterns.

    With ``others``, these are compared instead of the patterns, each with the mean without its own case.
    """
    table = np.stack(patterns).astype(np.float32)
    table /= np.maximum(np.linalg.norm(table, axis=1, keepdims=True), 1e-6)
    means = table.sum(axis=0) - table
    compared = table if others is None else np.stack(others).astype(np.float32)
    scale = np.linalg.norm(means, axis=1) * np.linalg.norm(compared, axis=1)
    return np.asarray((compared * means).sum(axis=1) / np.maximum(scale, 1e-6))
