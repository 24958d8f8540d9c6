"""SHA-256 digests of files."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path


def sha256_of_file(path: str | os.PathLike[str]) -> str:
    """Return the SHA-256 of a file's bytes as hexadecimal digits."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_of_files(paths: Iterable[str | os.PathLike[str]]) -> str:
    """Return one SHA-256 for several files as hexadecimal digits.

    The digest is computed from the digests of the files, in the order given. The file names do not matter.
    """
    total = hashlib.sha256()
    for path in paths:
        total.update(bytes.fromhex(sha256_of_file(path)))
    return total.hexdigest()


def digests_of(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every file in a folder and its subfolders, as hexadecimal digits.

    The keys are the paths relative to the folder, with forward slashes.
    """
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): sha256_of_file(path) for path in files}
