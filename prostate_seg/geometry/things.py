"""Things: instances that are counted, as needles and seeds, each a straight piece in the patient."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..errors import GeometryError
from .structures import is_name, key

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
        First end: where a needle enters the image, or the part of it that was searched.
    end_mm
        Second end: the tip of a needle.
    radius_mm
        Radius, above 0.
    score
        Probability that it is one, 0 to 1; 1 if it was drawn by hand.
    oriented
        Whether its ends show its direction; False if only its centre is known.
    """

    structure: str
    start_mm: Point
    end_mm: Point
    radius_mm: float
    score: float = 1.0
    oriented: bool = True

    def __post_init__(self) -> None:
        if not is_name(self.structure):
            raise GeometryError(
                f"A thing is named {self.structure!r:.80}, expected letters, digits, blanks and _ - . , ( ) / +."
            )
        numbers = (*self.start_mm, *self.end_mm, self.radius_mm, self.score)
        if len(self.start_mm) != 3 or len(self.end_mm) != 3 or not np.isfinite(numbers).all():
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

    @property
    def direction(self) -> Point | None:
        """Unit vector in RAS from start to end; None if it is not known or both ends are one point."""
        if not self.oriented or self.length_mm == 0:
            return None
        x, y, z = ((b - a) / self.length_mm for a, b in zip(self.start_mm, self.end_mm, strict=True))
        return x, y, z

    def moved(self, transform: Array) -> Thing:
        """Return the thing after an affine transform (4, 4) of RAS mm; the radius stays."""
        ends = np.array([self.start_mm, self.end_mm]) @ transform[:3, :3].T + transform[:3, 3]
        start, end = ((float(x), float(y), float(z)) for x, y, z in ends)
        return replace(self, start_mm=start, end_mm=end)

    def angle_to_deg(self, other: Thing) -> float | None:
        """Return the angle between two things in degrees, 0 to 90; None if the direction of one is not known."""
        if self.direction is None or other.direction is None:
            return None
        return float(np.degrees(np.arccos(min(1.0, abs(float(np.dot(self.direction, other.direction)))))))


def voxels_of(thing: Thing, affine: Array, shape: tuple[int, ...]) -> Array:
    """Return the voxels of a thing as indices (N, 3), each once.

    These are the voxels with a centre within the radius of the axis, and those that the axis passes through.
    """
    inverse = np.linalg.inv(affine)
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    ends = np.array([thing.start_mm, thing.end_mm]) @ inverse[:3, :3].T + inverse[:3, 3]
    count = int(np.ceil(np.abs(ends[1] - ends[0]).max() * 4)) + 2
    on_axis = np.rint(np.linspace(ends[0], ends[1], count)).astype(int)
    reach = thing.radius_mm / spacing + 1
    low, high = np.floor(ends.min(axis=0) - reach).astype(int), np.ceil(ends.max(axis=0) + reach).astype(int)
    low, high = np.maximum(low, 0), np.minimum(high, np.array(shape) - 1)
    mask = np.zeros(np.maximum(high - low + 1, 0), bool)
    along = np.subtract(thing.end_mm, thing.start_mm)
    across = np.stack(np.meshgrid(*map(np.arange, low[1:], high[1:] + 1), indexing="ij"), axis=-1).reshape(-1, 2)
    in_plane = across @ affine[:3, 1:3].T + affine[:3, 3] - thing.start_mm
    for n, plane in enumerate(mask):  # one at a time: they stay in the processor's cache
        from_start = in_plane + affine[:3, 0] * (low[0] + n)
        share = np.clip(from_start @ along / max(float(along @ along), 1e-12), 0, 1)
        near = np.linalg.norm(from_start - share[:, None] * along, axis=1) <= thing.radius_mm
        plane[:] = near.reshape(plane.shape)
    inside = ((on_axis >= 0) & (on_axis < shape)).all(axis=1)
    mask[tuple((on_axis[inside] - low).T)] = True
    return np.argwhere(mask) + low


def painted(things: Sequence[Thing], affine: Array, shape: tuple[int, ...]) -> Array:
    """Return a map, uint16, of the number of the thing in each voxel, from 1; 0 for none.

    A voxel of several things belongs to the shortest, so that a needle does not hide a seed.
    """
    labels = np.zeros(shape, np.uint16)
    for number, thing in sorted(enumerate(things, 1), key=lambda pair: -pair[1].length_mm):
        labels[tuple(voxels_of(thing, affine, shape).T)] = number
    return labels


def numbered(things: Iterable[Thing]) -> list[tuple[str, Thing]]:
    """Return a name for each thing: its structure and its number, counted from 1 in each structure."""
    counts: dict[str, int] = {}
    found = []
    for one in things:
        counts[key(one.structure)] = counts.get(key(one.structure), 0) + 1
        found.append((f"{one.structure} {counts[key(one.structure)]}", one))
    return found


def grouped(things: Iterable[Thing]) -> dict[str, list[Thing]]:
    """Return things by their structure; names that differ in case or blanks only are one structure."""
    groups: dict[str, list[Thing]] = {}
    names: dict[str, str] = {}
    for one in things:
        groups.setdefault(names.setdefault(key(one.structure), one.structure), []).append(one)
    return groups


def check_inside(things: Iterable[Thing], affine: Array, shape: tuple[int, ...], tolerance_mm: float = 1.0) -> None:
    """Raise GeometryError for a thing that has an end outside the image by more than ``tolerance_mm``."""
    inverse = np.linalg.inv(affine)
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    for name, thing in numbered(things):
        ends = np.array([thing.start_mm, thing.end_mm]) @ inverse[:3, :3].T + inverse[:3, 3]
        beyond = np.maximum(-0.5 - ends, ends - (np.array(shape) - 0.5)) * spacing
        if beyond.max() > tolerance_mm:
            raise GeometryError(
                f"{name} leaves the image by {beyond.max():.1f} mm, expected at most "
                f"{tolerance_mm:g} mm; give the image that it was drawn on, or cut it at the border."
            )
