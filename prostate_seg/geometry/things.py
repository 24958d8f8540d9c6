"""Things: instances that are counted, as needles and seeds, each a straight piece in the patient."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..errors import GeometryError

Array = np.ndarray[Any, Any]
Point = tuple[float, float, float]


@dataclass(frozen=True)
class Thing:
    """A straight instance of a structure, in RAS mm.

    Attributes
    ----------
    structure
        Name of its structure, such as ``Needle`` or ``Seed``.
    start_mm
        First end: where a needle enters the image.
    end_mm
        Second end: the tip of a needle.
    radius_mm
        Radius, above 0.
    score
        Probability that it is one, 0 to 1; 1 if it was drawn by hand.
    """

    structure: str
    start_mm: Point
    end_mm: Point
    radius_mm: float
    score: float = 1.0

    def __post_init__(self) -> None:
        numbers = (*self.start_mm, *self.end_mm, self.radius_mm, self.score)
        if len(numbers) != 8 or not np.isfinite(numbers).all():
            raise GeometryError(f"A {self.structure} has two ends of three numbers in mm, got {numbers}.")
        if self.radius_mm <= 0 or not 0 <= self.score <= 1:
            raise GeometryError(
                f"A {self.structure} has a radius above 0 mm and a score from 0 to 1, got {self.radius_mm:g} mm "
                f"and {self.score:g}."
            )

    @property
    def centre_mm(self) -> Point:
        """Middle between both ends in RAS mm."""
        x, y, z = ((a + b) / 2 for a, b in zip(self.start_mm, self.end_mm, strict=True))
        return x, y, z

    @property
    def length_mm(self) -> float:
        """Distance of both ends."""
        return float(np.linalg.norm(np.subtract(self.end_mm, self.start_mm)))

    def moved(self, transform: Array) -> Thing:
        """Return the thing after an affine transform (4, 4) of RAS mm; the radius stays."""
        ends = np.array([self.start_mm, self.end_mm]) @ transform[:3, :3].T + transform[:3, 3]
        start, end = ((float(x), float(y), float(z)) for x, y, z in ends)
        return replace(self, start_mm=start, end_mm=end)

    def angle_to_deg(self, other: Thing) -> float | None:
        """Return the angle between two things in degrees, 0 to 90; None if one has no length."""
        one, two = (np.subtract(thing.end_mm, thing.start_mm) for thing in (self, other))
        size = float(np.linalg.norm(one) * np.linalg.norm(two))
        return None if size == 0 else float(np.degrees(np.arccos(min(1.0, abs(float(one @ two)) / size))))


def voxels_of(thing: Thing, affine: Array, shape: tuple[int, ...]) -> Array:
    """Return the voxels (N, 3) whose centres lie within the radius of a thing, or at least the nearest ones.

    A thing is thinner than most voxels: the voxels along its axis always belong to it. Voxels outside the shape are
    left out, so the result may be empty.
    """
    inverse = np.linalg.inv(affine)
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    steps = max(2, int(np.ceil(thing.length_mm / (0.5 * float(spacing.min())))) + 1)
    start, end = np.array(thing.start_mm), np.array(thing.end_mm)
    axis = start + np.linspace(0, 1, steps)[:, None] * (end - start)
    reach = np.ceil(thing.radius_mm / spacing).astype(int)
    around = np.stack(np.meshgrid(*[np.arange(-r, r + 1) for r in reach], indexing="ij"), axis=-1).reshape(-1, 3)
    centres = np.rint(axis @ inverse[:3, :3].T + inverse[:3, 3]).astype(int)
    near = np.unique((centres[:, None] + around).reshape(-1, 3), axis=0)
    at = near @ affine[:3, :3].T + affine[:3, 3]
    along = end - start
    length = float(along @ along)
    share = np.clip((at - start) @ along / length, 0, 1) if length else np.zeros(len(at))
    distance = np.linalg.norm(at - (start + share[:, None] * along), axis=1)
    found = np.unique(np.concatenate([near[distance <= thing.radius_mm], centres]), axis=0)
    return found[((found >= 0) & (found < np.array(shape))).all(axis=1)]


def check_inside(things: Iterable[Thing], affine: Array, shape: tuple[int, ...], tolerance_mm: float = 1.0) -> None:
    """Raise GeometryError for a thing that has an end outside the image by more than ``tolerance_mm``."""
    inverse = np.linalg.inv(affine)
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    for number, thing in enumerate(things, 1):
        ends = np.array([thing.start_mm, thing.end_mm]) @ inverse[:3, :3].T + inverse[:3, 3]
        beyond = np.maximum(-0.5 - ends, ends - (np.array(shape) - 0.5)) * spacing
        if beyond.max() > tolerance_mm:
            raise GeometryError(
                f"{thing.structure} {number} leaves the image by {beyond.max():.1f} mm, expected at most "
                f"{tolerance_mm:g} mm; give the image that it was drawn on, or cut it at the border."
            )
