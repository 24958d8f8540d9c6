"""Trains networks on patient folds for the same minutes each, and compares them with the metrics of the package.

    python -m benchmarks.accuracy --data FOLDER -o RUNS [--minutes 6] [--networks segmenter dynunet] [--folds 0 1]

FOLDER has images/, labels/ and cases.csv (columns case, patient, fold). RUNS keeps every fold of every network:
what is done is not done again, what was interrupted goes on. Prints a table, which stays in RUNS/table.md;
RUNS/evaluations and RUNS/compared have the tables of ``evaluate`` and ``compare``. Beside the networks stands the
mean shape of the other folds, which never looks at the image. Let nothing else run: the budget is wall time.
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

from .data import Case, cases_of
from .fit import Run
from .networks import CONTENDERS
from .table import lines

MEAN_SHAPE = "mean shape"


def main() -> None:
    """Train what is missing, then the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=6.0, help="of training, a fold and network")
    parser.add_argument("--networks", nargs="+", choices=CONTENDERS, default=["segmenter", "dynunet"])
    parser.add_argument("--folds", nargs="+", type=int, help="of the test cases (default all)")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    cases = cases_of(options.data)
    folds = options.folds or sorted({case.fold for case in cases})
    tested = [case for case in cases if case.fold in folds]
    for fold in folds:  # all networks on one fold before the next: an early end leaves a fair table
        for name in options.networks:
            _fold(name, fold, cases, options)
    _mean_shape(cases, tested, options.output / MEAN_SHAPE)
    names = [*options.networks, MEAN_SHAPE]
    for name in names:
        _evaluate(options.output, name, tested)
    tables = [read_table(options.output / "evaluations" / name) for name in names]
    differences = compare(tables, ("dice", "hd95_mm"))
    write_comparison(differences, tables, options.output / "compared")
    text = "\n".join(lines(options.output, names, differences)) + "\n"
    (options.output / "table.md").write_text(text, encoding="utf-8")
    print(text)


def _fold(name: str, fold: int, cases: Sequence[Case], options: argparse.Namespace) -> None:
    folder = options.output / name / f"fold{fold}"
    if (folder / "run.json").is_file():
        return
    run = Run(CONTENDERS[name], folder, minutes=options.minutes, seed=options.seed)
    run.train([case for case in cases if case.fold != fold])
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
