"""Tables of an evaluation: ``metrics.csv``, ``metrics.json`` and ``observers.csv``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..system.atomic import made_folder
from ..system.csv_files import write_rows
from ..system.json_files import write_json
from ..system.replaced import check_replaceable
from .case import CaseResult, without_infinity
from .metrics import Metrics, Panoptic
from .observers import SYMMETRIC, Observers
from .summary import Summary, summarise

INTERVAL = "95 % bootstrap of the mean over patients, 2000 resamples"
INFINITE = "replaced by the diagonal of the reference image, in mm, in every summary"
_MARKS = {
    "metrics.csv": "diagonal_mm,patient",
    "metrics.json": f'"infinite_distances": "{INFINITE}"',
    "observers.csv": "absolute_volume_error_ml,patient",
}
COLUMNS = ("case", *Metrics.__dataclass_fields__, "diagonal_mm", "patient", "observer", "note", "error")


def check_results(folder: str | Path) -> None:
    """Raise OutputError if the tables would replace files that this package did not write."""
    check_replaceable(Path(folder), _MARKS)


def write_results(
    results: Sequence[CaseResult], folder: str | Path, *, observers: Observers | None = None, left_out: int = 0
) -> list[Path]:
    """Write ``metrics.csv`` and ``metrics.json`` into a folder, which is created if necessary.

    The CSV file has one row for each case, or for each case and observer if there are several. Infinite distances
    are ``inf``, undefined values are empty.

    The JSON file holds the same values under ``cases``. Infinite and undefined values are null, and ``states``
    tells "infinite" from "undefined". ``panoptic_slices`` is the panoptic quality of slice presence. ``summary``
    holds the mean, median, standard deviation and 95 % bootstrap interval of the mean over the rows without error.

    Parameters
    ----------
    results
        Results of all cases.
    folder
        Folder of the tables.
    observers
        Agreement between observers, written to ``observers.csv`` and under ``observers``. None: a file
        ``observers.csv`` of an earlier evaluation is deleted.
    left_out
        Number of rows without a partner that are not among the results.

    Returns
    -------
    list
        Paths of the files written.

    Raises
    ------
    OutputError
        A file cannot be written, or it would replace a file that this package did not write.
    """
    folder = Path(folder)
    check_results(folder)
    made_folder(folder)
    written = [folder / "metrics.csv", folder / "metrics.json"]
    _write_rows(written[0], results, COLUMNS)
    document = _document(results) | ({"rows_left_out": left_out} if left_out else {})
    (folder / "observers.csv").unlink(missing_ok=True)
    if observers is not None:
        written.append(folder / "observers.csv")
        _write_rows(written[2], observers.rows, ("case", *SYMMETRIC, "patient", "observer", "note", "error"))
        document["observers"] = {
            "summary": {
                name: value for name, value in summaries_as_json(observers.rows).items() if name in SYMMETRIC
            },
            "model_minus_observers": [asdict(one) for one in observers.differences],
        }
    write_json(written[1], document)
    return written


def summaries_of(results: Sequence[CaseResult]) -> dict[str, Summary]:
    """Summarise every metric over the rows without error."""
    measured = [(result, result.metrics) for result in results if result.metrics is not None]
    return summarise(
        [metrics for _, metrics in measured],
        [result.diagonal_mm or 0.0 for result, _ in measured],
        patients=[result.patient or result.case for result, _ in measured],
    )


def panoptic_slices(results: Sequence[CaseResult]) -> Panoptic:
    """Return the panoptic counts of the data set; each slice is an image with at most one segment."""
    return sum((result.slices for result in results if result.slices is not None), Panoptic())


def qualities(panoptic: Panoptic) -> dict[str, float | None]:
    """Return PQ, SQ and RQ of counts by their names in the tables."""
    return {
        "panoptic_quality": panoptic.quality,
        "segmentation_quality": panoptic.segmentation_quality,
        "recognition_quality": panoptic.recognition_quality,
    }


def _write_rows(path: Path, results: Sequence[CaseResult], columns: Sequence[str]) -> None:
    rows = (result.as_row() for result in results)
    write_rows(path, columns, ([row[name] for name in columns] for row in rows))


def _document(results: Sequence[CaseResult]) -> dict[str, Any]:
    failed = sum(result.metrics is None for result in results)
    panoptic = panoptic_slices(results)
    return {
        "cases": [result.as_json() for result in results],
        "cases_measured": len(results) - failed,
        "cases_with_error": failed,
        "infinite_distances": INFINITE,
        "interval": INTERVAL,
        "panoptic_slices": asdict(panoptic) | qualities(panoptic),
        "summary": summaries_as_json(results),
    }


def summaries_as_json(results: Sequence[CaseResult]) -> dict[str, Any]:
    """Return the summaries for JSON: infinite and undefined values are null, and ``states`` tells them apart."""
    return {name: without_infinity(asdict(summary)) for name, summary in summaries_of(results).items()}
