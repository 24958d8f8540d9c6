"""Summary statistics of the metrics of many cases, with bootstrap intervals over patients.

A missed case has infinite distances. They are counted, and each is replaced by the diagonal of the reference image
in mm. No finite distance exceeds this diagonal, so a missed case never improves a mean, a median or an interval.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import SettingsError
from .metrics import DISTANCES, Metrics

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Summary:
    """Summary statistics of one metric over cases.

    Attributes
    ----------
    mean, median
        None if no case has a value.
    std
        Standard deviation with n - 1 in the denominator; None below two values, or if an infinite value remains.
    mean_low, mean_high
        Limits of the bootstrap interval of the mean over patients; None below two patients, or if an infinite value
        remains.
    cases
        Number of defined values.
    infinite
        Number of infinite values among them, before the replacement of distances.
    undefined
        Number of cases without a value.
    """

    mean: float | None
    median: float | None
    std: float | None
    mean_low: float | None
    mean_high: float | None
    cases: int
    infinite: int
    undefined: int


def summarise(
    rows: Sequence[Metrics],
    diagonals_mm: Sequence[float],
    *,
    patients: Sequence[str] | None = None,
    resamples: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> dict[str, Summary]:
    """Summarise every field of :class:`Metrics` over cases.

    An infinite relative volume error makes the mean infinite.

    Parameters
    ----------
    rows
        Metrics of each case.
    diagonals_mm
        Diagonal of each case's reference image in mm (:func:`diagonal_mm`). It replaces an infinite distance.
    patients
        Name of each row's patient. The bootstrap resamples whole patients. None: each row is a patient of its own.
    resamples
        Number of bootstrap resamples.
    confidence
        Confidence level of the interval, between 0 and 1.
    seed
        Seed of the random numbers.

    Raises
    ------
    SettingsError
        The lengths differ, a diagonal is not positive, or ``resamples`` or ``confidence`` is out of range.
    """
    diagonals = np.asarray(diagonals_mm, np.float64)
    names = list(patients) if patients is not None else [str(index) for index in range(len(rows))]
    if len(rows) != diagonals.size or len(rows) != len(names):
        raise SettingsError(
            f"A summary needs one diagonal and one patient a case, got {diagonals.size} diagonals and "
            f"{len(names)} patients for {len(rows)} cases."
        )
    if not (np.isfinite(diagonals).all() and (diagonals > 0).all()):
        raise SettingsError(f"The images' diagonals must be positive lengths in mm, got {diagonals.tolist()}.")
    if resamples < 1 or not 0 < confidence < 1:
        raise SettingsError(
            f"A bootstrap needs at least 1 resample and a confidence between 0 and 1, got {resamples} "
            f"and {confidence}."
        )
    fields = list(Metrics.__dataclass_fields__)
    columns = [[getattr(row, name) for row in rows] for name in fields]
    values = np.array([[np.nan if x is None else x for x in column] for column in columns], np.float64)
    infinite = np.isinf(values)  # (metrics, cases)
    is_distance = np.array([name in DISTANCES for name in fields])[:, None]
    values = np.where(infinite & is_distance, diagonals, values)
    patient = np.unique(names, return_inverse=True)[1]
    means = _bootstrapped_means(values, patient, resamples, seed)  # (resamples, metrics)
    quantiles = (50.0 - 50.0 * confidence, 50.0 + 50.0 * confidence)
    return {
        name: _summary(values[row], patient, means[:, row], quantiles=quantiles, infinite=int(infinite[row].sum()))
        for row, name in enumerate(fields)
    }


def _summary(
    values: Array, patient: Array, means: Array, *, quantiles: tuple[float, float], infinite: int
) -> Summary:
    """Summarise values (cases,), NaN if undefined, with their bootstrapped means (resamples,)."""
    defined = ~np.isnan(values)
    known = values[defined]
    low = high = None
    if np.isfinite(known).all() and np.unique(patient[defined]).size > 1:
        low, high = (float(x) for x in np.nanpercentile(means, quantiles))
    spread = known.size > 1 and np.isfinite(known).all()
    return Summary(
        mean=float(known.mean()) if known.size else None,
        median=float(np.median(known)) if known.size else None,
        std=float(known.std(ddof=1)) if spread else None,
        mean_low=low,
        mean_high=high,
        cases=int(known.size),
        infinite=infinite,
        undefined=int(values.size - known.size),
    )


def _bootstrapped_means(values: Array, patient: Array, resamples: int, seed: int) -> Array:
    """Draw patients with replacement and average all their cases.

    ``values`` has the shape (metrics, cases), the result (resamples, metrics). Values that are not finite are left
    out of a mean.
    """
    people = int(patient.max()) + 1 if patient.size else 0
    means = np.full((resamples, len(values)), np.nan)
    if people < 2:
        return means
    finite = np.isfinite(values)
    sums, counts = np.zeros((2, people, len(values)))
    np.add.at(sums, patient, np.where(finite, values, 0.0).T)
    np.add.at(counts, patient, finite.T)
    generator = np.random.default_rng(seed)
    for row in means:
        drawn = np.bincount(generator.integers(people, size=people), minlength=people)
        number = drawn @ counts
        np.divide(drawn @ sums, number, out=row, where=number > 0)
    return means
