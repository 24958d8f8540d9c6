"""The HTML page of an evaluation: summary, plots, the worst cases, and all cases."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from ..errors import InputError, OutputError, ProstateSegError
from ..evaluation import CaseResult, Observers, StructureResults, panoptic_rows, structure_rows
from ..evaluation.metrics import Metrics
from ..evaluation.summary import Summary
from ..evaluation.tables import INTERVAL, panoptic_slices, summaries_of
from ..system.atomic import check_free, made_folder, replacing_folder
from ..system.replaced import check_replaceable, holds
from . import plots
from .case_page import write_case_page
from .evaluated import evaluated_case, told, worst_slice
from .labels import LABELS
from .page import Html, Signed, facts, heading, listed, section, table, write_page

PAGE, PAGES, TITLE = "report.html", "cases", "Evaluation"
LOG = logging.getLogger(__name__)
COLUMNS = (
    *("dice", "hd_mm", "hd95_mm", "assd_mm", "surface_dice_2mm", "volume_ml", "reference_volume_ml"),
    *("volume_error_ml", "centroid_shift_mm", "dice_apex", "dice_mid", "dice_base"),
)
_BOXES = {
    "Overlap": {"dice": "Dice", "surface_dice_2mm": "surface, 2 mm", "slice_dice": "slices"},
    "Distances, mm": {"hd_mm": "Hausdorff", "hd95_mm": "HD95", "assd_mm": "average"},
    "Dice by third": {"dice_apex": "apex", "dice_mid": "mid-gland", "dice_base": "base"},
    "Mean distance by direction, mm": {
        f"distance_{name}_mm": name for name in ("anterior", "posterior", "left", "right")
    },
}
_QUALITIES = ("PQ", "SQ", "RQ")
_PANOPTIC = (
    "Panoptic quality PQ = SQ x RQ. A region is one segment in each case; needles, seeds and calcifications are "
    "instances. A match has an IoU above 0.5, or a distance of at most the given one (needles: of the tips), with "
    "its median error and angle in degrees."
)


def check_cohort(folder: str | Path) -> None:
    """Raise OutputError if the pages would replace files that this package did not write."""
    check_replaceable(Path(folder), {PAGE: heading(TITLE)})
    check_free(Path(folder) / PAGES, may_replace=_is_case_page)


def _is_case_page(path: Path) -> bool:
    return path.suffix == ".html" and holds(path, f"<header><h1>{TITLE} of ")


def write_cohort(
    results: Sequence[CaseResult],
    folder: str | Path,
    *,
    observers: Observers | None = None,
    structures: StructureResults | None = None,
    images: str | Path | None = None,
    pages: int = 5,
    left_out: int = 0,
) -> list[Path]:
    """Write ``report.html`` and the pages ``cases/NAME.html`` of the worst cases; return their paths.

    If the page of a case cannot be made, a warning is logged and the page is left out.

    Parameters
    ----------
    results
        Results of the evaluation.
    folder
        Folder for the pages; created if missing.
    observers
        Comparison of the model with several observers, or None.
    structures
        Results of several structures, or None.
    images
        Folder of images, see :func:`.evaluated_case`.
    pages
        Number of cases with the lowest Dice that get a page.
    left_out
        Number of rows that are not in the results, because the prediction or the reference is missing.

    Raises
    ------
    InputError
        images is not a folder.
    OutputError
        A page cannot be written, or would replace a file that this package did not write.
    """
    folder, place = Path(folder), None if images is None else Path(images)
    if place is not None and not place.is_dir():
        raise InputError(f"{place} is no folder of images; give one with NAME.nii.gz (or a folder NAME) a case.")
    check_cohort(folder)
    made_folder(folder)
    pictures = {}
    with replacing_folder(folder / PAGES, may_replace=_is_case_page) as partial:
        for result in _worst(results, pages):
            if picture := _written_case(result, place, partial):
                pictures[result.case] = picture
    measured = [result for result in results if result.metrics is not None]
    drawn = _plots(measured)
    body = [
        _overview(results, left_out) if results else "",
        section("Summary", _summary(results)) if measured else "",
        _structures(structures) if structures else "",
        _observers(observers) if observers else "",
        section("Plots", f"<div class=plots>{''.join(map(_place, drawn))}</div>") if drawn else "",
        section("Worst cases", f"<div class=gallery>{''.join(pictures.values())}</div>") if pictures else "",
        section("All cases", _cases(results, set(pictures))) if results else "",
    ]
    write_page(folder / PAGE, TITLE, body, data={"plots": drawn}, scripts=["plotly", "tables.js"])
    return [folder / PAGE, *(folder / PAGES / f"{case}.html" for case in pictures)]


def _written_case(result: CaseResult, images: Path | None, folder: Path) -> str | None:
    """Write the page of a case and return its figure for the cohort's page.

    Return None if the page cannot be made.
    """
    try:
        report = evaluated_case(result, images)
        write_case_page(folder / f"{result.case}.html", report)
        return _figure(result, worst_slice(report))
    except OutputError:
        raise
    except Exception as error:  # no error of a library may stop the other pages
        why = error if isinstance(error, ProstateSegError) else f"unexpected {type(error).__name__}"
        LOG.warning("Case %s has no page: %s", result.name, why)
        return None


def _worst(results: Sequence[CaseResult], count: int) -> list[CaseResult]:
    """Return the rows with the lowest Dice, lowest first, at most one row for each case.

    Only measured rows with a known prediction file are considered. A missed case has a Dice of 0 and comes first.
    """
    lowest: dict[str, CaseResult] = {}
    known = [one for one in results if one.metrics is not None and one.prediction is not None]
    for result in sorted(known, key=_dice):
        lowest.setdefault(result.case, result)
    return list(lowest.values())[:count]


def _dice(result: CaseResult) -> float:
    assert result.metrics is not None
    return result.metrics.dice


def _overview(results: Sequence[CaseResult], left_out: int) -> str:
    failed = [result for result in results if result.metrics is None]
    rows = [
        ("Cases", str(len({result.case for result in results}))),
        ("Patients", str(len({result.patient or result.case for result in results}))),
        ("Rows that could not be measured", str(len(failed))),
    ]
    if left_out:
        rows.append(("Rows left out, without a prediction or a reference", str(left_out)))
    missed = sum(result.metrics is not None and result.metrics.hd_mm == float("inf") for result in results)
    slices = panoptic_slices(results)
    parts = f"{told(slices.segmentation_quality)} x {told(slices.recognition_quality)}"
    shown = f"{told(slices.quality)} = {parts} (mean IoU of the slices found, F1 of finding them)"
    return facts(
        [*rows, ("Rows with an empty mask on one side", str(missed)), ("Panoptic quality of slices", shown)]
    )


def _summary(results: Sequence[CaseResult]) -> str:
    found = {name: summary for name, summary in summaries_of(results).items() if summary.cases}
    head = ("metric", "mean", "95 % interval", "median", "standard deviation", "cases", "infinite")
    note = f"Interval: {INTERVAL}. An infinite distance (a missed case) counts as the diagonal of its image."
    main = [_summary_row(name, found[name]) for name in COLUMNS if name in found]
    rest = [_summary_row(name, summary) for name, summary in found.items() if name not in COLUMNS]
    more = table(head, rest, caption="All other metrics.")
    return f"{table(head, main, caption=note)}<details><summary>All other metrics</summary>{more}</details>"


def _summary_row(name: str, summary: Summary) -> list[Any]:
    low, high = summary.mean_low, summary.mean_high
    interval = None if low is None else f"{told(low)} to {told(high)}"
    return [LABELS[name], summary.mean, interval, summary.median, summary.std, summary.cases, summary.infinite]


def _structures(found: StructureResults) -> str:
    means = ("dice", "hd95_mm", "assd_mm")
    rows = [[name, count, *map(values.get, means)] for name, count, values in structure_rows(found)]
    head = ["structure", "cases", "Dice", "HD95, mm", "ASSD, mm"]
    body = table(head, rows, caption="Means over the cases.") if rows else ""
    if quality := panoptic_rows(found):
        head = ["structure", "kind", "match", "matched", "missed", "invented", *_QUALITIES, "error, mm", "angle"]
        body += table(head, [list(vars(row).values()) for row in quality], caption=_PANOPTIC)
    remarks = [*found.notes, *found.errors]
    return section("Structures", body + (listed(remarks) if remarks else ""))


def _observers(observers: Observers) -> str:
    rows = [
        [
            LABELS[one.metric],
            one.cases,
            one.mean_second,
            one.mean_first,
            Signed(one.mean_difference),
            _range(one.low, one.high),
        ]
        for one in observers.differences
    ]
    head = ("metric", "cases", "model to observers", "observers to each other", "difference", "95 % interval")
    note = "A case counts with the mean over its observers, and the mean over the pairs of its observers."
    return section("Model and observers", table(head, rows, caption=note))


def _range(low: float | None, high: float | None) -> str | None:
    return None if low is None else f"{low:+.3f} to {high:+.3f}"


def _plots(measured: Sequence[CaseResult]) -> dict[str, Any]:
    texts = [result.name for result in measured]
    drawn: dict[str, Any] = {}
    for number, (title, names) in enumerate(_BOXES.items()):
        groups = {text: _column(measured, name) for name, text in names.items()}
        if any(np.isfinite(values).any() for values in groups.values()):
            drawn[f"plot{number}"] = plots.boxes(title, groups, texts)
    volumes, references = _column(measured, "volume_ml"), _column(measured, "reference_volume_ml")
    known = np.isfinite(volumes) & np.isfinite(references)
    if known.any():
        shown = [text for text, here in zip(texts, known, strict=True) if here]
        drawn["volumes"] = plots.bland_altman(volumes[known], references[known], shown)
    return drawn


def _column(measured: Sequence[CaseResult], name: str) -> Any:
    """Return a metric of all cases as an array.

    An undefined value is NaN. An infinite distance is replaced by the diagonal of the case's image.
    """
    found = []
    for result in measured:
        value = getattr(result.metrics, name)
        infinite = value == float("inf") and name.endswith("_mm")
        found.append(np.nan if value is None else result.diagonal_mm if infinite else value)
    return np.array(found, np.float64)


def _place(identity: str) -> str:
    return f"<div id={identity} class=plot role=img aria-label=Plot></div>"


def _figure(result: CaseResult, picture: str) -> str:
    metrics = result.metrics
    assert isinstance(metrics, Metrics)
    link = f'<a href="{_page_of(result.case)}">{escape(result.name)}</a>'
    figures = f"Dice {told(metrics.dice)}, HD95 {told(metrics.hd95_mm)} mm"
    return f"<figure>{picture}<figcaption>{link}: {figures}</figcaption></figure>"


def _page_of(case: str) -> str:
    return f"{PAGES}/{quote(case)}.html"


def _cases(results: Sequence[CaseResult], with_page: set[str]) -> str:
    several = any(result.observer for result in results)
    rows = []
    for result in results:
        case = result.case
        shown = Html(f'<a href="{_page_of(case)}">{escape(case)}</a>') if case in with_page else case
        values = [getattr(result.metrics, name, None) for name in COLUMNS]
        rows.append([shown, *([result.observer] if several else []), *values, result.error or result.note])
    head = ["case", *(["observer"] if several else []), *(LABELS[name] for name in COLUMNS), "note"]
    note = "Prediction in yellow, reference in blue and dashed on the pages of the worst cases."
    return table(head, rows, caption=note, name="cases")
