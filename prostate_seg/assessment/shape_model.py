"""Statistical shape model of the gland. It repairs a segmentation where the network was not sure.

A shape consists of the radii at which 642 rays from the centroid leave the gland, divided by their root mean
square. This is a Procrustes alignment without rotation, because scans are upright. A principal component analysis
gives the mean and the modes (Cootes et al., "Active shape models", 1995).

The model is fitted to the radii of a segmentation. A radius has a larger weight if the network's edge is sharper
there. A segmentation close to its fitted shape is plausible and does not change. Otherwise the boundary moves to
the fitted shape where its edge is blurred, and nowhere else. The axes of the grid run to the left, posterior and
superior.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import ndimage

from ..errors import InputError, SettingsError
from ..geometry.volume import Array
from ..system.checked_files import read_arrays
from .rays import STEP_MM, Rays, cast_rays, last_crossings_mm, main_part, rays_of, sphere, spread

MOST_MODES = 12
VARIANCE = 0.98  # share of the variance that the modes explain, if 12 modes are enough
LIMIT = 3.0  # a shape with a mode beyond this number of standard deviations is not plausible
WINDOW_MM = 12.0  # half-length of the profile around the boundary
SURE_MM, UNSURE_MM = 3.0, 6.0  # below the first width an edge stays, above the second it moves to the fitted shape
HUBER_MM = 2.0
ROUNDS = 10
PLAUSIBLE_MM = 0.8  # below this mean distance from the fitted shape, nothing is repaired
FARTHEST_MM = 4.0  # above this mean move nothing is repaired: the sure edges contradict all plausible shapes
FEWEST_RAYS = 12  # smallest sum of the rays' certainties that determines a shape
FAINT = 0.01  # weight of an unsure ray; it keeps the fit stable if all sure rays lie on one side
FEWEST = 5  # fewest masks of a model
MOST_LOADED = 256  # most modes of a model file
LARGEST_NUMBER = 1e6  # in a model file
SMOOTHING = 0.7  # standard deviation in voxels of the Gaussian that smooths a mask before its radii are measured


@dataclass(frozen=True, eq=False)
class ShapeModel:
    """Mean and modes of radii with a root mean square of 1.

    Attributes
    ----------
    mean
        Mean radii (642,).
    modes
        Orthonormal modes (M, 642).
    deviations
        Standard deviation of each mode (M,).
    volumes_ml
        Volumes (n,) of the masks from which the model was made, sorted.
    """

    mean: Array
    modes: Array
    deviations: Array
    volumes_ml: Array

    @classmethod
    def of(cls, masks: Iterable[tuple[Array, Sequence[float]]]) -> ShapeModel:
        """Make a model from masks, each bool (I, J, K) with its spacing in mm.

        Empty masks are skipped. SettingsError is raised if fewer than 5 masks remain.
        """
        shapes, volumes = [], []
        for mask, spacing in masks:
            rays = cast_rays(ndimage.gaussian_filter(mask.astype(np.float32), SMOOTHING), spacing)
            if rays is not None:
                shapes.append(rays.radii_mm / _rms(rays.radii_mm))
                volumes.append(float(mask.sum() * np.prod(spacing) / 1000))
        if len(shapes) < FEWEST:
            raise SettingsError(f"A shape model is made of {FEWEST} masks or more, got {len(shapes)}; give more.")
        table = np.stack(shapes)  # (n, 642)
        mean = table.mean(axis=0)
        _, singular, modes = np.linalg.svd(table - mean, full_matrices=False)
        variance = singular**2 / (len(table) - 1)
        enough = int(np.searchsorted(variance.cumsum() / variance.sum(), VARIANCE)) + 1
        count = min(MOST_MODES, enough, len(table) - 1)
        return cls(mean, modes[:count], np.sqrt(variance[:count]), np.sort(volumes))

    def fit(self, radii_mm: Array, weights: Array) -> tuple[Array, Array]:
        """Fit size, shift and modes to radii (642,) with weights (642,) in [0, 1].

        The fit is a least-squares fit with Huber's weights and a Gaussian prior on the modes. Each mode stays
        within 3 standard deviations. The results are the fitted radii (642,) in mm, and the modes in standard
        deviations.
        """
        prior = np.concatenate([np.full(3, 1e-3), [1e-6], (HUBER_MM / (_rms(radii_mm) * self.deviations)) ** 2])
        design = np.concatenate([sphere().T, self.mean[None], self.modes]).T  # shift, size, modes times size
        robust = np.ones(len(radii_mm))
        found = np.zeros(design.shape[1])
        for _ in range(ROUNDS):
            kept = (weights * robust)[:, None] * design
            found = np.linalg.solve(design.T @ kept + np.diag(prior), kept.T @ radii_mm)
            modes = np.clip(found[4:] / found[3], -LIMIT * self.deviations, LIMIT * self.deviations)
            found[4:] = modes * found[3]
            robust = np.minimum(1, HUBER_MM / np.maximum(np.abs(radii_mm - design @ found), 1e-6))
        return design @ found, found[4:] / found[3] / self.deviations

    def refine(self, field: Array, spacing_mm: Sequence[float], seen: Array | None = None) -> Array:
        """Return the probability (I, J, K) with blurred parts of its boundary moved to the fitted shape.

        The new radius of a ray is the average of the old and the fitted radius, weighted by the certainty of the
        edge. The field is stretched along each ray so that it crosses one half at the new radius. Where the edge is
        sharp or the image cuts the gland, the field stays bit-identical.

        The original field is returned in these cases:

        - no gland is found;
        - the certainties of the rays inside the image add up to less than 12;
        - the mean distance of the boundary from the fitted shape is below 0.8 mm (cut rays do not count);
        - the boundary would move by more than 4 mm on average over all rays.

        Parameters
        ----------
        field
            Foreground probability (I, J, K).
        spacing_mm
            Voxel spacing.
        seen
            Bool (I, J, K), true at voxels that show ultrasound. None: true everywhere. A boundary next to a voxel
            that is false stays.
        """
        rays = cast_rays(field, spacing_mm, seen=seen)
        if rays is None:
            return field
        sure = certainty(rays) * rays.inside
        if sure.sum() < FEWEST_RAYS:
            return field
        fitted, _ = self.fit(rays.radii_mm, np.maximum(sure, FAINT) * rays.inside)
        apart = fitted - rays.radii_mm
        moved = (1 - sure) * rays.inside * apart
        if np.abs(apart[rays.inside]).mean() < PLAUSIBLE_MM or np.abs(moved).mean() > FARTHEST_MM:
            return field
        target = rays.radii_mm + moved
        return _stretched(field, spacing_mm, rays, np.maximum(target, STEP_MM))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the model as ``.npz``. The file is overwritten in place."""
        with Path(path).open("wb") as stream:
            np.savez_compressed(
                stream,
                mean=self.mean.astype(np.float32),
                modes=self.modes.astype(np.float32),
                deviations=self.deviations.astype(np.float32),
                volumes_ml=self.volumes_ml.astype(np.float32),
            )

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> ShapeModel:
        """Read a model written by :meth:`save`. Raise InputError if the file is missing or invalid."""
        try:
            arrays = read_arrays(path, ("mean", "modes", "deviations", "volumes_ml"))
            mean, modes, deviations, volumes = (np.asarray(array, float) for array in arrays)
            _check_parts(mean, modes, deviations, volumes)
        except (OSError, ValueError, TypeError) as error:
            why = error.strerror if isinstance(error, OSError) else str(error)
            raise InputError(
                f"{path} is no shape model ({why}); make one with prostate-seg shape-model."
            ) from error
        return cls(mean, modes, deviations, volumes)


