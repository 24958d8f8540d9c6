"""The same on hard phantoms: ways to use the released weights, and members that were trained on other phantoms.

    python -m benchmarks.robust.families [--seeds 20] [--run RUN] [--sampling BUNDLE] [--report results.md]

The phantoms are of families (benchmarks/families.py) that no training draws, with seeds from 300. --run names the
output of ``train --folds``; its ensemble is compared with its first member. --sampling names a bundle that was
trained like this member, but with ``--hard-examples``. Shape model and score of doubt are those of the bundles.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import torch
from families import phantom_of

from prostate_seg import Volume, load_bundle
from prostate_seg.assessment.doubt import Doubt
from prostate_seg.evaluation.metrics import Metrics, diagonal_mm, evaluate_masks
from prostate_seg.inference.predictor import Predictor

from .table import Arm, arm_lines, confident_line, score_lines

HARD = ("shadows, lost contact", "faint edge", "dark and noisy", "odd shapes")
FIRST = 300
SHAPE = ", shape"

Ways = dict[str, Predictor]


def released_ways() -> Ways:
    """Load the released bundle for one pass, a mirrored pass and three scales, each refined or not."""
    passes = {"one pass": "none", "one model": "flip", "one model, three scales": "full"}
    return {
        name + SHAPE * refine: load_bundle(refine=refine, ensembling=ensembling)  # type: ignore[arg-type]
        for refine in (False, True)
        for name, ensembling in passes.items()
    }


def trained_ways(run: Path, sampling: Path | None) -> Ways:
    """Load a member, the ensemble, and the member trained with hard-example sampling, each refined or not."""
    folders = {"one member": run / "fold-0" / "bundle", "all members": run / "bundle"}
    if sampling:
        folders["one member, sampling"] = sampling
    return {
        name + SHAPE * refine: load_bundle(folder, refine=refine)
        for refine in (False, True)
        for name, folder in folders.items()
    }


def assessed(predictor: Predictor, volume: Volume, truth: np.ndarray) -> tuple[Metrics, Doubt, float]:
    """Return the metrics against the truth, the doubt, and the probability that HD95 is above 5 mm."""
    with torch.inference_mode():
        ctv, assessment = predictor.assess(volume)
    assert assessment is not None
    chance = float("nan") if assessment.wrong is None else assessment.wrong
    return evaluate_masks(ctv.mask(), truth, volume.spacing_mm), assessment.doubt, chance


def lines_of(
    ways: Ways, results: dict[str, list[tuple[Metrics, Doubt, float]]], cases: list[str], diagonals: list[float]
) -> list[str]:
    """Return the tables of some ways; the others are compared with the first way."""
    arms = {}
    for name in ways:
        rows, doubts, _ = zip(*results[name], strict=True)
        told = results[name.removesuffix(SHAPE) + SHAPE]  # the score belongs to repaired masks
        arms[name] = Arm(name, rows, doubts, np.array([chance for _, _, chance in told]))
    known = [arm for arm in arms.values() if np.isfinite(arm.chances).all()]
    lines = [*arm_lines(list(arms.values()), cases, diagonals), ""]
    for arm in known:
        if not arm.name.endswith(SHAPE):
            lines += [confident_line(arm, arms[arm.name + SHAPE]), ""]
    return lines + score_lines(known, cases)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--run", type=Path)
    parser.add_argument("--sampling", type=Path)
    parser.add_argument("--report", type=Path)
    options = parser.parse_args()
    if options.sampling and not options.run:
        parser.error("--sampling is held against a member of --run; give that too")
    tables = [released_ways()] + ([trained_ways(options.run, options.sampling)] if options.run else [])
    found: list[dict[str, list[tuple[Metrics, Doubt, float]]]] = [{name: [] for name in ways} for ways in tables]
    cases, diagonals = [], []
    for family in HARD:
        for seed in range(FIRST, FIRST + options.seeds):
            phantom = phantom_of(family, seed)
            cases.append(f"{family} {seed}")
            diagonals.append(diagonal_mm(phantom.image.array.shape, phantom.image.spacing_mm))
            for ways, results in zip(tables, found, strict=True):
                for name, predictor in ways.items():
                    results[name].append(assessed(predictor, phantom.image, phantom.structures["ctv"]))
        print(f"{family}: done", file=sys.stderr, flush=True)
    lines = []
    for ways, results in zip(tables, found, strict=True):
        lines += [*lines_of(ways, results, cases, diagonals), ""]
    print("\n".join(lines))
    if options.report:
        options.report.write_text("\n".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
