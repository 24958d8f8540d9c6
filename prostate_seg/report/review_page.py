"""The review page of a cohort: its cases in the order of review, the most doubtful case first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

from ..assessment.facts import Uncertainty
from ..system.csv_files import write_rows
from ..system.replaced import check_replaceable
from ..writing.formats import FORMATS
from ..writing.manifest import Manifest
from .page import Html, heading, listed, section, table, write_page

PAGE, TABLE = "review.html", "review.csv"
PROBABILITY = "probability_hd95_above_5_mm"
NO_PROSTATE = "probability_no_upright_prostate"
REPAIRED = "repaired_largest_mm"
TITLE = "Review"
NUMBERS = ("spread_mm", "residual_mm", "shape_sd", "blur_mm", "cut")


def by_doubt(manifests: Mapping[str, Manifest]) -> list[str]:
    """Return the names of cases, the most doubtful first.

    A case with an empty mask comes before all others. The other cases are sorted by the larger of two
    probabilities: that HD95 exceeds 5 mm, and that the scan shows no upright prostate. Cases with equal or unknown
    probabilities are sorted by the larger of two lengths: the distance from a plausible shape, and the mean
    displacement by the repair.
    """

    def key(name: str) -> tuple[bool, float, float]:
        manifest = manifests[name]
        doubt = manifest["uncertainty"]
        chances = [_chance(doubt), _no_prostate(doubt)]
        largest = max((chance for chance in chances if chance is not None), default=-1.0)
        return (
            not any(manifest["extent_mm"]["axes"]),
            largest,
            max(doubt.get("residual_mm") or 0.0, _repaired(doubt, "mean") or 0.0),
        )

    return sorted(sorted(manifests), key=key, reverse=True)


def check_review(folder: Path) -> None:
    """Raise OutputError if the review would replace files that this package did not write."""
    check_replaceable(folder, {PAGE: heading(TITLE), TABLE: f"place,case,{PROBABILITY}"})


def write_review(folder: Path, manifests: Mapping[str, Manifest]) -> list[Path]:
    """Write ``review.csv`` and ``review.html`` into the folder of the cases; return their paths.

    The parameter ``manifests`` holds the manifest of each case under the name of its folder. The page links to the
    reports that exist. Raise OutputError if a file cannot be written.
    """
    check_review(folder)
    order = by_doubt(manifests)
    rows = [_row(name, manifests[name]) for name in order]
    head = ("place", "case", PROBABILITY, NO_PROSTATE, *NUMBERS, REPAIRED, "volume_ml", "warnings")
    numbered = zip(order, rows, strict=True)
    write_rows(folder / TABLE, head, ([place, name, *row] for place, (name, row) in enumerate(numbered, 1)))
    shown = []
    for place, (name, row) in enumerate(zip(order, rows, strict=True), 1):
        report = folder / name / FORMATS["report"].file
        link = f'<a href="{quote(name)}/{FORMATS["report"].file}">{escape(name)}</a>'
        shown.append([place, Html(link) if report.is_file() else name, *row[:-1], len(manifests[name]["warnings"])])
    titles = (
        "Place",
        "Case",
        "Chance of HD95 > 5 mm",
        "Chance of no prostate",
        "Spread, mm",
        "Distance from the nearest shape, mm",
        "Unusual shape, SD",
        "Width of the edge, mm",
        "Cut by the image",
        "Repaired, mm",
    )
    known = any(row[0] is not None for row in rows)
    notes = [] if known else ["The chance of a far HD95 is not known here: each manifest says why."]
    body = [
        section("Most doubtful first", listed(notes) if notes else "", table(
            (*titles, "Volume, mL", "Warnings"), shown, caption=f"{len(order)} cases", name="review")),
    ]  # fmt: skip
    write_page(folder / PAGE, TITLE, body, data={"plots": []}, scripts=["tables.js"])
    return [folder / TABLE, folder / PAGE]


def _chance(doubt: Uncertainty) -> float | None:
    return doubt["probability_hd95_above_5_mm"]["value"] if "probability_hd95_above_5_mm" in doubt else None


def _repaired(doubt: Uncertainty, which: Literal["mean", "largest"]) -> float | None:
    return doubt["repaired_mm"][which] if "repaired_mm" in doubt else None


def _no_prostate(doubt: Uncertainty) -> float | None:
    kinds = doubt.get("looks_like")
    upright = kinds["prostate"] if kinds else None
    return None if upright is None else 1 - upright


def _row(name: str, manifest: Manifest) -> Sequence[Any]:
    doubt = manifest["uncertainty"]
    wrong = _chance(doubt)
    numbers = [doubt.get(number) for number in NUMBERS]
    last = [_repaired(doubt, "largest"), manifest["volume_ml"], " ".join(manifest["warnings"])]
    return [wrong, _no_prostate(doubt), *numbers, *last]
