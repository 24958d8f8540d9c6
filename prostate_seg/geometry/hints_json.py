"""Hints as the content of ``hints.json``, and back. The format is docs/hints.md and docs/hints.schema.json."""

from __future__ import annotations

import re
from dataclasses import asdict
from typing import Any

from ..errors import GeometryError, InputError, shortened
from .hints import KINDS, Contour, Hint, Hints, kind_of
from .slice_hints import plane_after, slice_centre_mm, slices_of
from .volume import Volume

SPACE = "RAS mm"
ENTRIES = ("space", "image_sha256", "hints")
AT, SLICE = "at_mm", "slice"
NEEDED = {"plane": {"end"}, "point": {"side"}, "scribble": {"side", "path_mm"}, "contour": {"outlines_mm"}}
OPTIONAL: dict[str, set[str]] = {"plane": set(), "point": set(), "scribble": {"radius_mm"}, "contour": set()}
PLACES = {"plane": (AT, SLICE), "point": (AT,), "scribble": (), "contour": (AT, SLICE)}  # one of them is needed
NUMBERS = {  # depth of the lists of numbers
    "radius_mm": (0, "a number of mm"),
    AT: (1, "a point [x, y, z] in RAS mm"),
    "path_mm": (2, "a list of points [x, y, z] in RAS mm"),
    "outlines_mm": (3, "a list of outlines, each a list of points [x, y, z] in RAS mm"),
}
_SHA256 = re.compile(r"([0-9a-f]{64})?")


def hints_as_json(hints: Hints) -> dict[str, Any]:
    """Return hints as the content of ``hints.json``: dictionaries, lists, texts and numbers."""
    return {"space": SPACE, "image_sha256": hints.image_sha256, "hints": [_row(hint) for hint in hints.items]}


def hints_of_json(content: Any, image: Volume) -> Hints:
    """Return the hints of the content of ``hints.json``.

    Parameters
    ----------
    content
        The content, as the json module returns it.
    image
        Image of the hints; its slices are counted from 1, as the case page shows them.

    Raises
    ------
    InputError
        An entry is missing, unknown or has a wrong type; the message has the number of the hint.
    GeometryError
        A hint is not valid, or a slice is not one of the image.
    """
    if not isinstance(content, dict):
        raise InputError(
            f"The content is {shortened(content)}, expected an object with the entries space and hints."
        )
    if not {"space", "hints"} <= set(content) <= set(ENTRIES):
        raise InputError(
            f"The hints have the entries {shortened(sorted(content))}, expected space, hints and image_sha256."
        )
    if content["space"] != SPACE:
        raise InputError(f"The hints have the space {shortened(content['space'])}, expected {SPACE!r}.")
    digest, rows = content.get("image_sha256", ""), content["hints"]
    if not isinstance(digest, str) or not _SHA256.fullmatch(digest):
        raise InputError(
            f"The hints have the image_sha256 {shortened(digest)}, expected 64 hexadecimal digits in lower "
            "case, or an empty text."
        )
    if not isinstance(rows, list):
        raise InputError(f"The hints are {shortened(rows)}, expected a list.")
    return Hints(tuple(_hint(row, f"Hint {number}", image) for number, row in enumerate(rows, 1)), digest)


def _row(hint: Hint) -> dict[str, Any]:
    return {"type": kind_of(hint)} | {name: _plain(value) for name, value in asdict(hint).items()}


def _hint(row: Any, name: str, image: Volume) -> Hint:
    if not isinstance(row, dict):
        raise InputError(f"{name} is {shortened(row)}, expected an object with a type.")
    values = dict(row)
    kind = values.pop("type", None)
    if not isinstance(kind, str) or kind not in KINDS:
        raise InputError(f"{name} has the type {shortened(kind)}, expected {' or '.join(KINDS)}.")
    name = f"{name} ({kind})"
    _check_entries(name, kind, set(values))
    parts = {key: _numbers(name, key, value) if key in NUMBERS else value for key, value in values.items()}
    try:
        if SLICE not in parts:
            return KINDS[kind](**parts)
        index = _index(parts.pop(SLICE), image)
        if kind == "plane":
            return plane_after(image, parts["end"], index)
        return Contour(slice_centre_mm(image, index), **parts)
    except GeometryError as error:
        raise GeometryError(f"{name} is not valid: {error}") from error


def _check_entries(name: str, kind: str, got: set[str]) -> None:
    places = PLACES[kind]
    rest = got - set(places)
    if NEEDED[kind] <= rest <= NEEDED[kind] | OPTIONAL[kind] and len(got) - len(rest) == bool(places):
        return
    expected = [*sorted(NEEDED[kind]), *([" or ".join(places)] if places else [])]
    more = "".join(f", and optionally {entry}" for entry in OPTIONAL[kind])
    raise InputError(
        f"{name} has the entries {shortened(sorted(got))}, expected {' and '.join(expected)}{more} beside type."
    )


def _index(number: Any, image: Volume) -> int:
    slices = slices_of(image)
    if type(number) is not int or not 1 <= number <= slices.count:
        raise GeometryError(f"the slice is {shortened(number)}, expected a whole number from 1 to {slices.count}.")
    return slices.index(number)


def _numbers(name: str, key: str, value: Any) -> Any:
    depth, expected = NUMBERS[key]
    try:
        return _nested(value, depth)
    except (TypeError, OverflowError):
        raise InputError(f"{name} has the {key} {shortened(value)}, expected {expected}.") from None


def _nested(value: Any, depth: int) -> Any:
    """Return lists of numbers as tuples of floats. Raise TypeError if a value is something else."""
    if depth and isinstance(value, list):
        return tuple(_nested(part, depth - 1) for part in value)
    if depth or type(value) not in (int, float):
        raise TypeError
    return float(value)


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return value
    return [_plain(part) for part in value] if isinstance(value, tuple) else float(value)
