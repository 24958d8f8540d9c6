"""Writer of ``hints.json`` (:mod:`prostate_seg.geometry.hints_json`)."""

from __future__ import annotations

from pathlib import Path

from ..geometry.hints import Hints
from ..geometry.hints_json import hints_as_json
from ..system.json_files import write_json


def write_hints(path: Path, hints: Hints) -> None:
    """Write hints in RAS mm, in the order in which they were given. Raise OutputError."""
    write_json(path, hints_as_json(hints))
