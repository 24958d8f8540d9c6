"""Tables of benchmarks.robust in Markdown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

from prostate_seg.assessment.doubt import FAR_MM, Doubt
from prostate_seg.evaluation.metrics import Metrics
from prostate_seg.evaluation.summary import summarise

RESAMPLES = 2000
CONFIDENT = 0.3
WORST, MOST_DOUBTFUL = 0.1, 0.3


@dataclass(frozen=True, eq=False)
class Arm:
    """Results of one way to segment.

    Attributes
    ----------
    name
        Name of the way.
    rows
        Metrics of each case.
    doubts
        Doubt of each case.
    chances
        Probability of each case that it is wrong.
    folds
        Fold of each case. The probabilities of a fold come from one score, fitted on the other folds. None: one
        score for all cases.
    """

    name: str
    rows: Sequence[Metrics]
    doubts: Sequence[Doubt]
    chances: np.ndarray
    folds: np.ndarray | None = None

    @property
    def wrong(self) -> np.ndarray:
        """Whether HD95 is above 5 mm, for each case."""
        return np.array([row.hd95_mm > FAR_MM for row in self.rows])

    def values(self, name: str, diagonals: Sequence[float]) -> np.ndarray:
        """Return a metric of each case; the diagonal of the image replaces an infinite distance."""
        found = np.array([getattr(row, name) for row in self.rows], float)
        return np.where(np.isinf(found), diagonals, found)


def arm_lines(arms: Sequence[Arm], patients: Sequence[str], diagonals: Sequence[float]) -> list[str]:
    """Return one row for each arm. The last column compares the 95th percentile of HD with the first arm."""
    lines = [
        "| way | Dice (95 % interval) | HD95 mm | ASSD mm | HD mm: mean | p95 | largest | HD95 over 5 mm | "
        "over 10 mm | p95 of HD against the first (95 % interval) |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    first = arms[0].values("hd_mm", diagonals)
    for arm in arms:
        found = summarise(arm.rows, diagonals, patients=patients)
        cells = [
            arm.name,
            *(_interval(found[name], digits) for name, digits in (("dice", 3), ("hd95_mm", 1), ("assd_mm", 2))),
        ]
        hd, hd95 = arm.values("hd_mm", diagonals), arm.values("hd95_mm", diagonals)
        cells += [f"{hd.mean():.1f}", f"{np.quantile(hd, 0.95):.1f}", f"{hd.max():.1f}"]
        cells += [f"{(hd95 > far).sum()} of {len(hd)}" for far in (5, 10)]
        low, high = bootstrap(lambda n, hd=hd: np.quantile(hd[n], 0.95) / np.quantile(first[n], 0.95) - 1, patients)
        change = np.quantile(hd, 0.95) / np.quantile(first, 0.95) - 1
        cells.append("" if arm is arms[0] else f"{100 * change:+.0f} % ({100 * low:+.0f} to {100 * high:+.0f})")
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def confident_line(plain: Arm, refined: Arm) -> str:
    """Return a line on the effect of the shape model on cases with a low probability of a wrong repaired mask."""
    change = np.array([after.dice - before.dice for before, after in zip(plain.rows, refined.rows, strict=True)])
    sure = refined.chances < CONFIDENT
    if not sure.any():
        return f"Shape model on {plain.name}: no case has a chance below {CONFIDENT:g}."
    return (
        f"Shape model on {plain.name}: of {sure.sum()} cases with a chance below {CONFIDENT:g} the worst changes "
        f"its Dice by {change[sure].min():+.3f}, {int((change[sure] < -0.005).sum())} lose more than 0.005; "
        f"of all, {int((change < -0.005).sum())} lose and {int((change > 0.005).sum())} gain more than 0.005."
    )


def score_lines(arms: Sequence[Arm], patients: Sequence[str]) -> list[str]:
    """Return a table of the AUROC and Brier score of the probabilities, and of the rank of the worst cases."""
    parted = any(arm.folds is not None for arm in arms)
    areas = ["AUROC within the folds (95 % interval)", "over all folds"] if parted else ["AUROC (95 % interval)"]
    heads = ["way", "wrong", *areas, "Brier score", "that of the share"]
    heads.append("worst 10 % among the most doubtful 30 %")
    lines = [f"| {' | '.join(heads)} |", "|" + "---|" * len(heads)]
    for arm in arms:
        wrong, chances = arm.wrong, arm.chances
        brier, base = np.mean((chances - wrong) ** 2), wrong.mean() * (1 - wrong.mean())
        worst = np.argsort([-row.hd95_mm for row in arm.rows])[: max(1, round(WORST * len(wrong)))]
        place = np.argsort(np.argsort(-chances))
        caught = int((place[worst] < MOST_DOUBTFUL * len(wrong)).sum())
        cells = [arm.name, f"{wrong.sum()} of {len(wrong)}", _auroc_told(chances, wrong, arm.folds, patients)]
        cells += [f"{auroc(chances, wrong):.2f}"] if parted else []
        cells += [f"{brier:.3f}", f"{base:.3f}", f"{caught} of {len(worst)}"]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _auroc_told(score: np.ndarray, wrong: np.ndarray, folds: np.ndarray | None, patients: Sequence[str]) -> str:
    groups = np.zeros(len(wrong), int) if folds is None else folds
    low, high = bootstrap(lambda n: auroc(score[n], wrong[n], groups[n]), patients)
    return f"{auroc(score, wrong, groups):.2f} ({low:.2f} to {high:.2f})"


def auroc(score: np.ndarray, wrong: np.ndarray, folds: np.ndarray | None = None) -> float:
    """Return the probability that a wrong case has a higher score than a right case; NaN if one kind is missing.

    If ``folds`` is given, only pairs within a fold count, because pairs of two folds compare the fits and not the
    cases. If a fold has many wrong cases, the other folds have few. A score fitted on these other folds is then too
    low for all cases of the fold.
    """
    groups = np.zeros(len(wrong), int) if folds is None else folds
    ordered, pairs = 0.0, 0
    for group in np.unique(groups):
        inside = groups == group
        many, few = int(wrong[inside].sum()), int((~wrong[inside]).sum())
        ordered += rankdata(score[inside])[wrong[inside]].sum() - many * (many + 1) / 2
        pairs += many * few
    return float(ordered / pairs) if pairs else float("nan")


def bootstrap(of: Callable[[np.ndarray], float], patients: Sequence[str]) -> tuple[float, float]:
    """Return the 95 % bootstrap interval over patients of a statistic ``of`` case indices."""
    rng = np.random.default_rng(0)
    _, patient = np.unique(patients, return_inverse=True)
    groups = [np.flatnonzero(patient == n) for n in range(patient.max() + 1)]
    found = [
        of(np.concatenate([groups[n] for n in rng.integers(len(groups), size=len(groups))]))
        for _ in range(RESAMPLES)
    ]
    low, high = np.nanpercentile(found, (2.5, 97.5))
    return float(low), float(high)


def _interval(found: object, digits: int) -> str:
    mean, low, high = (getattr(found, name) for name in ("mean", "mean_low", "mean_high"))
    return f"{mean:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"
