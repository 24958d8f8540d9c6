"""Places on the page and in the patient: what is drawn on a slice becomes a hint, and a hint is drawn again."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from nibabel.orientations import inv_ornt_aff

from ..errors import GeometryError
from ..geometry.hints import MOST_POINTS, Contour, Hint, Plane, Point, Point3, Scribble, kind_of
from ..geometry.slices import transverse_of
from ..geometry.volume import Array, Volume
from ..writing.view import View

PARTS = {
    "plane": {"type", "end", "slice"},
    "point": {"type", "side", "slice", "points"},
    "scribble": {"type", "side", "slice", "points", "radius_mm"},
    "contour": {"type", "slice", "points"},
}


@dataclass(frozen=True, eq=False)
class Sheet:
    """The displayed slices of a volume.

    Coordinates on the page are mm to the right and downward from the corner of a slice, and the index of the slice.

    Attributes
    ----------
    view
        The slices as they are displayed.
    to_ras
        (4, 4): coordinates on the page to RAS mm.
    rises
        Whether slices with a larger index are more superior.
    """

    view: View
    to_ras: Array
    rises: bool

    @classmethod
    def of(cls, volume: Volume, view: View) -> Sheet:
        """Return the sheet of a volume and its view."""
        voxel = np.diag([1 / view.pixel_mm[0], 1 / view.pixel_mm[1], 1.0, 1.0])
        starts = [part.start or 0 for part in view.box]
        voxel[:2, 3] = np.array(starts) - 0.5  # voxel n is displayed from n to n + 1
        in_file = np.eye(4) if view.turn is None else inv_ornt_aff(view.turn, volume.array.shape)
        slices = transverse_of(volume.array.shape, volume.affine, volume.orientation)
        return cls(view, volume.affine @ in_file @ voxel, view.turn is not None or slices.rises)

    def hint(self, drawn: Mapping[str, Any]) -> Hint:
        """Return what was drawn as a hint.

        Parameters
        ----------
        drawn
            ``type`` (plane, point, scribble or contour), ``slice`` (index on the page), ``points`` (list of [x, y]
            in mm), and ``end``, ``side`` or ``radius_mm``, as the type needs.

        Raises
        ------
        GeometryError
            A part is missing, unknown or no number, or a point is not on the slice.
        """
        kind = drawn.get("type")
        parts = PARTS.get(kind) if isinstance(kind, str) else None
        if parts is None or set(drawn) != parts:
            expected = f"expected {', '.join(sorted(parts))}" if parts else f"the types are {', '.join(PARTS)}"
            raise GeometryError(
                f"A hint of the page has {', '.join(map(str, drawn))[:200] or 'no parts'}; {expected}."
            )
        index, count = drawn["slice"], self.view.gray.shape[2]
        if type(index) is not int or not 0 <= index < count:
            raise GeometryError(f"The slice is {index!r:.40}, expected an index from 0 to {count - 1}.")
        if kind == "plane":
            outward = -0.5 if (drawn["end"] == "apex") == self.rises else 0.5
            return Plane(drawn["end"], self._middle(index + outward))
        points = self._placed(drawn["points"], index)
        if kind == "contour":
            return Contour(self._middle(index), (points,) if points else ())
        if kind == "scribble":
            return Scribble(drawn["side"], points, _number(drawn["radius_mm"]))
        if len(points) != 1:
            raise GeometryError(f"A point of the page has {len(points)} places, expected 1.")
        return Point(drawn["side"], points[0])

    def mark(self, hint: Hint) -> dict[str, Any]:
        """Return how a hint is drawn: type, slice, lines, and its other parts."""
        places = [[hint.at_mm]] if isinstance(hint, Plane | Point) else []
        if isinstance(hint, Scribble):
            places = [list(hint.path_mm)]
        elif isinstance(hint, Contour):
            places = [list(outline) for outline in hint.outlines_mm]
        first = places[0][0] if places else hint.at_mm  # type: ignore[union-attr]
        along = float(self.on_page([first])[0, 2])
        if isinstance(hint, Plane):  # half a slice beyond the last slice
            along += 0.5 if (hint.end == "apex") == self.rises else -0.5
        lines = [self.on_page(part)[:, :2].round(2).tolist() for part in places if not isinstance(hint, Plane)]
        parts = {name: value for name, value in vars(hint).items() if name in ("end", "side", "radius_mm")}
        return {"type": kind_of(hint), "slice": self.index(along), "lines": lines, **parts}

    def on_page(self, points_mm: Sequence[Sequence[float]]) -> Array:
        """Return places in RAS mm (n, 3) as coordinates on the page (n, 3)."""
        inverse = np.linalg.inv(self.to_ras)
        return np.asarray(points_mm, float) @ inverse[:3, :3].T + inverse[:3, 3]

    def index(self, along: float) -> int:
        """Return the index of the displayed slice nearest to a position along the slices."""
        return int(np.clip(np.rint(along), 0, self.view.gray.shape[2] - 1))

    def _middle(self, along: float) -> Point3:
        return self._ras(self.view.extent_mm[0] / 2, self.view.extent_mm[1] / 2, along)

    def _ras(self, across: float, down: float, along: float) -> Point3:
        x, y, z = (self.to_ras @ [across, down, along, 1.0])[:3].tolist()
        return x, y, z

    def _placed(self, points: Any, index: int) -> tuple[Point3, ...]:
        if not isinstance(points, list) or len(points) > MOST_POINTS:
            raise GeometryError(f"The points of a hint are no list of at most {MOST_POINTS}; draw a shorter line.")
        width, height = self.view.extent_mm
        found = []
        for point in points:
            if not isinstance(point, list) or len(point) != 2:
                raise GeometryError(f"A point on the page is {point!r:.40}, expected two numbers in mm.")
            across, down = map(_number, point)
            if not (0 <= across <= width and 0 <= down <= height):
                raise GeometryError(
                    f"A point on the page lies at {across:.1f}, {down:.1f} mm, beside the slice of {width:.1f} x "
                    f"{height:.1f} mm; draw on the slice."
                )
            found.append(self._ras(across, down, index))
        return tuple(found)


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise GeometryError(f"A number of the page is {value!r:.40}, expected mm.")
    return float(value)
