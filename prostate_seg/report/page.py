"""The common frame of all pages: one HTML file that contains its styles, scripts and data."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

from plotly.offline import get_plotlyjs

from ..system.atomic import replacing

STATEMENT = "Research use only. Not a medical device."
# No script may use the network. 'unsafe-eval' is needed because plotly's 3D plots compile functions.
POLICY = (
    "default-src 'none'; img-src data: blob:; style-src 'unsafe-inline'; script-src 'unsafe-inline' 'unsafe-eval'"
)


def write_page(
    path: Path, title: str, body: Iterable[str], *, data: Any = None, scripts: Sequence[str] = ()
) -> None:
    """Write a page. Raise OutputError if it cannot be written.

    Parameters
    ----------
    path
        HTML file.
    title
        Title as plain text.
    body
        Parts of the page as escaped HTML.
    data
        JSON data; scripts find it as ``report``.
    scripts
        File names in ``assets``. ``plotly`` stands for the plotly library.
    """
    inline = [get_plotlyjs() if name == "plotly" else asset(name) for name in scripts]
    parts = [
        "<!DOCTYPE html>",
        '<html lang="en"><head><meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<link rel="icon" href="data:,">',
        f"<title>{escape(title)}</title>",
        f"<style>{asset('style.css')}</style></head><body>",
        f"{heading(title)}</header><main>",
        *body,
        "</main>",
        f"<script>const report = {script_json(data)};</script>",
        *(f"<script>{script}</script>" for script in inline),
        "</body></html>\n",
    ]
    with replacing(path) as temporary:
        temporary.write_text("\n".join(parts), encoding="utf-8", errors="backslashreplace")


def heading(title: str) -> str:
    """Return the beginning of a page's body. It also identifies pages of an earlier run."""
    return f"<header><h1>{escape(title)}</h1><p class=statement>{STATEMENT}</p>"


def asset(name: str) -> str:
    """Return the text of a file in ``assets``."""
    return (files(__package__) / "assets" / name).read_text(encoding="utf-8")


def script_json(data: Any) -> str:
    """Return JSON that cannot end its surrounding script element."""
    return json.dumps(data, separators=(",", ":"), allow_nan=False).replace("</", "<\\/").replace("<!--", "<\\!--")


def facts(rows: Iterable[tuple[str, str]]) -> str:
    """Return names and values as an HTML list."""
    inner = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in rows)
    return f"<dl>{inner}</dl>"


def table(head: Sequence[str], rows: Iterable[Sequence[Any]], *, caption: str, name: str = "") -> str:
    """Return an HTML table. Numbers are right-aligned.

    Parameters
    ----------
    head
        Column titles.
    rows
        Rows of cells. A cell is text, a number, None for an undefined value, or :class:`Html`.
    caption
        Caption of the table.
    name
        Identifier of the table. A table with a name can be sorted and filtered on the page.
    """
    columns = [f"<th scope=col>{_button(text) if name else escape(text)}</th>" for text in head]
    lines = [f"<tr>{''.join(_cell(cell) for cell in row)}</tr>" for row in rows]
    finder = (
        f'<label class=find>Find <input type=search data-table="{name}" placeholder="part of a name"></label>'
        f'<span class=count aria-live=polite data-count="{name}">{len(lines)} rows</span>'
        if name
        else ""
    )
    identity = f' id="{name}" class=sortable' if name else ""
    return (
        f"{finder}<div class=wide><table{identity}><caption>{escape(caption)}</caption>"
        f"<thead><tr>{''.join(columns)}</tr></thead><tbody>{''.join(lines)}</tbody></table></div>"
    )


class Signed(float):
    """A difference, displayed with its sign."""


class Html(str):
    """Text that is already HTML."""

    __slots__ = ()


def listed(sentences: Sequence[str]) -> str:
    """Return sentences as an HTML list of warnings."""
    return f"<ul class=warnings>{''.join(f'<li>{escape(text)}</li>' for text in sentences)}</ul>"


def plain_list(sentences: Sequence[str]) -> str:
    """Return sentences as a plain HTML list."""
    return f"<ul>{''.join(f'<li>{escape(text)}</li>' for text in sentences)}</ul>"


def section(title: str, *content: str) -> str:
    """Return a section of a page with a heading."""
    return f"<section><h2>{escape(title)}</h2>{''.join(content)}</section>"


def _button(text: str) -> str:
    return f"<button type=button>{escape(text)}</button>"


def _cell(cell: Any) -> str:
    if isinstance(cell, Html):
        return f"<td>{cell}</td>"
    if isinstance(cell, float):
        sign = "+" if isinstance(cell, Signed) else ""
        text = f"{cell:{sign}.3f}" if abs(cell) < 1 else f"{cell:{sign}.2f}"
        return f'<td class=number data-value="{float(cell)!r}">{text}</td>'
    if isinstance(cell, int):
        return f'<td class=number data-value="{cell}">{cell}</td>'
    return "<td>-</td>" if cell is None else f"<td>{escape(str(cell))}</td>"
