"""Error messages of failed cases: one sentence and, on request, the traceback; without names if anonymous."""

from __future__ import annotations

import re
import traceback
from collections.abc import Sequence
from pathlib import Path

from ..errors import ProstateSegError
from ..reading.cases import Case
from ..system.input_files import InputFile, stem

_QUOTED = re.compile(r"""(?<!\w)(?:'[^']*'|"[^"]*")(?!\w)""")


def sentence(case: Case, error: Exception, *, anonymous: bool, others: Sequence[Path] = ()) -> str:
    """Return one sentence that tells why a case failed.

    The sentence begins with the name of the file. If anonymous, it begins with the name of the case and contains
    neither the name of a file of the case or of ``others`` nor a text that a file holds, in quotes. The text of a
    library's error is never included, because it may contain patient data.
    """
    if isinstance(error, ProstateSegError):
        text = str(error).removeprefix(f"{case.name}: ")
    elif isinstance(error, MemoryError) or "allocate" in str(error):  # torch raises RuntimeError if memory runs out
        text = "it does not fit into memory; segment a smaller volume, or check its spacing."
    else:
        text = f"unexpected {type(error).__name__}; run again with --debug for the traceback."
    text = " ".join(text.split())
    if anonymous:
        return f"{case.name}: {_QUOTED.sub('a text', _without_names(text, (*case.files, *others)))}"
    files = case.files
    return f"{files[0].name if len(files) == 1 else f'{case.name} ({len(files)} files)'}: {text}"


def traceback_of(error: BaseException, *, anonymous: bool) -> str:
    """Return the traceback of an error; if anonymous, without the messages of the error and of its causes."""
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
    """Replace the paths and names of files, of their folders and of their zip archives in a text."""
    paths = [path for file in files for path in _paths(file)]
    places = {str(path): "a file" for path in paths if len(path.parts) > 1}
    places |= {str(path.parent): "a folder" for path in paths if len(path.parts) > 2}
    for place in sorted(places, key=len, reverse=True):
        text = text.replace(place, places[place])
    names = {name for path in paths for name in (path.name, stem(path.name))} - {""}
    longest_first = "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True))
    return re.sub(rf"(?<!\w)(?:{longest_first})(?!\w)", "a file", text)


def _paths(file: InputFile) -> list[Path]:
    """Return the path of a file or its archive, as given and with links resolved, and the path in the archive."""
    given = [file] if isinstance(file, Path) else [file.archive]
    inside = [] if isinstance(file, Path) else [Path(file.at)]
    return [*given, *(path.resolve() for path in given), *inside]
