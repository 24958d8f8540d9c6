"""Why a case failed: one sentence, and on request the traceback; without names if they are secret."""

from __future__ import annotations

import re
import traceback
from pathlib import Path

from ..errors import ProstateSegError
from ..reading.cases import Case
from ..system.input_files import InputFile, stem


def sentence(case: Case, error: Exception, *, anonymous: bool) -> str:
    """Why a case failed, beginning with its file, or if anonymous with its name and without any file's.

    Nothing of a library's text is in it, which may quote what identifies the patient.
    """
    if isinstance(error, ProstateSegError):
        text = str(error).removeprefix(f"{case.name}: ")
    elif isinstance(error, MemoryError) or "allocate" in str(error):  # torch raises a RuntimeError
        text = "it does not fit into memory; segment a smaller volume, or check its spacing."
    else:
        text = f"unexpected {type(error).__name__}; run again with --debug for the traceback."
    text = " ".join(text.split())
    if anonymous:
        return f"{case.name}: {_without_names(text, case.files)}"
    files = case.files
    return f"{files[0].name if len(files) == 1 else f'{case.name} ({len(files)} files)'}: {text}"


def traceback_of(error: BaseException, *, anonymous: bool) -> str:
    """The traceback of an error; if anonymous without any text of it or of those that it came from."""
    if not anonymous:
        return "".join(traceback.format_exception(error))
    parts = []
    found: BaseException | None = error
    while found is not None:
        places = "".join(traceback.format_tb(found.__traceback__))
        parts.append(f"Traceback (most recent call last):\n{places}{type(found).__name__}\n")
        found = found.__cause__ or (None if found.__suppress_context__ else found.__context__)
    return "\nThis led to:\n\n".join(reversed(parts))


def _without_names(text: str, files: tuple[InputFile, ...]) -> str:
    """A text without the paths and names of files, of their folders in these paths, and of the zips they lie in."""
    paths = [path for file in files for path in _paths(file)]
    places = {str(path): "a file" for path in paths if len(path.parts) > 1}
    places |= {str(path.parent): "a folder" for path in paths if len(path.parts) > 2}
    for place in sorted(places, key=len, reverse=True):
        text = text.replace(place, places[place])
    names = {name for path in paths for name in (path.name, stem(path.name))} - {""}
    longest_first = "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True))
    return re.sub(rf"(?<!\w)(?:{longest_first})(?!\w)", "a file", text)


def _paths(file: InputFile) -> list[Path]:
    """Where a file and its zip lie, as they were given and without links."""
    given = [file] if isinstance(file, Path) else [file.archive]
    inside = [] if isinstance(file, Path) else [Path(file.at)]
    return [*given, *(path.resolve() for path in given), *inside]
