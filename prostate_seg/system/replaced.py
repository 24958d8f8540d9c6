"""Protection of files that this package did not write; its own files contain a known text."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from ..errors import OutputError

READ_BYTES = 1 << 26  # the identifying text must be in these first bytes


def check_replaceable(folder: Path, marks: Mapping[str, str]) -> None:
    """Raise OutputError if a folder holds a file with one of these names that this package did not write.

    Parameters
    ----------
    folder
        The folder to check.
    marks
        For each file name, a text that every file of this name contains if this package wrote it.
    """
    foreign = [
        name for name, mark in marks.items() if os.path.lexists(folder / name) and not holds(folder / name, mark)
    ]
    if foreign:
        raise OutputError(
            f"{folder} holds {', '.join(foreign)}, which prostate-seg did not write and would be lost; move it "
            "away or give another output folder."
        )


def holds(file: Path, mark: str) -> bool:
    """Return whether ``file`` is a regular, readable file with the text ``mark`` in its first 64 MiB."""
    try:
        if not file.is_file():
            return False
        with file.open("rb") as stream:
            return mark.encode() in stream.read(READ_BYTES)
    except OSError:
        return False