def _check_parts(mean: Array, modes: Array, deviations: Array, volumes: Array) -> None:
    """Raise ValueError if the shapes of the arrays do not agree, or if a number is not possible."""
    rays, count = len(sphere()), len(deviations) if deviations.ndim == 1 else -1
    if mean.shape != (rays,) or modes.shape != (count, rays) or count > MOST_LOADED or volumes.ndim != 1:
        raise ValueError("its arrays have other shapes")
    parts = np.concatenate([mean, modes.ravel(), deviations, volumes])
    if not volumes.size or not np.abs(parts).max() <= LARGEST_NUMBER or min(*mean, *deviations, *volumes) <= 0:
        raise ValueError("its numbers are not those of shapes")


def blur_mm(rays: Rays) -> Array:
    """Return the width of the edge along each ray, (642,) in mm.

    The width is the entropy of the field within 12 mm of the boundary, in bits times mm. It is 0 for a step, and
    0.72 L for a linear ramp from 1 to 0 over L mm.
    """
    offsets = np.arange(-int(WINDOW_MM / STEP_MM), int(WINDOW_MM / STEP_MM) + 1)
    at = np.rint(rays.radii_mm / STEP_MM).astype(int)[:, None] + offsets
    inside = (at >= 0) & (at < rays.profiles.shape[1])
    p = np.take_along_axis(rays.profiles, at.clip(0, rays.profiles.shape[1] - 1), axis=1).astype(float)
    p = p.clip(1e-6, 1 - 1e-6)
    entropy = -(p * np.log2(p) + (1 - p) * np.log2(1 - p))
    return np.asarray((entropy * inside).sum(axis=1) * STEP_MM)


