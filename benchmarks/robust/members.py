"""Trains the members of ensembles for the folds of benchmarks.accuracy, each without two folds.

    python -m benchmarks.robust.members --data FOLDER -o RUNS [--minutes 8] [--network "segmenter, from phantoms"]
        [--weights phantoms=FILE] [--pairs 0-1 0-2 ...]

A model trained without folds 0 and 1 can be a member of the ensemble that is tested on fold 0, and of the ensemble
that is tested on fold 1. With five folds, there are ten such models, and five models of benchmarks.accuracy that
lack one fold each. Together they make five ensembles of five members, like a cross-validation within the training
cases of each fold. The folder of each model is RUNS/NETWORK/without-0-1. Finished models are not trained again.
"""

from __future__ import annotations

import argparse
from itertools import combinations
from pathlib import Path

from benchmarks.accuracy.data import Case, cases_of
from benchmarks.accuracy.networks import CONTENDERS
from benchmarks.accuracy.study import Split, run_fold


def without(cases: list[Case], pair: tuple[int, ...]) -> Split:
    """Split into the training cases of the other folds and the test cases of a pair of folds."""
    outside = [case for case in cases if case.fold not in pair]
    return Split(pair[0], outside, [case for case in cases if case.fold in pair])


def main() -> None:
    """Train the missing members."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=8.0)
    parser.add_argument("--network", choices=CONTENDERS, default="segmenter, from phantoms")
    parser.add_argument("--weights", nargs="+", default=[], help="NAME=FILE, for networks that start from NAME")
    parser.add_argument("--pairs", nargs="+", help="of folds, as 0-1 (default all)")
    options = parser.parse_args()
    options.weights = dict(text.partition("=")[::2] for text in options.weights)
    options.steps = None
    cases = cases_of(options.data)
    every = list(combinations(sorted({case.fold for case in cases}), 2))
    pairs = [tuple(map(int, text.split("-"))) for text in options.pairs or []] or every
    for pair in pairs:
        options.seed = 1 + every.index(pair)  # the members have different random numbers, too
        folder = options.output / options.network / f"without-{'-'.join(map(str, pair))}"
        run_fold(options, CONTENDERS[options.network], folder, without(cases, pair))


if __name__ == "__main__":
    main()
