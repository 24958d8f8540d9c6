"""Trains a network on phantoms alone, as a start for its folds.

    python -m benchmarks.accuracy.pretrain --network dynunet -o FOLDER [--minutes 77] [--phantoms 480]

FOLDER/weights.pt holds the averaged weights; pass it to benchmarks.accuracy with --weights NAME=FILE. An
interrupted training is resumed. The program stops if the folder holds another training. The minutes are CPU time,
without the time to make the phantoms.
"""

from __future__ import annotations

import argparse
import os
from dataclasses import replace
from pathlib import Path

import torch

from .fit import BATCH, Budget, Run
from .networks import CONTENDERS
from .study import keep_plan


def pretrain(network: str, folder: Path, *, budget: Budget, phantoms: int, seed: int = 0) -> Path:
    """Train from random weights and return the file of the resulting weights, averaged if the network uses that."""
    contender = replace(CONTENDERS[network], phantoms=phantoms, start=None, hard=0.0)
    keep_plan(folder, {"network": network, "seconds": budget.seconds, "phantoms": phantoms, "seed": seed})
    run = Run(contender, folder, budget=budget, seed=seed)
    run.train([])
    run.describe()
    state = (run.average.module if contender.averaged else run.network).state_dict()
    torch.save(state, folder / "weights.partial")
    os.replace(folder / "weights.partial", folder / "weights.pt")
    return folder / "weights.pt"


def main() -> None:
    """Train and print the path of the weights."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--network", choices=CONTENDERS, required=True)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=77.0)
    parser.add_argument("--phantoms", type=int, default=480)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if options.phantoms < BATCH:
        parser.error(f"--phantoms is {BATCH}, a batch, or more, got {options.phantoms}")
    budget = Budget(60 * options.minutes)
    print(pretrain(options.network, options.output, budget=budget, phantoms=options.phantoms, seed=options.seed))


if __name__ == "__main__":
    main()
