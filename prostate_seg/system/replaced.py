"""Which files of an earlier run may be replaced: those that this package wrote, by what they hold."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from ..errors import OutputError

READ_BYTES = 1 << 26  # of a file, in which its mark must be


def check_replaceable(folder: Path, marks: Mapping[str, str]) -> None:
    """Raise OutputError if a folder holds a file of these names that this package did not write.

    marks: by the file's name a text that the package's own file of that name holds.
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
    """Whether a regular file holds a text in its first 64 MiB."""
    try:
        if not file.is_file():
            return False
        with file.open("rb") as stream:
            return mark.encode() in stream.read(READ_BYTES)
    except OSError:
        return False
