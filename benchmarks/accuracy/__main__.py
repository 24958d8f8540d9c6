"""Trains networks on patient folds within equal budgets, and compares them with the metrics of the package.

    python -m benchmarks.accuracy --data FOLDER -o RUNS [--minutes 6 | --steps 1000] [--folds 0 1]
        [--networks segmenter "segmenter, from phantoms" dynunet] [--weights phantoms=FILE] [--others nnunetv2]

FOLDER has images/, labels/ and cases.csv (columns case, patient, fold; benchmarks.accuracy.phantoms makes one).

RUNS keeps every fold of every network. Finished folds are not repeated, interrupted folds are resumed. The table is
printed and written to RUNS/table.md. RUNS/evaluations and RUNS/compared hold the tables of ``evaluate`` and
``compare``. For comparison, the table also has a row for the mean shape of the other folds, which ignores the
image.

The budget is minutes of one core, so give each process a core of its own (OMP_NUM_THREADS=1). Other work on this
core then costs time, but changes no result.

A network that starts from weights was also trained before this budget; state this next to its row. The weights
"released" were trained on the patients of trus27, so they are tested with --unseen only.

For learning curves, --unseen tests on the cases with patient_in_trus27 = no and trains on the others. --cases
limits the number of training cases. Use one folder RUNS for each number of cases.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from prostate_seg.evaluation.comparison import compare, read_table, write_comparison

from .data import cases_of, some
from .networks import CONTENDERS
from .study import MEAN_SHAPE, Split, evaluate, mean_shape, run_fold
from .table import lines


def main() -> None:
    """Train the missing folds, then write the table."""
    options = _options()
    cases = cases_of(options.data, unseen=options.unseen)
    folds = options.folds or sorted({case.fold for case in cases})[: 1 if options.unseen else None]
    splits = [Split.of(fold, cases, options.cases, options.seed) for fold in folds]
    for split in splits:  # all networks on one fold, then the next: the table is fair after an early end
        for name in options.networks:
            run_fold(options, CONTENDERS[name], options.output / name / f"fold{split.fold}", split)
    if options.only_train:
        return
    names = [*options.networks, *options.others]
    names += [MEAN_SHAPE] if mean_shape(splits, options.output / MEAN_SHAPE) else []
    tested = [case for split in splits for case in split.testing]
    for name in names:
        evaluate(options.output, name, tested)
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
    options.weights = dict(text.partition("=")[::2] for text in options.weights)
    starts = {start for name in options.networks if (start := CONTENDERS[name].start)}
    missing = starts - {name for name, file in options.weights.items() if Path(file).is_file()}
    if missing:
        parser.error(f"--weights NAME=FILE, with a file that is there, is missing for {', '.join(missing)}")
    if "released" in starts and not options.unseen:
        parser.error("the released weights have seen the patients of trus27: test them with --unseen")
    if not (options.data / "cases.csv").is_file():
        parser.error(f"{options.data} has no cases.csv (columns case, patient, fold)")
    pool = cases_of(options.data, unseen=options.unseen)
    if options.cases and not 4 <= options.cases <= len(some([case for case in pool if case.fold], None, 0)):
        parser.error(f"--cases is 4, a batch, to the number of training cases, got {options.cases}")
    return options


if __name__ == "__main__":
    main()
