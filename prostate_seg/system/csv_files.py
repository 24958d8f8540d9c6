"""Tables as CSV files: no cell is a formula, and what was written is read back as it was.

A spreadsheet runs a cell that begins with ``=``, ``+``, ``-``, ``@``, a tab or a line end. Such a text gets an
apostrophe in front (OWASP, CSV injection), which :func:`read_rows` takes off again. Numbers stay as they are.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from ..errors import InputError
from .atomic import replacing

LARGEST_BYTES = 100_000_000
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
_FORMULA = re.compile("'*[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")  # the last four: full-width = + - @


def write_rows(path: Path, head: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write a head and rows of text, numbers and None (an empty cell), in UTF-8. Raises OutputError."""
    with (
        replacing(path) as temporary,
        temporary.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file,
    ):
        for row in (head, *rows):
            file.write(_line([_inert(cell) if isinstance(cell, str) else cell for cell in row]))


def read_rows(path: Path) -> tuple[list[str], list[dict[str, str]]]:
    """The columns of a CSV file, and its rows by column; columns without a name are left out.

    Raises InputError: no such file, not UTF-8, too large, two columns of one name, or a row of another length.
    """
    try:
        lines = _lines(path)
    except OSError as error:
        raise InputError(
            f"The table {path} cannot be read ({error.strerror}); give a CSV file that can be read."
        ) from error
    except (csv.Error, UnicodeDecodeError) as error:
        what = "is not UTF-8" if isinstance(error, UnicodeDecodeError) else "has a cell too long for a table"
        raise InputError(
            f"The table {path} {what}; expected text in UTF-8 with cells of at most {csv.field_size_limit()} "
            "characters, so export it again."
        ) from error
    head = lines[0][1] if lines else []
    columns = [name for name in head if name]
    if twice := next((name for name in columns if columns.count(name) > 1), None):
        raise InputError(f"{path} has two columns called {twice}; expected one of each name, so remove one.")
    rows = []
    for number, cells in lines[1:]:
        if len(cells) < len(head) or any(cells[len(head) :]):
            raise InputError(
                f"{path} has {len(cells)} cells in line {number}, expected {len(head)}; correct the line."
            )
        rows.append({name: cell for name, cell in zip(head, cells, strict=False) if name})
    return columns, rows


def _lines(path: Path) -> list[tuple[int, list[str]]]:
    """Line numbers and cells of the lines that are not empty."""
    if path.exists() and not path.is_file():
        raise InputError(f"The table {path} is no file; give a CSV file.")
    if path.stat().st_size > LARGEST_BYTES:
        raise InputError(
            f"The table {path} has {path.stat().st_size} bytes, expected at most {LARGEST_BYTES}; give a smaller "
            "one."
        )
    with path.open(encoding="utf-8-sig", newline="") as stream:
        reader = csv.reader(stream)
        return [(reader.line_num, [_plain(cell) for cell in cells]) for cells in reader if cells]


def _line(cells: Sequence[Any]) -> str:
    """The cells as one line; quoted as for a line that ends in CR LF, since a lone CR ends a line as well."""
    buffer = io.StringIO(newline="")
    csv.writer(buffer, lineterminator="\r\n").writerow(cells)
    return buffer.getvalue().removesuffix("\r\n") + "\n"


def _inert(text: str) -> str:
    return f"'{text}" if _FORMULA.match(text) and not NUMBER.fullmatch(text) else text


def _plain(text: str) -> str:
    return text[1:] if text.startswith("'") and _FORMULA.match(text) else text
