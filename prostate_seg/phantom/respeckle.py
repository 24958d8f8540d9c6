"""Synthetic scans of real ultrasound that lost its speckle by low-pass filtering.

The gray values become the echoes in the phantom's image formation.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy import ndimage

from ..errors import GeometryError, InputError
from ..geometry.source import Source
from ..geometry.volume import Array, Segmentation, Volume, rescaled_affine, same_grid
from .anatomy import draw_anatomy
from .beams import Beams, speckle
from .scanner import Scan, beams_of, compressed, converter, draw_scan, finish

PROBE_MM = 8.0


def respeckle(image: Volume, label: Segmentation, seed: int) -> tuple[Volume, Segmentation]:
    """Return a low-pass filtered volume and its mask as another scanner would show them.

    The result has finer pixels, speckle and another gain. The gray values are read as decibels of a drawn dynamic
    range. Unsharp masking restores the edges that the low-pass weakened. The result then passes through the image
    formation of the phantoms: speckle in beam space, noise, compression and scan conversion. Pixels are 0.35 to
    0.65 mm, and slices are about 1 to 4 mm apart. The outer edges of the image do not change. The mask is
    interpolated linearly. No anatomy is added.

    Parameters
    ----------
    image
        Gray values from 0 to 255. The axes run approximately to the left, posterior and superior. The probe lies
        below the middle of the last row.
    label
        Mask on the grid of the image.
    seed
        Seed of all random numbers.

    Raises
    ------
    GeometryError
        The axes have other directions, or image and mask lie on different grids.
    InputError
        The gray values have another range.
    """
    direction = image.affine[:3, :3] / image.spacing_mm
    if (direction.diagonal() * (-1, -1, 1)).min() < 0.9 or not same_grid(image, label):
        raise GeometryError(
            "Re-speckling needs an image and a mask on one grid, with axes to the left, posterior and superior, "
            f"got the affines {image.affine[:3].tolist()} and {label.affine[:3].tolist()}; reorient both."
        )
    low, high = float(image.array.min()), float(image.array.max())
    if not (low >= 0 and 32 < high <= 255):
        raise InputError(f"Re-speckling needs grays from 0 to 255, got {low:g} to {high:g}; rescale the image.")
    rng = np.random.default_rng((seed, 30901))
    scan = _scan(rng, image)
    beams = beams_of(scan, PROBE_MM)
    at, drawn = converter(scan, beams)
    field, dark = _sharpened(rng, image)
    echoes = [_sampled(field, _indices(image, scan, beams, float(z))) for z in beams.z_mm]
    range_db = scan.dynamic_range_db / 255
    middle_db = float(np.median(field[field > dark])) * range_db
    share, floor_db = np.float32(rng.uniform(0.5, 1.0)), middle_db + rng.choice([-60.0, rng.uniform(-40, -14)])
    waves = speckle(rng, beams, axial_mm=scan.axial_mm, lateral_mm=scan.lateral_mm, elevation_mm=scan.elevation_mm)
    pixels = np.zeros(scan.shape, np.float32)
    for k, (echo, wave) in enumerate(zip(echoes, waves, strict=True)):
        power = 10 ** (echo * range_db / 10) * (wave + np.float32(1e-4)) ** share
        noise = 10 ** (floor_db / 10) * rng.standard_exponential(beams.shape, dtype=np.float32)
        gray = compressed(scan, 10 * np.log10(power + noise), middle_db) * (echo > dark)
        pixels[drawn, k] = ndimage.map_coordinates(gray, at, order=1, mode="nearest")
    affine = rescaled_affine(image.affine, image.array.shape, scan.shape)
    found = Volume(finish(rng, scan, drawn, pixels), affine, source=Source("respeckled"))
    occupied = _sampled(label.mask().astype(np.float32), _between(image.array.shape, scan.shape))
    return found, Segmentation((occupied >= 0.5).astype(np.uint8), affine)


def _scan(rng: np.random.Generator, image: Volume) -> Scan:
    """Draw a scanner with a fan that covers the whole image, edge to edge."""
    sides = np.array(image.array.shape) * image.spacing_mm
    pixel, gap = rng.uniform(0.35, 0.65), rng.choice([1.0, 1.5, 2.0, 3.0, 4.0])
    i, j, k = (max(1, round(side / step)) for side, step in zip(sides, (pixel, pixel, gap), strict=True))
    shape, spacing = (i, j, k), (float(sides[0] / i), float(sides[1] / j), float(sides[2] / k))
    drawn = draw_scan(rng, draw_anatomy(rng), shape=shape, spacing_mm=spacing, kind="side-fire")
    reach = float(np.hypot(sides[0] / 2, sides[1] + PROBE_MM)) - PROBE_MM + 1
    first = -(shape[2] - 1) * spacing[2] / 2
    whole = replace(drawn, half_angle=1.5, roll=0.0, sector=(0.0, 1.0), cut=None, shift_mm=0.0, soft_edge=False)
    return replace(whole, depth_mm=reach, probe_gap_mm=-PROBE_MM, first_z_mm=first, blur_mm=0.0)


def _sharpened(rng: np.random.Generator, image: Volume) -> tuple[Array, float]:
    """Return the gray values with sharpened edges, and the gray value below which no ultrasound is shown."""
    values = image.array.astype(np.float32)
    dark = 0.04 * float(np.percentile(values, 99))
    smooth = ndimage.gaussian_filter(values, [2.5 / step for step in image.spacing_mm])
    raised = (values + np.float32(rng.uniform(0.3, 1.5)) * (values - smooth)).clip(dark + 1, 255)
    drawn = np.stack([ndimage.binary_fill_holes(plane > dark) for plane in np.moveaxis(values, 2, 0)], axis=2)
    return raised * drawn, dark


def _indices(image: Volume, scan: Scan, beams: Beams, z: float) -> Array:
    """Return the image indices (3, R, A) of the beams' points.

    The points lie in the plane z mm from the middle of the image.
    """
    x, y = beams.positions()
    shape, step = image.array.shape, image.spacing_mm
    lower_edge = scan.spacing_mm[1] / 2 - PROBE_MM
    i = x / step[0] + (shape[0] - 1) / 2
    j = (y - lower_edge) / step[1] + shape[1] - 0.5
    return np.stack([i, j, np.full_like(i, z / step[2] + (shape[2] - 1) / 2)])


def _between(old: tuple[int, ...], new: tuple[int, ...]) -> Array:
    """Return indices (3, I, J, K) into a grid of shape ``old`` for the voxels of a grid of shape ``new``.

    Both grids have the same outer edges.
    """
    lines = [(np.arange(n) + 0.5) * m / n - 0.5 for m, n in zip(old, new, strict=True)]
    return np.stack(np.meshgrid(*lines, indexing="ij"))


def _sampled(field: Array, at: Array) -> Array:
    return np.asarray(ndimage.map_coordinates(field, at, order=1, mode="nearest"), np.float32)
