"""JSON files with sorted keys, written completely or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..errors import OutputError
from .atomic import replacing


def write_json(path: str | os.PathLike[str], content: Mapping[str, Any]) -> None:
    """Write JSON in UTF-8 with sorted keys and two spaces of indentation.

    NumPy numbers and arrays are written as numbers and lists.

    Raises
    ------
    OutputError
        A value is infinite or NaN, or JSON cannot store its type, or a key is not text; the message names the
        entry. Also if the file cannot be written.
    """
    plain = _plain(content, "")
    text = json.dumps(plain, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")


def _plain(value: Any, where: str) -> Any:
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {_key(key, where): _plain(entry, f"{where}.{key}".lstrip(".")) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry, f"{where}[{index}]") for index, entry in enumerate(value)]
    if isinstance(value, float) and not np.isfinite(value):
        raise OutputError(f"The entry {where} is {value}, expected a finite number; JSON needs null and a reason.")
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise OutputError(
        f"The entry {where} is a {type(value).__name__}, expected text, a number, a list or a mapping."
    )


def _key(key: Any, where: str) -> str:
    if not isinstance(key, str):
        raise OutputError(f"The key {key!r} in {where or 'the manifest'} is not text, as JSON expects.")
    return key
