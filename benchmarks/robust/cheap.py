"""What more passes of one network bring: scales, stochastic depth, averaged and last weights together.

    python -m benchmarks.robust.cheap --data FOLDER -o RUNS [--network "segmenter, from phantoms"]
        [--report results.md]

RUNS holds the folds of benchmarks.accuracy. Every case is segmented by the network that never saw its patient. Each
pass includes the mirror image. The masks are scored unchanged, and repaired by the shape model of the other folds.
The score of doubt of the table belongs to the repaired masks; it is fitted on the other folds, separately for each
way.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from monai.inferers import SlidingWindowInferer

from benchmarks.accuracy.data import Preparation, cases_of
from benchmarks.accuracy.networks import CONTENDERS, Contender
from prostate_seg.evaluation.metrics import diagonal_mm, orthogonal_spacing_mm
from prostate_seg.inference.inferers import ScaleFlipInferer
from prostate_seg.network import Segmenter
from prostate_seg.training.engine import averaged

from .__main__ import Seen, cross_fitted, seen_cases
from .table import Arm, arm_lines, confident_line, score_lines

DROPPED = 0.1
DRAWS = 4
SCALES = (0.75, 1.0, 1.25)


def networks_of(run: Path, contender: Contender) -> tuple[Segmenter, Segmenter]:
    """Load the averaged network of a run, and the network of its last step."""
    content = torch.load(run / "state.pt", weights_only=True)
    average, last = averaged(contender.make()), contender.make()
    average.load_state_dict(content["average"])
    last.load_state_dict(content["network"])
    return average.module.eval(), last.eval()


def drop_blocks(network: Segmenter, share: float) -> None:
    """Drop each branch of the encoder's blocks with the probability ``share`` from now on; 0 drops none."""
    for block in network.encoder.blocks:
        block.drop_path, block.training = share, share > 0


def ways_of(
    image: torch.Tensor, networks: tuple[Segmenter, Segmenter], contender: Contender
) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the name of each way and its passes (N, I, J, K)."""
    sliding = SlidingWindowInferer(contender.window, sw_batch_size=2, overlap=0.5, mode="gaussian")
    flips = ScaleFlipInferer(sliding, flip_axes=(0,), autocast=True)
    average, last = networks

    def passes(inferer: ScaleFlipInferer, network: Segmenter) -> np.ndarray:
        return np.asarray(inferer.collect(image, network)[1][:, 0].float().numpy())

    once = passes(flips, average)
    yield "mirror image", once
    yield "three scales", passes(ScaleFlipInferer(sliding, scales=SCALES, flip_axes=(0,), autocast=True), average)
    drop_blocks(average, DROPPED)
    draws = [passes(flips, average) for _ in range(DRAWS)]
    drop_blocks(average, 0.0)
    yield f"stochastic depth, {DRAWS} draws", np.concatenate(draws)
    yield "averaged and last weights", np.concatenate([once, passes(flips, last)])


def variants(seen: list[Seen], runs: Path, name: str) -> dict[str, list[Seen]]:
    """Return the cases for each way, with its passes in place of the members."""
    contender = CONTENDERS[name]
    preparation = Preparation(contender.window)
    found: dict[str, list[Seen]] = {}
    torch.manual_seed(0)
    networks = {fold: networks_of(runs / name / f"fold{fold}", contender) for fold in {s.case.fold for s in seen}}
    for one in seen:
        image = preparation.pad({"image": preparation.load(one.case)["image"]})["image"].as_tensor()[None]
        for way, passes in ways_of(image, networks[one.case.fold], contender):
            members = [replace(one.members[0], passes=passes)]
            found.setdefault(way, []).append(replace(one, members=members))
    return found


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--network", choices=CONTENDERS, default="segmenter, from phantoms")
    parser.add_argument("--report", type=Path)
    options = parser.parse_args()
    cases = cases_of(options.data)
    seen = seen_cases(options.output, options.network, cases)
    patients, folds = [case.patient for case in cases], np.array([case.fold for case in cases])
    plain, repaired = [], []
    for way, ones in variants(seen, options.output, options.network).items():
        for arms, name, refined in ((plain, way, False), (repaired, f"{way}, shape", True)):
            rows, doubts = zip(*[one.score(one.members, refined=refined) for one in ones], strict=True)
            arms.append(Arm(name, rows, doubts, cross_fitted(cases, rows, doubts), folds))
    diagonals = [diagonal_mm(one.truth.shape, orthogonal_spacing_mm(one.affine)) for one in seen]
    lines = [*arm_lines([*plain, *repaired], patients, diagonals), ""]
    lines += [confident_line(*pair) for pair in zip(plain, repaired, strict=True)]
    lines += ["", *score_lines(repaired, patients)]
    print("\n".join(lines))
    if options.report:
        options.report.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
