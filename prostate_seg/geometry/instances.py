"""Instances: a map of the needle, seed or calcification in each voxel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .things import Thing, painted
from .volume import Array, Volume


@dataclass(frozen=True, eq=False)
class Instances:
    """Instances on a grid.

    Attributes
    ----------
    numbers
        Number of the instance in each voxel, from 1; 0 for none.
    structures
        Name of the structure of each instance.
    """

    numbers: Volume
    structures: tuple[str, ...]

    @classmethod
    def of(cls, things: Sequence[Thing], affine: Array, shape: tuple[int, ...]) -> Instances:
        """Draw things on a grid (:func:`.painted`)."""
        return cls(Volume(painted(things, affine, shape), affine), tuple(one.structure for one in things))
