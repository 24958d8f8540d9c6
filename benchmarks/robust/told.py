"""Whether the released bundle's chance of a far HD95 is true, as a user gets it: unseen patients and phantoms.

    python -m benchmarks.robust.told --trus FOLDER [--phantoms 40]

The option --trus names a folder with images/, labels/ and cases.csv. Only cases with patient_in_trus27 = no are
used.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.accuracy.data import cases_of
from prostate_seg import load_bundle, read
from prostate_seg.assessment.doubt import Doubt
from prostate_seg.evaluation.metrics import Metrics
from prostate_seg.phantom import make_phantom
from prostate_seg.reading.masks import read_mask

from .families import assessed
from .table import Arm, score_lines


def lines_of(name: str, results: Sequence[tuple[Metrics, Doubt, float]], patients: Sequence[str]) -> list[str]:
    """Return the table of the score, and the mean probability beside the fraction of wrong cases."""
    rows, doubts, chances = zip(*results, strict=True)
    arm = Arm(name, rows, doubts, np.array(chances))
    mean = f"Mean chance {arm.chances.mean():.2f}, wrong {arm.wrong.mean():.2f}."
    return [*(score_lines([arm], patients) if 0 < arm.wrong.mean() < 1 else [f"{name}:"]), "", mean]


def main() -> None:
    """Print the predicted probabilities and the observed fractions."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trus", type=Path, required=True)
    parser.add_argument("--phantoms", type=int, default=40)
    options = parser.parse_args()
    predictor = load_bundle()
    unseen = [case for case in cases_of(options.trus, unseen=True) if case.fold == 0]
    found = [assessed(predictor, read(case.image), read_mask(case.label).mask()) for case in unseen]
    print("\n".join(lines_of("unseen patients", found, [case.patient for case in unseen])), flush=True)
    if options.phantoms:
        phantoms = [make_phantom(seed) for seed in range(options.phantoms)]
        found = [assessed(predictor, phantom.image, phantom.structures["ctv"]) for phantom in phantoms]
        print("\n".join(["", *lines_of("phantoms", found, [str(n) for n in range(options.phantoms)])]))


if __name__ == "__main__":
    main()
