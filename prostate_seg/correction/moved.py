"""A probability with its boundary moved to what hints say, smoothly in between.

The boundary is a radius for each direction from the gland's centre. Hints give its error in a few directions, and
kriging (:mod:`.kriging`) estimates it in all others. The probability is stretched along each ray, so that it
crosses one half at the new radius. It also becomes sharper where the hints leave little doubt.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from scipy import ndimage

from ..assessment.rays import STEP_MM, blended, last_crossings_mm, main_part, neighbours, rays_of, sphere
from ..assessment.shape_model import ShapeModel
from ..geometry.volume import Array
from .kriging import NOTHING_KNOWN, Known, covariance

ROUNDS = 5
SIDE_MM = 1.0  # distance of the boundary from a point inside or outside that it must be moved across
END_MM = 1.0  # the gland ends bluntly: a smooth shape is aimed beyond the plane and cut there
ERROR_MM2 = 20.0  # square of the distance of slices at which a plane, named to a slice, is as unsure as the mask
NEAREST_MM = 2.0  # a hint closer to the centre has no clear direction
FAINTEST = 0.3  # smallest width of an edge after the hints, times its width before
EDGE_MM = 3.0  # width of the edge of a shape that no image showed
CERTAIN = 1e-6
MANY, CONE_DEG = 200, 10.0  # of more points inside or outside one counts for all directions within the angle


@dataclass(frozen=True, eq=False)
class Places:
    """Hints in mm of the field's axes (index times spacing).

    Attributes
    ----------
    boundary
        Points on the boundary (n, 3).
    inside, outside
        Points inside and outside (n, 3).
    below, above
        Height at which the gland ends along the third axis, or None.
    gap_mm
        Distance of the slices by which these heights were named.
    """

    boundary: Array = field(default_factory=lambda: np.empty((0, 3)))
    inside: Array = field(default_factory=lambda: np.empty((0, 3)))
    outside: Array = field(default_factory=lambda: np.empty((0, 3)))
    below: float | None = None
    above: float | None = None
    gap_mm: float = 1.5


@dataclass(frozen=True, eq=False)
class Gland:
    """A probability (I, J, K) and what every correction of it needs; made once for an image.

    Attributes
    ----------
    field
        Foreground probability (I, J, K) of the largest connected part.
    islands
        Bool (I, J, K), true at the other parts.
    spacing_mm
        Voxel spacing.
    centre_mm
        Centre of the rays (3,).
    """

    field: Array
    islands: Array
    spacing_mm: Array
    centre_mm: Array

    @classmethod
    def of(cls, field: Array, spacing_mm: Sequence[float]) -> Gland | None:
        """Return the gland of a probability (I, J, K); None if nowhere it reaches one half."""
        main, islands = main_part(field)
        if not main.any():
            return None
        spacing = np.asarray(spacing_mm, float)
        centre = np.argwhere(main).mean(axis=0) * spacing
        return cls(np.where(islands, 0, field).astype(np.float32), islands, spacing, centre)

    @classmethod
    def guessed(
        cls, shape: Sequence[int], spacing_mm: Sequence[float], model: ShapeModel, centre_mm: Array
    ) -> Gland:
        """Return the mean gland of a shape model, with its median volume, around a centre."""
        spacing = np.asarray(spacing_mm, float)
        offsets = np.moveaxis(np.indices(tuple(shape)), 0, -1) * spacing - centre_mm
        distance = np.linalg.norm(offsets, axis=-1)
        nearest, weights = neighbours((offsets / np.maximum(distance, 1e-6)[..., None]).reshape(-1, 3))
        size_mm = (float(np.median(model.volumes_ml)) * 750 / np.pi / np.mean(model.mean**3)) ** (1 / 3)
        radius = blended(model.mean * size_mm, nearest, weights).reshape(distance.shape)
        field = np.clip(0.5 + (radius - distance) / EDGE_MM, 0, 1).astype(np.float32)
        return cls(field, np.zeros(distance.shape, bool), spacing, np.asarray(centre_mm, float))

    @cached_property
    def radii_mm(self) -> Array:
        """Radii (642,) of the boundary."""
        return np.maximum(self.radii_along(self.field, sphere()), STEP_MM)

    def radii_along(self, field: Array, directions: Array) -> Array:
        """Return the radii (n,) at which a field ends along unit vectors (n, 3)."""
        return last_crossings_mm(rays_of(field, self.spacing_mm, self.centre_mm, directions))

    @cached_property
    def _voxels(self) -> tuple[Array, Array, Array, Array]:
        """Voxels within twice the largest radius: their places (M, 3), offsets (M, 3), nearest rays and weights."""
        offsets = np.moveaxis(np.indices(self.field.shape), 0, -1) * self.spacing_mm - self.centre_mm
        distance = np.linalg.norm(offsets, axis=-1)
        near = (distance > 0) & (distance < 2 * self.radii_mm.max() + 10)
        return np.argwhere(near), offsets[near], *neighbours(offsets[near] / distance[near][:, None])

    def stretched(self, errors_mm: Array, left: Array) -> Array:
        """Return the probability (I, J, K) with radii changed by errors (642,), sharper where little is left."""
        places, offsets, nearest, weights = self._voxels
        old, change, rest = blended(np.stack([self.radii_mm, errors_mm, left], 1), nearest, weights).T
        factor = old / np.maximum(old + change, STEP_MM)
        at = (self.centre_mm + offsets * factor[:, None]) / self.spacing_mm
        values = ndimage.map_coordinates(self.field, at.T, order=1, mode="nearest").clip(CERTAIN, 1 - CERTAIN)
        odds = np.log(values / (1 - values)) / np.maximum(np.sqrt(rest), FAINTEST)
        result = self.field.copy()
        result[tuple(places.T)] = 1 / (1 + np.exp(-odds))
        return result


def moved(gland: Gland, places: Places) -> tuple[Array, Known]:
    """Move the boundary of a gland to the hints.

    Points inside and outside count only if the boundary has to cross them. Hints closer than 2 mm to the centre are
    left out.

    Returns
    -------
    Array
        Probability (I, J, K). Without hints it is the gland's own.
    Known
        The directions in which the boundary is known now.
    """
    boundary = _far(places.boundary, gland)
    crossed: list[tuple[Array, float]] = []  # point, distance by which the boundary must pass it
    estimate, known, result = np.zeros(len(sphere())), NOTHING_KNOWN, gland.field
    correction = np.zeros(len(boundary))  # of the known errors, so that the stretched field ends at the hints
    for _ in range(ROUNDS):
        ends = _ends(gland, places, np.maximum(gland.radii_mm + estimate, STEP_MM))
        points = np.concatenate([boundary, *(point[None] for point, _ in crossed)])
        offsets = points - gland.centre_mm
        radii = np.linalg.norm(offsets, axis=1)
        directions = offsets / radii[:, None]
        beyond = np.array([0.0] * len(boundary) + [distance for _, distance in crossed])
        errors = radii + beyond - gland.radii_along(gland.field, directions)
        errors[: len(boundary)] += correction
        known = Known(
            np.concatenate([directions, *(direction[None] for direction, _ in ends)]),
            np.concatenate([np.zeros(len(points)), np.full(len(ends), places.gap_mm**2 / ERROR_MM2)]),
        )
        if not len(known.directions):
            known = NOTHING_KNOWN
        else:
            weights = known.weights(np.concatenate([errors, [error for _, error in ends]]))
            estimate = covariance(sphere(), known.directions) @ weights
            result = gland.stretched(estimate, known.left(sphere()))
        apart = radii[: len(boundary)] - gland.radii_along(result, directions[: len(boundary)])
        correction += apart
        more = _to_cross(result, gland, places)
        crossed += more
        if not more and np.abs(apart).max(initial=0) < STEP_MM / 5 and not ends:
            break
    return result, known


def _far(points: Array, gland: Gland) -> Array:
    return points[np.linalg.norm(points - gland.centre_mm, axis=1) > NEAREST_MM]


def _to_cross(field: Array, gland: Gland, places: Places) -> list[tuple[Array, float]]:
    """Return the points on the wrong side, and by how much the boundary must pass them.

    Of points that are close to each other only the one that asks for the largest move counts. Many points, as of a
    wide brush, are thinned first: one counts for each direction.
    """
    found: list[tuple[Array, float]] = []
    for given, sign in ((places.inside, 1.0), (places.outside, -1.0)):
        points = _far(given, gland)
        inside = ndimage.map_coordinates(field, (points / gland.spacing_mm).T, order=1, mode="nearest") >= 0.5
        wrong = points[inside == (sign < 0)]
        wrong = wrong[np.argsort(-np.linalg.norm(wrong - gland.centre_mm, axis=1) * sign)]
        if len(wrong) > MANY:
            wrong = _one_a_direction(wrong, gland.centre_mm)
        for point in wrong:
            if all(np.linalg.norm(point - other) > 2 * SIDE_MM for other, _ in found):
                found.append((point, sign * SIDE_MM))
    return found


def _one_a_direction(points: Array, centre_mm: Array) -> Array:
    """Return the first point (P, 3) in each cone of directions."""
    offsets = points - centre_mm
    directions = offsets / np.linalg.norm(offsets, axis=1)[:, None]
    left, taken = np.ones(len(points), bool), []
    while left.any():
        n = int(left.argmax())
        taken.append(n)
        left &= directions @ directions[n] < np.cos(np.radians(CONE_DEG))
    return points[taken]


def _ends(gland: Gland, places: Places, radii_mm: Array) -> list[tuple[Array, float]]:
    """Return, for each plane, the direction in which the boundary comes farthest, and the error of its radius."""
    found = []
    for height, sign in ((places.below, -1.0), (places.above, 1.0)):
        along = sphere()[:, 2] * sign
        reach = 0.0 if height is None else (height - gland.centre_mm[2]) * sign + END_MM
        if reach > NEAREST_MM:
            ray = int((radii_mm * along).argmax())
            found.append((sphere()[ray], reach / along[ray] - gland.radii_mm[ray]))
    return found