def moved_mm(before: Array, after: Array, spacing_mm: Sequence[float]) -> tuple[float, float]:
    """Return how far the boundary of a probability (I, J, K) moved, in mm: mean and largest of 642 directions.

    The rays start at the centroid of the largest connected part of ``before``. The other connected parts of
    ``before`` are ignored in both fields. The result is (0, 0) if ``before`` is empty.
    """
    rays = None if np.array_equal(before, after) else cast_rays(before, spacing_mm)
    if rays is None:
        return 0.0, 0.0
    _, islands = main_part(before)
    moves = np.abs(
        last_crossings_mm(rays_of(np.where(islands, 0, after), spacing_mm, rays.centre_mm)) - rays.radii_mm
    )
    return float(moves.mean()), float(moves.max())


def certainty(rays: Rays) -> Array:
    """Return the certainty (642,) of the edge along each ray.

    It is 1 for a sharp edge (3 mm or less), 0 for a blurred edge (6 mm or more), and linear between them.
    """
    return np.asarray(np.clip((UNSURE_MM - blur_mm(rays)) / (UNSURE_MM - SURE_MM), 0, 1))


def _rms(radii: Array) -> float:
    return float(np.sqrt(np.mean(np.square(radii))))


def _stretched(field: Array, spacing_mm: Sequence[float], rays: Rays, target_mm: Array) -> Array:
    """Stretch a field along the rays that have a new radius; elsewhere it does not change.

    At a distance d from the centre, the result is the old field at the distance d x (old radius) / (new radius).
    """
    moved = np.where(rays.radii_mm > 0, target_mm - rays.radii_mm, 0.0)
    if not np.any(np.abs(moved) > 1e-3):
        return field
    spacing = np.asarray(spacing_mm, float)
    offsets = np.moveaxis(np.indices(field.shape), 0, -1) * spacing - rays.centre_mm  # (I, J, K, 3)
    distance = np.linalg.norm(offsets, axis=-1)
    near = (distance > 0) & (distance < 2 * max(rays.radii_mm.max(), target_mm.max()))
    old, change = spread(np.stack([rays.radii_mm, moved], 1), offsets[near] / distance[near][:, None]).T
    changed = np.abs(change) > 1e-3
    places = np.argwhere(near)[changed]
    factor = old[changed] / np.maximum(old[changed] + change[changed], STEP_MM)
    at = (rays.centre_mm + offsets[near][changed] * factor[:, None]) / spacing
    result = field.copy()
    result[tuple(places.T)] = ndimage.map_coordinates(field, at.T, order=1, mode="nearest")
    return result
