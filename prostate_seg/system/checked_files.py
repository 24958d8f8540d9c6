"""Small JSON and ``.npz`` files from outside, checked for type, size and depth of nesting.

A failed check raises ValueError. Its text is a clause that the caller puts into a sentence. OSErrors are passed on.
"""

from __future__ import annotations

import io
import json
import lzma
import math
import os
import stat
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.lib import format as npy

from ..errors import shortened
from ..geometry.volume import Array

MOST_BYTES = 16 << 20
MOST_NESTING = 64
_LONGEST_INTEGER = 30  # digits
_LONGEST_HEADER = 1000  # characters in the header of an array
_DAMAGED = (
    *(ArithmeticError, EOFError, LookupError, MemoryError, RecursionError, RuntimeError, TypeError, ValueError),
    *(SyntaxError, lzma.LZMAError, struct.error, tokenize.TokenError, zipfile.BadZipFile, zlib.error),
)


def check_plain(path: str | os.PathLike[str], most_bytes: float = math.inf) -> None:
    """Check, without opening it, that a path is a regular file of at most ``most_bytes`` bytes.

    Raises ValueError if it is not (a pipe, a device, a folder, a larger file), and OSError if it does not exist.
    """
    found = os.stat(path)
    if not stat.S_ISREG(found.st_mode):
        raise ValueError("it is no regular file")
    if found.st_size > most_bytes:
        raise ValueError(f"it has {found.st_size} bytes, expected at most {most_bytes}")


def read_json(path: str | os.PathLike[str]) -> Any:
    """Read a JSON file in UTF-8.

    Raises
    ------
    ValueError
        The file is not a regular file, is too large, is damaged or is nested too deeply; a name occurs twice in one
        object; a number is not finite, or an integer has more than 30 characters.
    OSError
        The file cannot be read.
    """
    check_plain(path, MOST_BYTES)
    raw = Path(path).read_bytes()
    try:
        content = json.loads(
            raw.decode("utf-8"),
            object_pairs_hook=_object,
            parse_constant=_constant,
            parse_float=_float,
            parse_int=_integer,
        )
    except UnicodeDecodeError as error:
        raise ValueError("it is not text in UTF-8") from error
    except json.JSONDecodeError as error:
        raise ValueError(f"{error.msg} in line {error.lineno}") from error
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    _check_nesting(content)
    return content


def read_arrays(path: str | os.PathLike[str], names: Sequence[str]) -> list[Array]:
    """Read the named arrays of an ``.npz`` file.

    Raises
    ------
    ValueError
        The file is not a regular file, is too large or is damaged; an array is missing, needs pickle, or has more
        or fewer bytes than its header states.
    OSError
        The file cannot be read.
    """
    check_plain(path, MOST_BYTES)
    try:
        with zipfile.ZipFile(path) as archive:
            return [_array(archive, name) for name in names]
    except _DAMAGED as error:
        raise ValueError("it is damaged, or has other arrays") from error


def _array(archive: zipfile.ZipFile, name: str) -> Array:
    with archive.open(f"{name}.npy") as member:
        content = member.read(MOST_BYTES + 1)
    stream = io.BytesIO(content)
    version = npy.read_magic(stream)
    read_header = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}[version]
    shape, fortran, dtype = read_header(stream, max_header_size=_LONGEST_HEADER)
    start = stream.tell()
    if dtype.hasobject or math.prod(shape) * dtype.itemsize != len(content) - start:
        raise ValueError
    flat = np.frombuffer(content, dtype, offset=start)
    return flat.reshape(shape, order="F" if fortran else "C")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"the name {shortened(name)} stands twice in one object")
        found[name] = value
    return found


def _constant(name: str) -> NoReturn:
    raise ValueError(f"it holds {name}, which is no number in JSON")


def _float(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("it holds a number beyond 1e308")
    return number


def _integer(text: str) -> int:
    if len(text) > _LONGEST_INTEGER:
        raise ValueError(f"it holds an integer of {len(text)} digits")
    return int(text)


def _check_nesting(content: Any) -> None:
    level = [content]
    for _ in range(MOST_NESTING):
        level = [
            part
            for parent in level
            if isinstance(parent, dict | list)
            for part in (parent.values() if isinstance(parent, dict) else parent)
        ]
        if not level:
            return
    raise ValueError(f"it is nested more than {MOST_NESTING} levels deep")
