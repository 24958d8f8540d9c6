"""The manifest of a run: JSON with stable keys, and digests of files."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import OutputError
from ..volume import Segmentation
from .files import replacing

MANIFEST = "manifest.json"  # its name in a case's folder
DIGESTS = "outputs_sha256"  # the entry that holds the SHA-256 of every other file there


def mask_digest(segmentation: Segmentation) -> str:
    """Hex SHA-256 of label 1 and its shape, whatever file holds it."""
    mask = segmentation.labels == 1
    return hashlib.sha256(f"{mask.shape}".encode() + np.packbits(mask).tobytes()).hexdigest()


def write_manifest(path: str | os.PathLike[str], content: Mapping[str, Any]) -> None:
    """Write JSON in UTF-8 with sorted keys and two spaces of indentation.

    numpy numbers and arrays are written as numbers and lists. JSON knows no infinity and no NaN: they
    raise OutputError naming the entry, as does anything else that JSON does not hold.
    """
    plain = _plain(content, "")
    text = json.dumps(plain, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")


def sha256_of_file(path: str | os.PathLike[str]) -> str:
    """Hex SHA-256 of a file's bytes."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_of_files(paths: Iterable[str | os.PathLike[str]]) -> str:
    """Hex SHA-256 over the files' own digests in the order given, independent of their names."""
    total = hashlib.sha256()
    for path in paths:
        total.update(bytes.fromhex(sha256_of_file(path)))
    return total.hexdigest()


def digests_of(folder: Path) -> dict[str, str]:
    """Hex SHA-256 of every file in a folder, also further down, by its path there with slashes."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): sha256_of_file(path) for path in files}


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
