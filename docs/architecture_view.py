"""Draw docs/architecture.svg: the packages on their rows, and what imports what. Called by ``make docs``.

The rows are the layers of setup.cfg, the arrows the imports in the code. An arrow is left out where others lead the
same way: who imports ``cases`` may import all below it.
"""

from __future__ import annotations

import ast
import configparser
import sys
from collections.abc import Iterable
from html import escape
from pathlib import Path

import grimp

ROOT = Path(__file__).parent.parent
PACKAGE = "prostate_seg"
WIDTH, HEIGHT, GAP, ROW = 250, 62, 34, 112  # pixels of a box, between boxes, from row to row
_HEAD = 'stroke-width="1.4" marker-end="url(#a)"'
COLOURS = ("#eef3f8", "#1b3a57", "#7a8794", "#4a5560")  # box, text, arrow, small text


def rows() -> list[list[str]]:
    """The packages of each row, the highest first."""
    settings = configparser.ConfigParser()
    settings.read(ROOT / "setup.cfg", encoding="utf-8")
    text = settings["importlinter:contract:layers"]["layers"]
    return [[name.strip() for name in line.split("|")] for line in text.split("\n") if line.strip()]


def imports(names: Iterable[str]) -> dict[str, set[str]]:
    """For each package the others that it imports."""
    names = list(names)
    graph = grimp.build_graph(PACKAGE)
    found: dict[str, set[str]] = {name: set() for name in names}
    for module in graph.modules:
        importer = module.split(".")[1] if "." in module else ""
        for target in graph.find_modules_directly_imported_by(module):
            imported = target.split(".")[1] if "." in target else ""
            if importer in found and imported in found and importer != imported:
                found[importer].add(imported)
    return found


def reduced(graph: dict[str, set[str]]) -> dict[str, set[str]]:
    """The arrows without those that others lead to as well."""

    def below(name: str) -> set[str]:
        return graph[name].union(*(below(other) for other in graph[name]))

    return {
        name: {to for to in found if not any(to in below(other) for other in found)}
        for name, found in graph.items()
    }


def purpose(name: str) -> str:
    """The first line of a package's docstring."""
    place = ROOT / PACKAGE / name
    file = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
    text = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
    return text.split("\n")[0].rstrip(".")


def _curve(start: tuple[float, float], end: tuple[float, float]) -> str:
    """From below a box to the top of another; round the boxes between them, from right side to right side."""
    (x, y), (u, v) = start, end
    if v - y > ROW and u <= x:
        x, u = x + WIDTH / 2, u + WIDTH / 2
        return f"M{x:g} {y:g} C{x + 90:g} {y + ROW:g} {max(x, u + ROW) + 60:g} {v:g} {u + 2:g} {v:g}"
    y, v = y + HEIGHT / 2, v - HEIGHT / 2 - 2
    return f"M{x:g} {y:g} C{x:g} {y + ROW / 3:g} {u:g} {v - ROW / 3:g} {u:g} {v:g}"


def picture() -> str:
    """The SVG."""
    levels = rows()
    arrows = reduced(imports(name for level in levels for name in level))
    widest = max(map(len, levels))
    total = widest * WIDTH + (widest + 1) * GAP
    centres = {}
    for y, level in enumerate(levels):
        left = (total - len(level) * WIDTH - (len(level) - 1) * GAP) / 2
        for x, name in enumerate(level):
            centres[name] = (left + x * (WIDTH + GAP) + WIDTH / 2, y * ROW + GAP + HEIGHT / 2)
    box, text, line, small = COLOURS
    height = (len(levels) - 1) * ROW + HEIGHT + 2 * GAP
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {total} {height}" font-family="sans-serif" '
        f'role="img" aria-label="Packages and imports"><rect width="100%" height="100%" fill="white"/>',
        f'<defs><marker id="a" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        f'<path d="M0 0 8 4 0 8z" fill="{line}"/></marker></defs>',
    ]
    for name in sorted(arrows):
        for to in sorted(arrows[name]):
            parts.append(f'<path d="{_curve(centres[name], centres[to])}" fill="none" stroke="{line}" {_HEAD}/>')
    for name, (x, y) in centres.items():
        parts.append(
            f'<rect x="{x - WIDTH / 2:g}" y="{y - HEIGHT / 2:g}" width="{WIDTH}" height="{HEIGHT}" rx="8" '
            f'fill="{box}" stroke="{text}"/><text x="{x:g}" y="{y - 5:g}" text-anchor="middle" font-size="18" '
            f'font-weight="bold" fill="{text}">{name}</text><text x="{x:g}" y="{y + 17:g}" text-anchor="middle" '
            f'font-size="12" fill="{small}">{escape(purpose(name))}</text>'
        )
    return "\n".join([*parts, "</svg>", ""])


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "architecture.svg"
    target.write_text(picture(), encoding="utf-8")
