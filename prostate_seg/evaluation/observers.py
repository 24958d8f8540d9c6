"""Agreement between observers, compared with the agreement between the model and the observers."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from .case import CaseResult
from .comparison import Difference, Table, compare
from .folders import evaluate_folders
from .metrics import DISTANCES, SCORES
from .pairs import observer_names

# Metrics that do not change if the two observers are exchanged.
SYMMETRIC = (
    *("dice", "iou", "hd_mm", "hd95_mm", "assd_mm"),
    *("surface_dice_1mm", "surface_dice_2mm", "surface_dice_3mm", "centroid_shift_mm"),
    *("slice_dice", "absolute_volume_error_ml"),
)
OBSERVERS = ("contour of the second observer", "contour of the first observer")  # in messages
COMPARED = tuple(name for name in SYMMETRIC if name in SCORES)


@dataclass(frozen=True)
class Observers:
    """Agreement between observers, and its difference from the agreement of the model with them.

    Attributes
    ----------
    rows
        One result for each case and pair of observers; ``observer`` is "A - B".
    differences
        Model minus observers, one difference for each metric. For each case, the value of the model is the mean
        over the observers, and the value of the observers is the mean over the pairs of observers.
    """

    rows: list[CaseResult]
    differences: list[Difference]


def between_observers(
    references: Sequence[str | Path],
    model: Sequence[CaseResult],
    *,
    patients: Mapping[str, str] | None = None,
    resample: bool = False,
    structure: str = "",
    jobs: int | None = 1,
) -> Observers:
    """Compare each pair of observers, and compare their agreement with that of the model.

    A case that cannot be measured has a row with the reason. A pair of observers without a common case has one,
    too.

    Parameters
    ----------
    references
        Folder or file of each observer.
    model
        Results of the model against these observers, from :func:`evaluate_folders`.
    patients, resample, structure, jobs
        As for :func:`evaluate_folders`.
    """
    places = [Path(path) for path in references]
    rows: list[CaseResult] = []
    how: dict[str, Any] = {"patients": patients, "resample": resample, "structure": structure, "jobs": jobs}
    for (first, a), (second, b) in itertools.combinations(zip(places, observer_names(places), strict=True), 2):
        pair = f"{a} - {b}"
        try:
            found = evaluate_folders(second, first, roles=OBSERVERS, **how)
        except InputError as error:
            found = [CaseResult("", error=str(error))]
        rows += [_between(row, pair, model if first.is_file() else None) for row in found]
    rows.sort(key=lambda row: row.case)
    observers, models = _table("observers", rows), _table("model", model)
    known = set(observers.cases) & set(models.cases)
    return Observers(rows, compare([observers, models], COMPARED) if known else [])


def _between(row: CaseResult, pair: str, model: Sequence[CaseResult] | None) -> CaseResult:
    """Return a row for a pair of observers; for two files, the case is named as in the model's results."""
    case = model[0].case if model else row.case
    return CaseResult(
        case,
        row.metrics,
        row.diagonal_mm,
        patient=row.patient,
        observer=pair,
        note=row.note,
        error=row.error,
        unpaired=row.unpaired,
    )


def _table(name: str, rows: Sequence[CaseResult]) -> Table:
    """Average the rows of each case; the diagonal of the image replaces an infinite distance."""
    measured = [row for row in rows if row.metrics is not None]
    cases = sorted({row.case for row in measured})
    whose = {row.case: row.patient or row.case for row in measured}
    values = {
        metric: np.array([_mean(metric, [row for row in measured if row.case == case]) for case in cases])
        for metric in COMPARED
    }
    return Table(name, cases, [whose[case] for case in cases], values)


def _mean(metric: str, rows: Sequence[CaseResult]) -> float:
    values = np.array([getattr(row.metrics, metric) for row in rows], np.float64)
    if metric in DISTANCES:
        values = np.where(np.isinf(values), [row.diagonal_mm or 0.0 for row in rows], values)
    return float(values.mean())
