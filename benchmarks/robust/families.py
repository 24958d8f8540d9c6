"""The same on hard phantoms, with released weights: one model, its passes, a shape model, several weights together.

    python -m benchmarks.robust.families [--seeds 20] [--weights phantoms FILE] [--report results.md]

Families (benchmarks/families.py) that no training drew, seeds from 300 on. --weights: further members beside the
released weights. Shape model and score of doubt are the bundle's own.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from families import phantom_of

from prostate_seg import Volume, load_bundle
from prostate_seg.bundle import Predictor
from prostate_seg.metrics import Metrics, diagonal_mm, evaluate_masks
from prostate_seg.network import Ensemble
from prostate_seg.uncertainty import Doubt

from .table import Arm, arm_lines, confident_line, score_lines

HARD = ("shadows, lost contact", "faint edge", "dark and noisy", "odd shapes")
FIRST = 300


def together(predictors: Sequence[Predictor]) -> Predictor:
    """The first predictor with the networks of all as members."""
    first = predictors[0]
    ensemble = Ensemble(first.network, len(predictors)).eval()
    for member, predictor in zip(ensemble.members, predictors, strict=True):
        member.load_state_dict(predictor.network.state_dict())
    first.network = ensemble
    return first


def arms_of(weights: Sequence[str]) -> dict[str, Predictor]:
    """Each way to segment, refined or not."""
    ways: dict[str, Predictor] = {}
    for refine in (False, True):
        then = ", shape" * refine
        ways[f"one model{then}"] = load_bundle(refine=refine)
        ways[f"one model, three scales{then}"] = load_bundle(refine=refine, ensembling="full")
        members = [load_bundle(refine=refine, weights=name) for name in ("released", *weights)]
        if len(members) > 1:
            ways[f"{len(members)} members{then}"] = together(members)
    return ways


def assessed(predictor: Predictor, volume: Volume, truth: np.ndarray) -> tuple[Metrics, Doubt, float]:
    """The score against the truth, the doubt, and the chance that HD95 is above 5 mm."""
    with torch.inference_mode():
        ctv, assessment = predictor.assess(volume)
    assert assessment is not None
    chance = float("nan") if assessment.wrong is None else assessment.wrong
    return evaluate_masks(ctv.labels == 1, truth, volume.spacing_mm), assessment.doubt, chance


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--weights", nargs="*", default=["phantoms"])
    parser.add_argument("--report", type=Path)
    options = parser.parse_args()
    ways = arms_of(options.weights)
    found: dict[str, list[tuple[Metrics, Doubt, float]]] = {name: [] for name in ways}
    patients, diagonals = [], []
    for family in HARD:
        for seed in range(FIRST, FIRST + options.seeds):
            phantom = phantom_of(family, seed)
            patients.append(f"{family} {seed}")
            diagonals.append(diagonal_mm(phantom.image.array.shape, phantom.image.spacing_mm))
            for name, predictor in ways.items():
                found[name].append(assessed(predictor, phantom.image, phantom.structures["ctv"]))
        print(f"{family}: done", file=sys.stderr, flush=True)
    arms = []
    for name, results in found.items():
        rows, doubts, _ = zip(*results, strict=True)
        chances = [chance for _, _, chance in found.get(f"{name}, shape", results)]  # doubt is told before refining
        arms.append(Arm(name, rows, doubts, np.array(chances)))
    plain = [arm for arm in arms if not arm.name.endswith("shape")]
    lines = [*arm_lines(arms, patients, diagonals), ""]
    lines += [
        confident_line(arm, next(other for other in arms if other.name == f"{arm.name}, shape")) for arm in plain
    ]
    lines += ["", *score_lines([arm for arm in arms if np.isfinite(arm.chances).all()], patients)]
    print("\n".join(lines))
    if options.report:
        options.report.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
