"""Numbers from DICOM attributes, checked to be finite and to have the expected count.

An error names the attribute. An empty element is treated as absent. Messages quote only numbers, because other
values may identify the patient.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from pydicom import Dataset
from pydicom.datadict import dictionary_description
from pydicom.tag import Tag

from ...errors import GeometryError, InputError


def name_of(keyword: str) -> str:
    """Return the name of an attribute for messages, such as ``(0028,0030) Pixel Spacing``."""
    tag = Tag(keyword)
    return f"({tag.group:04X},{tag.element:04X}) {dictionary_description(tag)}"


def numbers(header: Dataset, keyword: str, count: int | None = None) -> list[float] | None:
    """Return the finite numbers of an attribute, or None if it is absent or empty.

    Parameters
    ----------
    header
        The attributes.
    keyword
        Keyword of the attribute.
    count
        Required number of values; None allows any number.

    Raises
    ------
    GeometryError
        A value is not a finite number, or the number of values is wrong.
    """
    try:
        values = _parts(header.get(keyword))
        found = [float(value) for value in values]
    except (TypeError, ValueError, OverflowError):
        raise GeometryError(f"{name_of(keyword)} is not made of numbers; correct it in the file.") from None
    if not values:
        return None
    if count not in (None, len(found)):
        raise GeometryError(
            f"{name_of(keyword)} has {len(found)} values, expected {count}; correct it in the file."
        )
    check_finite(found, name_of(keyword))
    return found


def lengths(header: Dataset, keyword: str, count: int) -> list[float] | None:
    """Return the positive lengths (mm) of an attribute, None if absent or empty. Raises GeometryError."""
    found = numbers(header, keyword, count)
    if found is not None:
        check_positive(found, name_of(keyword))
    return found


def length(header: Dataset, keyword: str) -> float | None:
    """Return the positive length (mm) of an attribute, None if absent or empty. Raises GeometryError."""
    found = lengths(header, keyword, 1)
    return None if found is None else found[0]


def whole(header: Dataset, keyword: str) -> int | None:
    """Return the integer of an attribute, None if absent or empty. Raises InputError if it is no single integer."""
    try:
        value = header.get(keyword)
    except (TypeError, ValueError, OverflowError):
        value = math.nan
    if value is None or value == "":
        return None
    if not isinstance(value, int):
        raise InputError(f"{name_of(keyword)} is not one whole number; correct it in the file.")
    return int(value)


def frame_count(header: Dataset) -> int:
    """Return Number of Frames (0028,0008), or 1 if it is absent. Raises InputError if it is less than 1."""
    count = whole(header, "NumberOfFrames")
    if count is not None and count < 1:
        raise InputError(f"{name_of('NumberOfFrames')} is {count}, expected at least 1; correct it in the file.")
    return count or 1


def check_finite(values: Sequence[float], where: str) -> None:
    """Raise GeometryError with the name of the attribute (``where``) if a value is NaN or infinite."""
    for value in values:
        if not math.isfinite(value):
            raise GeometryError(f"{where} holds {value}, expected finite numbers; correct it in the file.")


def check_positive(values: Sequence[float], where: str) -> None:
    """Raise GeometryError with the name of the attribute (``where``) if a length is not finite and positive."""
    check_finite(values, where)
    for value in values:
        if value <= 0:
            raise GeometryError(f"{where} is {value:g} mm, expected a positive length; correct it in the file.")


def _parts(value: Any) -> list[Any]:
    if value is None or isinstance(value, str | bytes | int | float):
        return [] if value in (None, "", b"") else [value]
    return list(value)
