"""Hints of a markups file of 3D Slicer, ``.mrk.json`` (Slicer's markups schema 1.0.0 to 1.0.4).

A name begins with what the markup means; docs/hints.md has the table. Curves are the splines that Slicer draws by
default. The file does not state if the user chose straight lines instead.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from scipy.interpolate import CubicSpline

from ..errors import InputError, shortened
from ..geometry.hints import FARTHEST_MM, End, Hint, Hints, Point, Scribble, Side
from ..geometry.slice_hints import as_points, contours_through, nearest_slice, plane_after
from ..geometry.volume import Array, Volume, swap_ras_lps

MEANINGS = ("inside", "outside", "boundary", "apex", "base")
POINTS, LINE, CURVE, CLOSED = "Fiducial", "Line", "Curve", "ClosedCurve"
TYPES = (POINTS, LINE, CURVE, CLOSED)
PIECES = 10  # of a curve between two control points, as in Slicer
_MEANING = re.compile(rf"\s*({'|'.join(MEANINGS)})(?![a-z])", re.IGNORECASE)


@dataclass(frozen=True, eq=False)
class _Control:
    """A control point: its name for messages, its texts, its place in RAS mm, and whether it is shown."""

    name: str
    texts: tuple[str, ...]
    at_mm: Array
    shown: bool


@dataclass(frozen=True, eq=False)
class _Markup:
    """A markup: its name for messages, its type, its names, and the control points that are set."""

    name: str
    kind: str
    texts: tuple[str, str]
    controls: tuple[_Control, ...]

    @property
    def texts_of_line(self) -> tuple[str, ...]:
        """The names of a line or curve; Slicer keeps its name in the labels of its points."""
        return (self.texts[0], *self.controls[0].texts, self.texts[1])

    @property
    def path(self) -> Array:
        """The control points (P, 3) in RAS mm."""
        return np.array([one.at_mm for one in self.controls])


def hints_of_markups(content: Mapping[str, Any], image: Volume, file: str) -> Hints:
    """Return the hints of a markups file, its closed curves last.

    Parameters
    ----------
    content
        Content of the file.
    image
        Image that the markups were set on.
    file
        Name of the file, for messages. It is also the name of a markup that has none: Slicer saves each markup in a
        file that has its name.

    Raises
    ------
    InputError
        The file is not as Slicer writes it, a name does not state a meaning, or no point is set and visible.
    GeometryError
        A closed curve is not on one slice, or an end lies outside the image.
    """
    markups = content["markups"]
    if not isinstance(markups, list):
        raise InputError(
            f"{file} has the markups {shortened(markups)}, expected a list; save them in Slicer again."
        )
    hints: list[Hint] = []
    closed: list[tuple[str, Array]] = []
    for number, content_of_one in enumerate(markups, 1):
        markup = _markup(content_of_one, f"Markup {number} of {file}", file)
        if markup.kind == POINTS:
            hints += [_point(one, markup, image) for one in markup.controls if one.shown]
        elif markup.kind == CLOSED and markup.controls:
            closed.append((markup.name, _closed(markup)))
        elif markup.controls:
            hints += _open(markup)
    hints += contours_through(image, closed)
    if not hints:
        raise InputError(f"{file} has no point that is set and visible; set one in Slicer.")
    return Hints(tuple(hints), image.source.sha256)


def _point(control: _Control, markup: _Markup, image: Volume) -> Hint:
    """Return a point, or the plane after the slice of a point that is named apex or base."""
    meaning = _meaning((*control.texts, *markup.texts), control.name)
    at_mm = as_points(control.at_mm[None])[0]
    if meaning in ("apex", "base"):
        return plane_after(image, cast(End, meaning), nearest_slice(image, at_mm, control.name))
    return Point(cast(Side, meaning), at_mm)


def _open(markup: _Markup) -> list[Hint]:
    """Return a line or an open curve as a scribble, or its control points if they are on the boundary."""
    meaning = _meaning(markup.texts_of_line, markup.name)
    if meaning in ("apex", "base"):
        raise InputError(
            f"{markup.name} is a line named {meaning}, expected inside, outside or boundary; set a point at the "
            f"{meaning}."
        )
    path = markup.path
    if meaning == "boundary":
        return [Point("boundary", at_mm) for at_mm in as_points(path)]
    if markup.kind == CURVE and len(path) > 2:
        path = _spline(path, "clamped")
    return [Scribble(cast(Any, meaning), as_points(path))]


def _closed(markup: _Markup) -> Array:
    """Return the points (P, 3) of a closed curve."""
    if (meaning := _stated(markup.texts_of_line)) in ("inside", "outside"):
        raise InputError(
            f"{markup.name} is a closed curve named {meaning}, but a closed curve is the outline of the gland "
            "on its slice; rename it, or draw an open curve."
        )
    path = markup.path
    if len(path) < 3:
        raise InputError(
            f"{markup.name} is a closed curve of {len(path)} points, expected 3 or more; draw it again."
        )
    return _spline(np.concatenate([path, path[:1]]), "periodic")[:-1]


def _spline(points: Array, ends: str) -> Array:
    """Return the points of a cubic spline through points (P, 3), which has one unit of its parameter a point."""
    last = len(points) - 1
    curve = CubicSpline(np.arange(last + 1), points, bc_type=ends)
    return np.asarray(curve(np.linspace(0, last, PIECES * last + 1)))


def _markup(content: Any, name: str, file: str) -> _Markup:
    kind = content.get("type") if isinstance(content, dict) else None
    if kind not in TYPES:
        raise InputError(
            f"{name} has the type {shortened(kind)}, expected {', '.join(TYPES[:-1])} or {CLOSED}; delete it, or "
            "save the others without it."
        )
    texts = (_text(content, "name", name), re.sub(r"(\.mrk)?\.json$", "", file, flags=re.IGNORECASE))
    return _Markup(name, kind, texts, tuple(_controls(content, name)))


def _controls(markup: Mapping[str, Any], name: str) -> Iterator[_Control]:
    """Yield the control points that are set."""
    system, unit = markup.get("coordinateSystem", "LPS"), markup.get("coordinateUnits", "mm")
    if system not in ("LPS", "RAS") or unit != "mm":
        raise InputError(
            f"{name} has the coordinateSystem {shortened(system)} in {shortened(unit)}, expected LPS or RAS in mm."
        )
    controls = markup.get("controlPoints", [])
    if not isinstance(controls, list):
        raise InputError(f"{name} has the controlPoints {shortened(controls)}, expected a list; save it again.")
    turn = swap_ras_lps(np.eye(4))[:3, :3] if system == "LPS" else np.eye(3)
    for number, control in enumerate(controls, 1):
        point = f"Point {number} of {name[0].lower()}{name[1:]}"
        if not isinstance(control, dict):
            raise InputError(f"{point} is {shortened(control)}, expected an object; save it again.")
        if control.get("positionStatus", "defined") != "defined":
            continue
        texts = (_text(control, "label", point), _text(control, "description", point))
        at_mm = turn @ _position(control.get("position"), point)
        yield _Control(point, texts, at_mm, control.get("visibility", True) is not False)


def _position(value: Any, name: str) -> Array:
    numbers = isinstance(value, list) and len(value) == 3 and all(type(part) in (int, float) for part in value)
    if not numbers or not max(map(abs, value)) < FARTHEST_MM:
        raise InputError(f"{name} has the position {shortened(value)}, expected three numbers of mm; set it again.")
    return np.array(value, float)


def _stated(texts: Iterable[str]) -> str:
    """Return the meaning that the first of some names states, or an empty text."""
    matches = filter(None, map(_MEANING.match, texts))
    return next((match.group(1).lower() for match in matches), "")


def _meaning(texts: Sequence[str], name: str) -> str:
    if found := _stated(texts):
        return found
    called = next(filter(None, texts), "")
    raise InputError(
        f"{name} is called {shortened(called)}, expected a name that begins with {', '.join(MEANINGS[:-1])} or "
        f"{MEANINGS[-1]}; rename it in Slicer."
    )


def _text(of: Mapping[str, Any], entry: str, name: str) -> str:
    found = of.get(entry, "")
    if not isinstance(found, str):
        raise InputError(f"{name} has the {entry} {shortened(found)}, expected text; save it again.")
    return found
