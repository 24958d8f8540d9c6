"""Requests of the worker as lines of JSON: what they hold, and the sentence that answers a wrong one."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from ..errors import ProstateSegError, SettingsError, shortened


def parsed(line: str) -> Mapping[str, Any]:
    """Return the request in a line. Raise SettingsError if it is none."""
    try:
        request = json.loads(line, parse_constant=_no_number)
    except (ValueError, RecursionError):
        request = None
    if not isinstance(request, dict) or not {"id", "do"} <= set(request):
        raise SettingsError("The request is not a JSON object with id and do; send one object a line.")
    if not isinstance(request["id"], int | str):
        raise SettingsError(f"The id is {shortened(request['id'])}, expected a whole number or a text.")
    return request


def check_types(arguments: Mapping[str, Any]) -> None:
    """Raise SettingsError if an argument of a request has another type than expected."""
    for name, value in arguments.items():
        fits, expected = _EXPECTED.get(name, (_anything, ""))
        if not fits(value):
            raise SettingsError(f"The request has {name} = {shortened(value, 40)}, expected {expected}.")


def sentence(error: Exception) -> str:
    """Return one sentence without the text of a library's error, which may name a patient."""
    if isinstance(error, ProstateSegError):
        return " ".join(str(error).split())
    if isinstance(error, MemoryError) or "allocate" in str(error):
        return "The image does not fit into memory; close other images, or segment a smaller one."
    return f"Unexpected {type(error).__name__}; try again, or segment the image with prostate-seg segment --debug."


def _no_number(name: str) -> None:
    raise ValueError(name)


def _anything(_: Any) -> bool:
    return True


def _is_text(value: Any) -> bool:
    """Return whether a value is a text that can be a name of a file or a case."""
    if not isinstance(value, str) or not value or "\0" in value:
        return False
    return not any("\ud800" <= letter <= "\udfff" for letter in value)


def _is_text_or_nothing(value: Any) -> bool:
    return value is None or value == "" or _is_text(value)


def _is_object_or_nothing(value: Any) -> bool:
    return value is None or isinstance(value, dict)


def _are_hints(value: Any) -> bool:
    return value is None or isinstance(value, dict | list)


def _are_names(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_text, value))


_EXPECTED: dict[str, tuple[Callable[[Any], bool], str]] = {
    **dict.fromkeys(("case", "image", "folder", "file", "mask", "output", "formats"), (_is_text, "a text")),
    **dict.fromkeys(("segment", "ptv_margin"), (_is_text_or_nothing, "a text")),
    "hints": (_are_hints, "a list of hints to add, or the object of a hints.json to open"),
    "acquisition": (_is_object_or_nothing, "an object"),
    "structures": (_are_names, "a list of names"),
}
