"""Paired differences between two or more evaluations of the same cases.

Cases are paired by name. The mean difference has a bootstrap interval and a p value of a sign-flip permutation
test, which is exact up to 12 patients. Both methods resample whole patients. The p values are corrected with Holm's
method over all pairs and metrics.

The diagonal of the image replaces an infinite distance of a missed case. A missed case therefore never makes a
difference look better.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import SettingsError
from ...geometry.volume import Array
from ...system.atomic import made_folder
from ...system.csv_files import write_rows
from ...system.json_files import write_json
from ...system.replaced import check_replaceable
from ..metrics import SCORES
from .tables import SIGNIFICANT, Table, paired, remarks

MAIN = ("dice", "hd_mm", "hd95_mm", "assd_mm", "surface_dice_2mm", "slice_dice")
EXACT_UP_TO = 12  # patients, which give 4096 sign patterns
FLIPS = 9999
RESAMPLES = 2000
INFINITE = "replaced by the diagonal of the reference image in mm"
CASE_COLUMNS = ("first", "second", "case", "dice_first", "dice_second", "difference")
_MARKS = {"comparison.json": f'"infinite_distances": "{INFINITE}"', "cases.csv": ",".join(CASE_COLUMNS)}


@dataclass(frozen=True)
class Difference:
    """Difference of one metric over the common cases: ``second`` minus ``first``.

    Attributes
    ----------
    first, second
        Names of the two evaluations.
    metric
        Name of the metric.
    cases, patients
        Number of common cases and of their patients.
    mean_first, mean_second, mean_difference
        Means over the common cases.
    low, high
        95 % bootstrap interval of the mean difference over patients; None below two patients.
    p
        Two-sided p value; None below two patients.
    p_holm
        P value corrected for all differences of the comparison; None below two patients.
    better
        Whether the mean difference is an improvement; None if it is 0. See :attr:`verdict` for significance.
    """

    first: str
    second: str
    metric: str
    cases: int
    patients: int
    mean_first: float
    mean_second: float
    mean_difference: float
    low: float | None
    high: float | None
    p: float | None
    p_holm: float | None = None
    better: bool | None = None

    @property
    def verdict(self) -> str:
        """``better`` or ``worse`` if p_holm is below SIGNIFICANT, otherwise ``not shown``."""
        if self.better is None or self.p_holm is None or self.p_holm >= SIGNIFICANT:
            return "not shown"
        return "better" if self.better else "worse"

    def as_line(self) -> str:
        """Return the difference as a line of the table that ``compare`` prints under HEAD."""
        interval = "-" if self.low is None else f"{self.low:+.4f} to {self.high:+.4f}"
        p = "-" if self.p_holm is None else f"{self.p_holm:.4f}"
        pair = f"{self.second} - {self.first}"
        numbers = f"{self.cases:5d} {self.mean_difference:+9.4f} {interval:>20s} {p:>9s}"
        return f"{pair:32s} {self.metric:18s} {numbers} {self.verdict}"


_NUMBERS = f"{'cases':>5s} {'mean':>9s} {'95 % interval':>20s} {'p (Holm)':>9s}"
HEAD = f"{'difference':32s} {'metric':18s} {_NUMBERS} second is"


def compare(tables: Sequence[Table], metrics: Sequence[str] = MAIN) -> list[Difference]:
    """Compute the differences of every pair of tables, in the order of the arguments, metric by metric.

    A metric that is undefined in all common cases is left out.

    Raises
    ------
    SettingsError
        There are fewer than two tables, two tables have the same name, or a metric is unknown.
    InputError
        Two tables have no common case.
    """
    if len(tables) < 2:
        raise SettingsError(f"A comparison needs at least two evaluations, got {len(tables)}.")
    if len({table.name for table in tables}) < len(tables):
        raise SettingsError("Two evaluations have one name; give each a name of its own.")
    unknown = [name for name in metrics if name not in SCORES]
    if unknown or not metrics:
        raise SettingsError(f"Unknown metrics: {', '.join(unknown) or 'none given'}; expected {', '.join(SCORES)}.")
    found = [
        _difference(first, second, metric)
        for first, second in itertools.combinations(tables, 2)
        for metric in metrics
        if metric in first.values and metric in second.values
    ]
    return _holm([one for one in found if one is not None])


def worst_first(first: Table, second: Table, metric: str = "dice") -> list[tuple[str, float, float]]:
    """Return the common cases with both values, from the largest deterioration to the largest improvement."""
    names, a, b, _ = paired(first, second, metric)
    order = np.argsort(SCORES[metric] * (b - a), kind="stable")
    return [(names[index], float(a[index]), float(b[index])) for index in order]


def check_comparison(folder: Path) -> None:
    """Raise OutputError if the tables would replace files that this package did not write."""
    check_replaceable(folder, _MARKS)


def write_comparison(differences: Sequence[Difference], tables: Sequence[Table], folder: Path) -> list[Path]:
    """Write ``comparison.json`` and ``cases.csv`` and return their paths.

    ``cases.csv`` lists the cases of each pair of tables, with the largest deterioration in Dice first.

    Raises
    ------
    OutputError
        A file cannot be written, or it would replace a file that this package did not write.
    """
    check_comparison(folder)
    made_folder(folder)
    told = remarks(tables)
    summary, cases = folder / "comparison.json", folder / "cases.csv"
    write_json(
        summary,
        {
            "differences": [asdict(one) | {"verdict": one.verdict} for one in differences],
            "remarks": told,
            "interval": f"95 % bootstrap of the mean difference over patients, {RESAMPLES} resamples",
            "test": f"sign flips of patients, exact up to {EXACT_UP_TO}, else {FLIPS}; Holm over all rows",
            "infinite_distances": INFINITE,
        },
    )
    rows = (
        [first.name, second.name, case, f"{a:.6g}", f"{b:.6g}", f"{b - a:.6g}"]
        for first, second in itertools.combinations(tables, 2)
        for case, a, b in worst_first(first, second)
    )
    write_rows(cases, CASE_COLUMNS, rows)
    return [summary, cases]


def _difference(first: Table, second: Table, metric: str) -> Difference | None:
    names, a, b, people = paired(first, second, metric)
    if not names:
        return None
    change = b - a
    count = int(people.max()) + 1
    sums, sizes = np.bincount(people, change, count), np.bincount(people, minlength=count)
    mean = float(change.mean())
    low = high = p = None
    if count > 1:
        low, high = _interval(sums, sizes)
        p = _sign_flip_p(sums)
    better = None if mean == 0 else SCORES[metric] * mean > 0
    return Difference(
        first.name, second.name, metric, len(names), count, float(a.mean()), float(b.mean()), mean, low, high, p,
        better=better,
    )  # fmt: skip


def _interval(sums: Array, sizes: Array) -> tuple[float, float]:
    rng = np.random.default_rng(0)
    drawn = rng.integers(len(sums), size=(RESAMPLES, len(sums)))
    means = sums[drawn].sum(axis=1) / sizes[drawn].sum(axis=1)
    low, high = np.percentile(means, (2.5, 97.5))
    return float(low), float(high)


def _sign_flip_p(sums: Array) -> float:
    """Return the fraction of sign patterns over patients with a sum at least as far from 0 as the observed sum."""
    observed = abs(sums.sum())
    if len(sums) <= EXACT_UP_TO:
        signs = np.array(list(itertools.product((-1, 1), repeat=len(sums))))
        return float((np.abs(signs @ sums) >= observed - 1e-12).mean())
    signs = np.random.default_rng(0).choice((-1, 1), size=(FLIPS, len(sums)))
    return float((1 + (np.abs(signs @ sums) >= observed - 1e-12).sum()) / (1 + FLIPS))


def _holm(differences: list[Difference]) -> list[Difference]:
    """Return the differences with p values corrected by the step-down method (Holm 1979)."""
    tested = sorted((one.p, index) for index, one in enumerate(differences) if one.p is not None)
    corrected: dict[int, float] = {}
    highest = 0.0
    for rank, (p, index) in enumerate(tested):
        highest = max(highest, min(1.0, p * (len(tested) - rank)))
        corrected[index] = highest
    values: list[dict[str, Any]] = [asdict(one) for one in differences]
    return [Difference(**{**value, "p_holm": corrected.get(index)}) for index, value in enumerate(values)]
