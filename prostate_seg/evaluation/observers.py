"""Several observers: how far they are from each other, and whether the model is further from them than that."""

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

# What is the same whichever of two observers is called the reference.
SYMMETRIC = (
    *("dice", "iou", "hd_mm", "hd95_mm", "assd_mm"),
    *("surface_dice_1mm", "surface_dice_2mm", "surface_dice_3mm", "centroid_shift_mm"),
    *("slice_dice", "absolute_volume_error_ml"),
)
COMPARED = tuple(name for name in SYMMETRIC if name in SCORES)


@dataclass(frozen=True)
class Observers:
    """Pairs of observers, and the model against them.

    rows: a case and pair of observers each (``observer`` is "A - B"). differences: model minus observers, a metric
    each: a case counts with the mean over its observers and the mean over its pairs of observers.
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
    """Each pair of observers on their common cases, and the model (:func:`evaluate_folders`) beside them.

    A case that cannot be measured is a row with its reason; so are two observers without a common case.
    """
    places = [Path(path) for path in references]
    rows: list[CaseResult] = []
    how: dict[str, Any] = {"patients": patients, "resample": resample, "structure": structure, "jobs": jobs}
    for (first, a), (second, b) in itertools.combinations(zip(places, observer_names(places), strict=True), 2):
        pair = f"{a} - {b}"
        try:
            found = evaluate_folders(second, first, **how)
        except InputError as error:
            found = [CaseResult("", error=str(error))]
        rows += [_between(row, pair, model if first.is_file() else None) for row in found]
    rows.sort(key=lambda row: row.case)
    observers, models = _table("observers", rows), _table("model", model)
    known = set(observers.cases) & set(models.cases)
    return Observers(rows, compare([observers, models], COMPARED) if known else [])


def _between(row: CaseResult, pair: str, model: Sequence[CaseResult] | None) -> CaseResult:
    """A row of two observers; of two files it has the name of the model's only case."""
    case = model[0].case if model else row.case
    error = row.error.replace("one prediction", "a contour of the second observer")
    error = error.replace("one reference", "a contour of the first observer")
    return CaseResult(
        case,
        row.metrics,
        row.diagonal_mm,
        patient=row.patient,
        observer=pair,
        note=row.note,
        error=error,
        alone=row.alone,
    )


def _table(name: str, rows: Sequence[CaseResult]) -> Table:
    """A row a case: the mean over its rows, infinite distances at the diagonal."""
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
