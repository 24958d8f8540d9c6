"""A statistical shape model of the gland, and the repair of a segmentation where the network was not sure.

A shape is the radii (in mm) at which 642 rays leave the gland, from its centroid, divided by their root mean
square: a Procrustes alignment without rotation, since a scan is upright. A principal component analysis gives mean
and modes (Cootes et al., "Active shape models", 1995). The model is fitted to a segmentation's radii, each weighted
by how sharp the network's edge is there. A segmentation near its fitted shape is plausible and stays as it is; else
the boundary moves to the fitted one where its edge is blurred, and nowhere else. Axes are those of a grid that runs
to the left, posterior and superior.
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
VARIANCE = 0.98  # that the modes explain, if 12 are enough
LIMIT = 3.0  # standard deviations of a mode, beyond which a shape is not plausible
WINDOW_MM = 12.0  # of the field's profile around the boundary
SURE_MM, UNSURE_MM = 3.0, 6.0  # blur of the boundary: below the first it stays, above the second the model counts
HUBER_MM = 2.0
ROUNDS = 10
PLAUSIBLE_MM = 0.8  # mean distance from the fitted shape, below which there is nothing to repair
FARTHEST_MM = 4.0  # mean move, beyond which sure edges and plausible shapes contradict each other
FEWEST_RAYS = 12  # that are sure: fewer do not tell a shape
FAINT = 0.01  # what an unsure ray counts: it holds the shape where all sure rays lie on one side
FEWEST = 5  # masks of which a model is made
MOST_LOADED = 256  # modes of a model that is read
LARGEST_NUMBER = 1e6  # in a model that is read
SMOOTHING = 0.7  # of a mask, in voxels, before its radii are read


@dataclass(frozen=True, eq=False)
class ShapeModel:
    """Mean and modes of radii of a root mean square of 1.

    mean: (642,). modes: (M, 642), orthonormal. deviations: (M,), their standard deviations. volumes_ml: (n,),
    sorted, of the masks that it was made of.
    """

    mean: Array
    modes: Array
    deviations: Array
    volumes_ml: Array

    @classmethod
    def of(cls, masks: Iterable[tuple[Array, Sequence[float]]]) -> ShapeModel:
        """The model of masks, each bool (I, J, K) with its spacing in mm. Raises SettingsError for fewer than 5."""
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
        """The shape nearest to radii (642,) where weights (642,) in [0, 1] are high: radii in mm, and its modes.

        Size, shift and modes by least squares with Huber's weights and a Gaussian prior on the modes, each of which
        stays within 3 standard deviations; the second result is in these.
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
        """The probability (I, J, K) with its boundary at the fitted shape where it was blurred.

        Along each ray the field is stretched, so that it crosses one half where the blend of both radii is; where
        the edge is sharp, or where the image's border cuts the gland, it stays as it is, bit for bit. seen: bool
        (I, J, K), where the image shows anything; outside it the boundary stays too. The field comes back where
        nothing is found, fewer than 12 rays are sure, the boundary lies less than 0.8 mm from the fitted shape on
        average (cut rays do not count), or would move by more than 4 mm.
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
        """Write it as ``.npz``, in place."""
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
        """Read what :meth:`save` wrote. Raises InputError."""
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
    """Raise ValueError unless these are a mean, modes, deviations and volumes that belong together."""
    rays, count = len(sphere()), len(deviations) if deviations.ndim == 1 else -1
    if mean.shape != (rays,) or modes.shape != (count, rays) or count > MOST_LOADED or volumes.ndim != 1:
        raise ValueError("its arrays have other shapes")
    parts = np.concatenate([mean, modes.ravel(), deviations, volumes])
    if not volumes.size or not np.abs(parts).max() <= LARGEST_NUMBER or min(*mean, *deviations, *volumes) <= 0:
        raise ValueError("its numbers are not those of shapes")


def blur_mm(rays: Rays) -> Array:
    """How wide the edge is along each ray, (642,) in mm: the entropy of the field within 12 mm, in bits times mm.

    A step has 0; a straight ramp from 1 to 0 over L mm has 0.72 L.
    """
    offsets = np.arange(-int(WINDOW_MM / STEP_MM), int(WINDOW_MM / STEP_MM) + 1)
    at = np.rint(rays.radii_mm / STEP_MM).astype(int)[:, None] + offsets
    inside = (at >= 0) & (at < rays.profiles.shape[1])
    p = np.take_along_axis(rays.profiles, at.clip(0, rays.profiles.shape[1] - 1), axis=1).astype(float)
    p = p.clip(1e-6, 1 - 1e-6)
    entropy = -(p * np.log2(p) + (1 - p) * np.log2(1 - p))
    return np.asarray((entropy * inside).sum(axis=1) * STEP_MM)


def moved_mm(before: Array, after: Array, spacing_mm: Sequence[float]) -> tuple[float, float]:
    """How far the boundary of a probability (I, J, K) was moved, in mm: mean and largest of 642 directions.

    Of its largest part; the others do not count, before or after.
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
    """1 where the edge is sharp (3 mm or less), 0 where it is blurred (6 mm or more), linear between: (642,)."""
    return np.asarray(np.clip((UNSURE_MM - blur_mm(rays)) / (UNSURE_MM - SURE_MM), 0, 1))


def _rms(radii: Array) -> float:
    return float(np.sqrt(np.mean(np.square(radii))))


def _stretched(field: Array, spacing_mm: Sequence[float], rays: Rays, target_mm: Array) -> Array:
    """The field as it is where rays keep their radius; elsewhere read at its distance times old by new radius."""
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
