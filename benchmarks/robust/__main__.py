"""What the ensemble, the shape model and hard-example sampling each bring, and whether the score of doubt is true.

    python -m benchmarks.robust --data FOLDER -o RUNS [--network "segmenter, from phantoms"]
        [--hard "segmenter, from phantoms, hard examples"] [--score score.json] [--report results.md]
        [--figure calibration.svg]

RUNS holds the folds of benchmarks.accuracy and the members of benchmarks.robust.members. Every case is segmented by
networks that never saw its patient; shape model and score are made of the other folds. Scored on the images' own
grids, the largest component of each mask. --score: a score of benchmarks.robust.score, used as it is on the cases
whose column patient_in_trus27 says no, for one model, whose two passes are those of its fit.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from monai.transforms import KeepLargestConnectedComponent

from benchmarks.accuracy.data import Case, Preparation, cases_of
from benchmarks.accuracy.networks import CONTENDERS
from prostate_seg.masks import read_mask
from prostate_seg.metrics import Metrics, diagonal_mm, evaluate_masks, orthogonal_spacing_mm
from prostate_seg.shape_prior import ShapeModel
from prostate_seg.transforms import resample_axes
from prostate_seg.uncertainty import FAR_MM, Doubt, Score, doubt_of

from .figures import calibration_svg
from .passes import Passes, members_of_fold, passes_of
from .table import Arm, arm_lines, confident_line, score_lines

NAMES = ("spread_mm", "residual_mm")
SINGLE, ENSEMBLE, SHAPE, BOTH, HARD = (
    "one model",
    "five members",
    "one model, shape",
    "five members, shape",
    "sampling",
)


@dataclass(frozen=True, eq=False)
class Seen:
    """A case with the passes of every member that may be tested on it, the fold's own first."""

    case: Case
    members: list[Passes]
    model: ShapeModel
    truth: np.ndarray
    affine: np.ndarray

    def score(self, members: list[Passes], *, refined: bool) -> tuple[Metrics, Doubt]:
        """The mean of members against the reference, and its doubt (before the refinement)."""
        passes = np.concatenate([member.passes for member in members])
        mean, first = passes.mean(axis=0), members[0]
        doubt = doubt_of(mean, passes, spacing_mm=first.spacing_mm, model=self.model, seen=first.seen)
        field = self.model.refine(mean, first.spacing_mm, first.seen) if refined else mean
        probability = resample_axes(torch.as_tensor(field), first.affine, self.affine, self.truth.shape)
        mask = KeepLargestConnectedComponent()((probability >= 0.5)[None].float())[0].numpy() > 0
        return evaluate_masks(mask, self.truth, orthogonal_spacing_mm(self.affine)), doubt


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--network", choices=CONTENDERS, default="segmenter, from phantoms")
    parser.add_argument("--hard", choices=CONTENDERS, help="the same with hard-example sampling")
    parser.add_argument("--score", type=Path, help="a score fitted on other patients")
    parser.add_argument("--report", type=Path)
    parser.add_argument("--figure", type=Path)
    options = parser.parse_args()
    cases = cases_of(options.data)
    seen = seen_cases(options.output, options.network, cases)
    hard = (
        seen_cases(options.output, options.hard, cases, models={s.case.name: s.model for s in seen})
        if options.hard
        else []
    )
    every: dict[str, Callable[[], list[tuple[Metrics, Doubt]]]] = {
        SINGLE: lambda: [s.score(s.members[:1], refined=False) for s in seen],
        ENSEMBLE: lambda: [s.score(s.members, refined=False) for s in seen],
        SHAPE: lambda: [s.score(s.members[:1], refined=True) for s in seen],
        BOTH: lambda: [s.score(s.members, refined=True) for s in seen],
    }
    if hard:
        every[HARD] = lambda: [s.score(s.members[:1], refined=False) for s in hard]
    patients, folds = [case.patient for case in cases], np.array([case.fold for case in cases])
    score = Score.load(options.score) if options.score else None
    unseen = [case.fold == 0 for case in cases_of(options.data, unseen=True)] if score else []
    diagonals = [diagonal_mm(s.truth.shape, orthogonal_spacing_mm(s.affine)) for s in seen]
    arms = {}
    for name, run in every.items():
        rows, doubts = zip(*run(), strict=True)
        chances = cross_fitted(cases, rows, doubts)
        fixed = None
        if score and name in (SINGLE, SHAPE):
            fixed = np.where(unseen, [score(doubt) for doubt in doubts], np.nan)
        arms[name] = Arm(name, rows, doubts, chances, folds, fixed)
        print(f"{name}: done", flush=True)
    lines = [*arm_lines(list(arms.values()), patients, diagonals), ""]
    lines += [confident_line(arms[SINGLE], arms[SHAPE]), confident_line(arms[ENSEMBLE], arms[BOTH]), ""]
    lines += score_lines(list(arms.values()), patients)
    print("\n".join(lines))
    if options.report:
        options.report.write_text("\n".join(lines) + "\n", encoding="utf-8")
    if options.figure:
        best = arms[BOTH]
        options.figure.write_text(calibration_svg(best.chances, best.wrong), encoding="utf-8")


def seen_cases(
    runs: Path, name: str, cases: list[Case], models: Mapping[str, ShapeModel] | None = None
) -> list[Seen]:
    """All cases with the members that never saw them; models: shape models to take, instead of the other folds'."""
    masks = {case.name: read_mask(case.label) for case in cases}
    found = {}
    for fold in sorted({case.fold for case in cases}):
        tested = [case for case in cases if case.fold == fold]
        members = [passes_of(run, tested, name) for run in members_of_fold(runs, name, fold)]
        model = None if models else _shapes(cases, fold)
        for case in tested:
            mask = masks[case.name]
            own = models[case.name] if models else model
            assert own is not None
            found[case.name] = Seen(case, [m[case.name] for m in members], own, mask.labels == 1, mask.affine)
    return [found[case.name] for case in cases]


def _shapes(cases: list[Case], fold: int) -> ShapeModel:
    """Of the other folds' labels, on the model's grid."""
    preparation = Preparation((72, 48, 32))
    masks = []
    for case in cases:
        if case.fold != fold:
            label = preparation.load(case)["label"]
            masks.append((label[0].numpy() > 0.5, np.asarray(label.pixdim, float).tolist()))
    return ShapeModel.of(masks)


def cross_fitted(cases: list[Case], rows: tuple[Metrics, ...], doubts: tuple[Doubt, ...]) -> np.ndarray:
    """The chance of a far HD95 of each case, from a score fitted on the other folds."""
    folds = np.array([case.fold for case in cases])
    wrong = np.array([row.hd95_mm > FAR_MM for row in rows])
    chances = np.zeros(len(cases))
    for fold in np.unique(folds):
        others = [doubt for doubt, other in zip(doubts, folds, strict=True) if other != fold]
        score = Score.fit(others, wrong[folds != fold].tolist(), NAMES, "the other folds")
        chances[folds == fold] = [score(doubts[n]) for n in np.flatnonzero(folds == fold)]
    return chances


if __name__ == "__main__":
    main()
