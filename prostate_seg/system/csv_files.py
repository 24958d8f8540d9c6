"""Tables as CSV files without formulas, which are read back exactly as they were written.

A spreadsheet program may execute a cell that begins with ``=``, ``+``, ``-``, ``@``, a tab or a line end.
:func:`write_rows` puts an apostrophe before such a text (OWASP, CSV injection), and :func:`read_rows` removes the
apostrophe. Numbers are not changed.
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
_FORMULA = re.compile("'*[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")  # the last four: = + - @ in full width


def write_rows(path: Path, head: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write a CSV file in UTF-8.

    Parameters
    ----------
    path
        The file to write.
    head
        The column names.
    rows
        Cells of each row: text, numbers, or None for an empty cell.

    Raises
    ------
    OutputError
        The file cannot be written.
    """
    with (
        replacing(path) as temporary,
        temporary.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file,
    ):
        for row in (head, *rows):
            file.write(_line([_inert(cell) if isinstance(cell, str) else cell for cell in row]))


def read_rows(path: Path) -> tuple[list[str], list[dict[str, str]]]:
    """Return the column names of a CSV file, and each row as a mapping from column name to cell.

    Columns without a name are left out. A row may end in extra empty cells.

    Raises
    ------
    InputError
        The file does not exist, cannot be read, is not UTF-8 or is too large; a cell is too long; two columns have
        the same name; a row has too few cells, or extra cells that are not empty.
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
    """Return the line number and the cells of each line that is not empty."""
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
    """Return the cells as one line of CSV that ends in LF.

    The csv module quotes the cells for lines that end in CR LF, because a single CR also ends a line.
    """
    buffer = io.StringIO(newline="")
    csv.writer(buffer, lineterminator="\r\n").writerow(cells)
    return buffer.getvalue().removesuffix("\r\n") + "\n"


def _inert(text: str) -> str:
    return f"'{text}" if _FORMULA.match(text) and not NUMBER.fullmatch(text) else text


def _plain(text: str) -> str:
    return text[1:] if text.startswith("'") and _FORMULA.match(text) else text
