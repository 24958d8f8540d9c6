"""Hints: what a person knows of the gland and the image does not show, in RAS mm.

Hints are kept in the order in which they were given. They do not depend on a grid; ``correction.placed`` puts
them on the grid of an image and finds contradictions.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias

import numpy as np

from ..errors import GeometryError

Point3: TypeAlias = tuple[float, float, float]
End = Literal["apex", "base"]
Side = Literal["inside", "outside", "boundary"]
MOST_HINTS = 1000
MOST_POINTS = 20_000  # of a scribble or an outline
FARTHEST_MM = 1e5


@dataclass(frozen=True)
class Plane:
    """End of the gland: nothing of it lies beyond the plane through a point, parallel to the transverse slices.

    Attributes
    ----------
    end
        ``apex`` (the inferior end) or ``base`` (the superior end).
    at_mm
        Any point of the plane. A slice that is named as the last one of the gland has the plane at its outer face.
    """

    end: End
    at_mm: Point3

    def __post_init__(self) -> None:
        _check_choice("A plane", self.end, ("apex", "base"))
        _check_points(f"The plane of the {self.end}", [self.at_mm])


@dataclass(frozen=True)
class Point:
    """A point inside the gland, outside of it, or on its boundary."""

    side: Side
    at_mm: Point3

    def __post_init__(self) -> None:
        _check_choice("A point", self.side, ("inside", "outside", "boundary"))
        _check_points("A point", [self.at_mm])


@dataclass(frozen=True)
class Scribble:
    """A stroke of a round brush, inside or outside the gland.

    Attributes
    ----------
    side
        ``inside`` or ``outside``.
    path_mm
        Points of the stroke, joined by straight lines.
    radius_mm
        Radius of the brush; 0 for the line alone.
    """

    side: Literal["inside", "outside"]
    path_mm: tuple[Point3, ...]
    radius_mm: float = 0.0

    def __post_init__(self) -> None:
        _check_choice("A scribble", self.side, ("inside", "outside"))
        _check_points("A scribble", self.path_mm)
        if not 0 <= self.radius_mm <= 50:
            raise GeometryError(f"A scribble has a radius of {self.radius_mm:g} mm, expected 0 to 50 mm.")


@dataclass(frozen=True)
class Contour:
    """The whole boundary of the gland on one transverse slice.

    Attributes
    ----------
    at_mm
        A point of the slice.
    outlines_mm
        Closed outlines on the slice, without repetition of the first point; a point is inside if an odd number of
        them is around it. No outline: nothing of the gland is on the slice.
    """

    at_mm: Point3
    outlines_mm: tuple[tuple[Point3, ...], ...] = ()

    def __post_init__(self) -> None:
        _check_points("The slice of a contour", [self.at_mm])
        for outline in self.outlines_mm:
            _check_points("A contour", outline, fewest=3)


Hint: TypeAlias = Plane | Point | Scribble | Contour
KINDS: dict[str, type[Hint]] = {"plane": Plane, "point": Point, "scribble": Scribble, "contour": Contour}


@dataclass(frozen=True)
class Hints:
    """Hints for one image, in the order in which they were given.

    Attributes
    ----------
    items
        The hints, at most 1000.
    image_sha256
        Digest of the image for which they were given (``Volume.source.sha256``); empty if unknown.

    Raises
    ------
    GeometryError
        There are more than 1000 hints.
    """

    items: tuple[Hint, ...] = field(default=())
    image_sha256: str = ""

    def __post_init__(self) -> None:
        if len(self.items) > MOST_HINTS:
            raise GeometryError(
                f"{len(self.items)} hints were given, expected at most {MOST_HINTS}; draw contours or scribbles "
                "instead of many points."
            )

    def __len__(self) -> int:
        """Return the number of hints."""
        return len(self.items)

    def added(self, more: Iterable[Hint]) -> Hints:
        """Return the hints with further ones at the end."""
        return replace(self, items=(*self.items, *more))

    def undone(self) -> Hints:
        """Return the hints without the last one; none stay none."""
        return replace(self, items=self.items[:-1])


def kind_of(hint: Hint) -> str:
    """Return ``plane``, ``point``, ``scribble`` or ``contour``."""
    return next(name for name, kind in KINDS.items() if isinstance(hint, kind))


def _check_choice(what: str, got: Any, expected: tuple[str, ...]) -> None:
    if got not in expected:
        raise GeometryError(f"{what} is {got!r:.40}, expected {' or '.join(expected)}.")


def _check_points(what: str, points: Iterable[Any], fewest: int = 1) -> None:
    try:
        table = np.array(list(points), float)
    except (TypeError, ValueError):
        raise GeometryError(
            f"{what} has points that are not three numbers in mm; give x, y and z in RAS mm."
        ) from None
    if table.ndim != 2 or table.shape[1] != 3 or not fewest <= len(table) <= MOST_POINTS:
        raise GeometryError(
            f"{what} has points of shape {table.shape}, expected {fewest} to {MOST_POINTS} points of three numbers."
        )
    if not (np.abs(table) < FARTHEST_MM).all():
        raise GeometryError(f"{what} has a coordinate that is no number of mm in the patient; give RAS mm.")
