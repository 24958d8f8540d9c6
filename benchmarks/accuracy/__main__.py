"""Trains networks on patient folds for the same minutes each, and compares them with the metrics of the package.

    python -m benchmarks.accuracy --data FOLDER -o RUNS [--minutes 6 | --steps 1000] [--folds 0 1]
        [--networks segmenter "segmenter, from phantoms" dynunet] [--weights phantoms=FILE] [--others nnunetv2]

FOLDER has images/, labels/ and cases.csv (columns case, patient, fold; benchmarks.accuracy.phantoms makes one).
RUNS keeps every fold of every network: what is done is not done again, what was interrupted goes on. Prints a
table, which stays in RUNS/table.md; RUNS/evaluations and RUNS/compared have the tables of ``evaluate`` and
``compare``. Beside the networks stands the mean shape of the other folds, which never looks at the image. The
budget is wall time: give each process its own core (OMP_NUM_THREADS=1) and let nothing else run on it.

Learning curves: --unseen tests on the cases whose column patient_in_trus27 says no and trains on the others,
--cases limits these; one RUNS a number of cases.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from prostate_seg import Segmentation, write
from prostate_seg.comparison import compare, read_table, write_comparison
from prostate_seg.evaluation import evaluate_folders, write_results
from prostate_seg.masks import read_mask

from .data import Case, cases_of, some
from .fit import Budget, Run
from .networks import CONTENDERS
from .table import lines

MEAN_SHAPE = "mean shape"


def main() -> None:
    """Train what is missing, then the table."""
    options = _options()
    cases = cases_of(options.data, unseen=options.unseen)
    folds = options.folds or sorted({case.fold for case in cases})[: 1 if options.unseen else None]
    tested = [case for case in cases if case.fold in folds]
    for fold in folds:  # all networks on one fold before the next: an early end leaves a fair table
        for name in options.networks:
            _fold(name, fold, cases, options)
    if options.only_train:
        return
    _mean_shape(cases, tested, options.output / MEAN_SHAPE)
    names = [*options.networks, *options.others, MEAN_SHAPE]
    for name in names:
        _evaluate(options.output, name, tested)
    tables = [read_table(options.output / "evaluations" / name) for name in names]
    differences = compare(tables, ("dice", "hd95_mm"))
    write_comparison(differences, tables, options.output / "compared")
    text = "\n".join(lines(options.output, names, differences)) + "\n"
    (options.output / "table.md").write_text(text, encoding="utf-8")
    print(text)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=6.0, help="of training, a fold and network")
    parser.add_argument("--steps", type=int, help="of training instead of minutes")
    parser.add_argument("--networks", nargs="+", choices=CONTENDERS, default=["segmenter", "dynunet"])
    parser.add_argument("--others", nargs="+", default=[], help="networks whose masks are in RUNS already")
    parser.add_argument("--weights", nargs="+", default=[], help="NAME=FILE, for networks that start from NAME")
    parser.add_argument("--folds", nargs="+", type=int, help="of the test cases (default all)")
    parser.add_argument("--unseen", action="store_true", help="test on patients that are not in trus27")
    parser.add_argument("--cases", type=int, help="to train on (default all)")
    parser.add_argument("--only-train", action="store_true", help="no table")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    options.weights = dict(text.split("=", 1) for text in options.weights)
    missing = {CONTENDERS[name].start for name in options.networks} - {None, *options.weights}
    if missing:
        parser.error(f"--weights NAME=FILE is missing for {', '.join(sorted(map(str, missing)))}")
    return options


def _fold(name: str, fold: int, cases: Sequence[Case], options: argparse.Namespace) -> None:
    folder = options.output / name / f"fold{fold}"
    if (folder / "run.json").is_file():
        return
    start = CONTENDERS[name].start
    budget = Budget(60 * options.minutes, options.steps)
    weights = Path(options.weights[start]) if start else None
    run = Run(CONTENDERS[name], folder, budget=budget, seed=options.seed, start=weights)
    run.train(some([case for case in cases if case.fold != fold], options.cases, options.seed))
    run.segment([case for case in cases if case.fold == fold])
    run.describe()
    print(f"{name}, fold {fold}: {run.steps} steps", flush=True)


def _mean_shape(cases: Sequence[Case], tested: Sequence[Case], folder: Path) -> None:
    """Voxels that most masks of the other folds hold, at their place in the image."""
    (folder / "fold0" / "masks").mkdir(parents=True, exist_ok=True)
    masks = {case.name: read_mask(case.label) for case in cases}
    for case in tested:
        own = masks[case.name]
        others = [masks[other.name].labels for other in cases if other.fold != case.fold]
        same = [labels for labels in others if labels.shape == own.labels.shape]
        mean = Segmentation((np.mean(same, axis=0) > 0.5).astype(np.uint8), own.affine)
        write(mean, folder / "fold0" / "masks" / f"{case.name}.nii.gz")


def _evaluate(output: Path, name: str, tested: Sequence[Case]) -> None:
    """The masks of all folds together, with the patients for the intervals."""
    with tempfile.TemporaryDirectory() as folder:
        found, expected = Path(folder) / "masks", Path(folder) / "labels"
        found.mkdir()
        expected.mkdir()
        for case in tested:
            (mask,) = (output / name).glob(f"fold*/masks/{case.name}.nii.gz")
            shutil.copy(mask, found)
            shutil.copy(case.label, expected)
        rows = evaluate_folders(found, expected, patients={case.name: case.patient for case in tested})
    write_results(rows, output / "evaluations" / name)


if __name__ == "__main__":
    main()
