"""The review page of a cohort: its cases as a worklist, the most doubtful case first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

from ..assessment.facts import Uncertainty
from ..errors import ProstateSegError
from ..geometry.volume import same_grid
from ..reading.cases import read
from ..reading.masks import read_mask
from ..system.csv_files import write_rows
from ..system.replaced import check_replaceable
from ..writing.formats import FORMATS
from ..writing.manifest import Manifest
from ..writing.view import view_of
from .page import Html, heading, listed, plain_list, section, table, write_page
from .slices import overlay
from .viewer import PREDICTION_COLOUR

PAGE, TABLE = "review.html", "review.csv"
STATES = ("open", "seen", "accepted", "corrected")
MOST_PICTURES = 300  # cases of the worklist with a picture, about 15 kB each
_TOOLS = (
    '<p class="only-screen tools"><span id=progress role=status></span>'
    "<label><input type=checkbox id=only-open>Show only what is open</label>"
    "<button type=button id=export>Save the states as CSV</button><span id=storage></span></p>"
)
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
    head = ("place", "case", PROBABILITY, NO_PROSTATE, *NUMBERS, REPAIRED, "volume_ml", "hints", "warnings")
    numbered = zip(order, rows, strict=True)
    write_rows(folder / TABLE, head, ([place, name, *row] for place, (name, row) in enumerate(numbered, 1)))
    shown = []
    for place, (name, row) in enumerate(zip(order, rows, strict=True), 1):
        shown.append([place, _link(folder, name), *row[:-1], len(manifests[name]["warnings"])])
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
    caption = f"{len(order)} cases"
    numbers = table((*titles, "Volume, mL", "Hints", "Warnings"), shown, caption=caption, name="review")
    items = [_item(folder, name, manifests[name], place) for place, name in enumerate(order, 1)]
    body = [
        section(
            "Most doubtful first", listed(notes) if notes else "", _TOOLS, f"<ol id=worklist>{''.join(items)}</ol>"
        ),
        section("Numbers", numbers),
    ]
    data = {"plots": [], "name": TABLE.replace(".csv", "-states.csv")}
    write_page(folder / PAGE, TITLE, body, data=data, scripts=["tables.js", "review.js"])
    return [folder / TABLE, folder / PAGE]


def _link(folder: Path, name: str) -> Html:
    """Return the name of a case, with a link to its report if there is one."""
    report = FORMATS["report"].file
    if not (folder / name / report).is_file():
        return Html(escape(name))
    return Html(f'<a href="{quote(name)}/{report}">{escape(name)}</a>')


def _item(folder: Path, name: str, manifest: Manifest, place: int) -> str:
    """Return one case of the worklist: picture, name, reasons to look at it, and its state."""
    chance = _chance(manifest["uncertainty"])
    figures = [] if chance is None else [f"Chance of HD95 above 5 mm: {100 * chance:.0f} %"]
    volume = manifest["volume_ml"]
    figures += [] if volume is None else [f"{volume:.1f} mL"]
    figures += [f"Corrected by hints: {count}"] if (count := _hints(manifest)) else []
    reasons = manifest["warnings"] or ["Nothing conspicuous."]
    picture = _picture(folder / name) if place <= MOST_PICTURES else ""
    states = "".join(
        f'<label><input type=radio name="state{place}" value={state}{" checked" * (number == 0)}>{state}</label>'
        for number, state in enumerate(STATES)
    )
    digest = (manifest.get("ctv_sha256") or "")[:16]  # a state is that of a contour
    return (
        f'<li data-case="{escape(name)}" data-digest="{escape(digest)}"><div class=thumbnail>{picture}</div><div>'
        f"<h3>{_link(folder, name)}</h3><p>{escape(', '.join(figures))}</p>{plain_list(reasons)}"
        f"<fieldset><legend class=hidden>State of {escape(name)}</legend>{states}</fieldset></div></li>"
    )


def _picture(case: Path) -> str:
    """Return the slice with the largest area of the mask; a phrase if image or mask were not written."""
    image, mask = (case / FORMATS[name].file for name in ("nrrd", "nifti"))
    if not (image.is_file() and mask.is_file()):
        return "<p>No picture: trus.nrrd or ctv.nii.gz is not there.</p>"
    try:
        volume, segmentation = read(image), read_mask(mask)
        if not same_grid(volume, segmentation):
            return "<p>No picture: the mask lies on another grid than the image.</p>"
        found = segmentation.mask()
        view = view_of(volume, [found])
        area = view.of(found).sum(axis=(0, 1))
        return overlay(
            view, [(found, PREDICTION_COLOUR, False)], int(area.argmax()) if area.any() else len(area) // 2
        )
    except ProstateSegError as error:
        return f"<p>No picture: {escape(str(error))}</p>"


def _chance(doubt: Uncertainty) -> float | None:
    return doubt["probability_hd95_above_5_mm"]["value"] if "probability_hd95_above_5_mm" in doubt else None


def _repaired(doubt: Uncertainty, which: Literal["mean", "largest"]) -> float | None:
    return doubt["repaired_mm"][which] if "repaired_mm" in doubt else None


def _hints(manifest: Manifest) -> int:
    """Return the number of hints that a mask obeys."""
    return manifest["hints"]["count"] if "hints" in manifest else 0


def _no_prostate(doubt: Uncertainty) -> float | None:
    kinds = doubt.get("looks_like")
    upright = kinds["prostate"] if kinds else None
    return None if upright is None else 1 - upright


def _row(name: str, manifest: Manifest) -> Sequence[Any]:
    doubt = manifest["uncertainty"]
    wrong = _chance(doubt)
    numbers = [doubt.get(number) for number in NUMBERS]
    last = [_repaired(doubt, "largest"), manifest["volume_ml"], _hints(manifest), " ".join(manifest["warnings"])]
    return [wrong, _no_prostate(doubt), *numbers, *last]
