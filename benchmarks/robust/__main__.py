"""What the ensemble, the shape model and hard-example sampling each bring, and whether the score of doubt is true.

    python -m benchmarks.robust --data FOLDER -o RUNS [--network "segmenter, from phantoms"]
        [--hard "segmenter, from phantoms, hard examples"] [--score score.json] [--report results.md]
        [--figure calibration.svg]

RUNS holds the folds of benchmarks.accuracy and the members of benchmarks.robust.members. Every case is segmented by
networks that never saw its patient. Shape model and score are made from the other folds. The metrics are those of
the largest component of each mask, on the grid of the image.

--score names a score from benchmarks.robust.score. It is used unchanged and with the released shape model, on the
masks of one network for the cases with patient_in_trus27 = no.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from monai.transforms import KeepLargestConnectedComponent

from benchmarks.accuracy.data import Case, Preparation, cases_of
from benchmarks.accuracy.networks import CONTENDERS
from prostate_seg.assessment.doubt import FAR_MM, Doubt, Score, doubt_of
from prostate_seg.assessment.shape_model import ShapeModel
from prostate_seg.evaluation.metrics import Metrics, diagonal_mm, evaluate_masks, orthogonal_spacing_mm
from prostate_seg.inference.resampling import resample_axes
from prostate_seg.inference.transforms import released_shape_model
from prostate_seg.reading.masks import read_mask

from .figures import calibration_svg
from .passes import Passes, members_of_fold, passes_of
from .table import Arm, arm_lines, confident_line, score_lines

NAMES = ("spread_mm", "residual_mm", "cut", "shape_sd")
PLAIN, SINGLE, ENSEMBLE, SHAPE, BOTH, HARD = (
    "one pass",
    "one model",
    "five members",
    "one model, shape",
    "five members, shape",
    "sampling",
)


@dataclass(frozen=True, eq=False)
class Seen:
    """A case with the predictions of the networks that may be tested on it.

    Attributes
    ----------
    case
        The case.
    members
        Passes of each network; the first is the network trained on all other folds.
    model
        Shape model.
    truth, affine
        Reference mask and its affine.
    """

    case: Case
    members: list[Passes]
    model: ShapeModel
    truth: np.ndarray
    affine: np.ndarray

    def score(self, members: list[Passes], *, refined: bool) -> tuple[Metrics, Doubt]:
        """Score the mean of the members, repaired if ``refined``, and return its metrics and doubt."""
        passes = np.concatenate([member.passes for member in members])
        first = members[0]
        mean = passes.mean(axis=0) * first.seen.any(axis=2)[..., None]  # as in the postprocessing of the bundle
        field = self.model.refine(mean, first.spacing_mm, first.seen) if refined else mean
        if field is not mean:
            field = np.where(first.seen, field, np.minimum(field, mean))
        doubt = doubt_of(field, passes, spacing_mm=first.spacing_mm, model=self.model, seen=first.seen)
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
        PLAIN: lambda: [s.score([s.members[0].first()], refined=False) for s in seen],
        SINGLE: lambda: [s.score(s.members[:1], refined=False) for s in seen],
        ENSEMBLE: lambda: [s.score(s.members, refined=False) for s in seen],
        SHAPE: lambda: [s.score(s.members[:1], refined=True) for s in seen],
        BOTH: lambda: [s.score(s.members, refined=True) for s in seen],
    }
    if hard:
        every[HARD] = lambda: [s.score(s.members[:1], refined=False) for s in hard]
    patients, folds = [case.patient for case in cases], np.array([case.fold for case in cases])
    diagonals = [diagonal_mm(s.truth.shape, orthogonal_spacing_mm(s.affine)) for s in seen]
    arms = {}
    for name, run in every.items():
        rows, doubts = zip(*run(), strict=True)
        arms[name] = Arm(name, rows, doubts, cross_fitted(cases, rows, doubts), folds)
        print(f"{name}: done", flush=True)
    lines = [*arm_lines(list(arms.values()), patients, diagonals), ""]
    lines += [confident_line(arms[SINGLE], arms[SHAPE]), confident_line(arms[ENSEMBLE], arms[BOTH]), ""]
    lines += score_lines(list(arms.values()), patients)
    if options.score:
        unseen = [case.fold == 0 for case in cases_of(options.data, unseen=True)]
        tested = [one for one, there in zip(seen, unseen, strict=True) if there]
        lines += ["", *score_lines([fixed(tested, Score.load(options.score))], [s.case.patient for s in tested])]
    print("\n".join(lines))
    if options.report:
        options.report.write_text("\n".join(lines) + "\n", encoding="utf-8")
    if options.figure:
        told = arms[SHAPE]  # the way that prostate-seg segment uses
        options.figure.write_text(calibration_svg(told.chances, told.wrong), encoding="utf-8")


def fixed(seen: list[Seen], score: Score) -> Arm:
    """Repair the masks of one network with the released shape model, and apply a score fitted on other patients."""
    model = ShapeModel.load(released_shape_model())
    results = [replace(one, model=model).score(one.members[:1], refined=True) for one in seen]
    rows, doubts = zip(*results, strict=True)
    return Arm("released score and shape model", rows, doubts, np.array([score(doubt) for doubt in doubts]))


def seen_cases(
    runs: Path, name: str, cases: list[Case], models: Mapping[str, ShapeModel] | None = None
) -> list[Seen]:
    """Return all cases with the passes of the networks that never saw them.

    ``models`` holds a shape model by the name of the case. None: shape models are made from the other folds.
    """
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
            found[case.name] = Seen(case, [m[case.name] for m in members], own, mask.mask(), mask.affine)
    return [found[case.name] for case in cases]


def _shapes(cases: list[Case], fold: int) -> ShapeModel:
    """Make a shape model from the labels of the other folds, on the model's grid."""
    preparation = Preparation((72, 48, 32))
    masks = []
    for case in cases:
        if case.fold != fold:
            label = preparation.load(case)["label"]
            masks.append((label[0].numpy() > 0.5, np.asarray(label.pixdim, float).tolist()))
    return ShapeModel.of(masks)


def cross_fitted(cases: list[Case], rows: tuple[Metrics, ...], doubts: tuple[Doubt, ...]) -> np.ndarray:
    """Return the probability of each case that its HD95 is above 5 mm, by a score fitted on the other folds."""
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
