"""The HTML page of a comparison: differences, plots case by case, and the cases that got worse."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..evaluation.comparison import Difference, Table, paired, remarks, worst_first
from ..system.replaced import check_replaceable
from . import plots
from .evaluated import told
from .labels import LABELS
from .page import Signed, heading, listed, section, table, write_page

PAGE, TITLE = "comparison.html", "Comparison"


def check_comparison_page(folder: Path) -> None:
    """Raise OutputError if the page would replace a file that this package did not write."""
    check_replaceable(folder, {PAGE: heading(TITLE)})


def write_comparison_page(differences: Sequence[Difference], tables: Sequence[Table], folder: str | Path) -> Path:
    """Write ``comparison.html`` into an existing folder and return its path. Raise OutputError."""
    check_comparison_page(Path(folder))
    rows = [
        [
            f"{one.second} - {one.first}",
            LABELS[one.metric],
            one.cases,
            one.patients,
            one.mean_first,
            one.mean_second,
            Signed(one.mean_difference),
            None if one.low is None else f"{one.low:+.4f} to {one.high:+.4f}",
            one.p_holm,
            one.verdict,
        ]
        for one in differences
    ]
    head = (
        "difference",
        "metric",
        "cases",
        "patients",
        "first",
        "second",
        "mean",
        "95 % interval",
        "p, Holm",
        "second is",
    )
    note = (
        "Interval: bootstrap of the mean difference over patients. p: sign flips of patients, corrected by Holm "
        "over all rows; better or worse only where it is below 0.05. A missed case counts with the diagonal of its "
        "image."
    )
    drawn = _scatters(differences, tables)
    places = "".join(f"<div id={name} class=plot role=img aria-label=Plot></div>" for name in drawn)
    told = remarks(tables)
    body = [
        section("Remarks", listed(told)) if told else "",
        section("Differences", table(head, rows, caption=note, name="differences")),
        section("Case by case", f"<div class=plots>{places}</div>"),
        section("Worst first", _worst(tables)),
    ]
    path = Path(folder) / PAGE
    write_page(path, TITLE, body, data={"plots": drawn}, scripts=["plotly", "tables.js"])
    return path


def _scatters(differences: Sequence[Difference], tables: Sequence[Table]) -> dict[str, Any]:
    drawn: dict[str, Any] = {}
    pairs = {(a.name, b.name): (a, b) for a, b in itertools.combinations(tables, 2)}
    for number, one in enumerate(differences):
        names, first, second, _ = paired(*pairs[one.first, one.second], one.metric)
        drawn[f"scatter{number}"] = plots.scatter(
            LABELS[one.metric], (one.first, one.second), (first, second), names
        )
    return drawn


def _worst(tables: Sequence[Table]) -> str:
    rows = [
        [case, first.name, second.name, told(a), told(b), Signed(b - a)]
        for first, second in itertools.combinations(tables, 2)
        for case, a, b in worst_first(first, second)
    ]
    head = ("case", "first", "second", "Dice, first", "Dice, second", "difference")
    return table(head, rows, caption="The cases that lost most come first.", name="worst")
