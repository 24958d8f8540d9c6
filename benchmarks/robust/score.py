"""Fits the score of doubt that goes with the released weights, on cases that no network here was trained on.

    python -m benchmarks.robust.score --data DEEPREG27 --runs RUNS -o score.json [--phantoms 10]

RUNS holds the folds of benchmarks.accuracy for the 27 volumes. Their networks were fine-tuned from weights that
were trained on phantoms only, and each is tested on the cases of its fold. In addition, the released weights
segment hard phantoms (benchmarks/families.py, seeds from 400).
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from families import phantom_of

from benchmarks.accuracy.data import cases_of
from prostate_seg import load_bundle
from prostate_seg.assessment.doubt import FAR_MM, Score

from .__main__ import NAMES, seen_cases
from .families import HARD, assessed

FIRST = 400


def main() -> None:
    """Fit the score and write the file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--runs", type=Path, required=True)
    parser.add_argument("--network", default="segmenter, from phantoms")
    parser.add_argument("--phantoms", type=int, default=10, help="of each family")
    parser.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args()
    results = [
        seen.score(seen.members[:1], refined=True)
        for seen in seen_cases(options.runs, options.network, cases_of(options.data))
    ]
    real = len(results)
    predictor = load_bundle()
    for family in HARD:
        for seed in range(FIRST, FIRST + options.phantoms):
            phantom = phantom_of(family, seed)
            row, doubt, _ = assessed(predictor, phantom.image, phantom.structures["ctv"])
            results.append((row, doubt))
    wrong = [row.hd95_mm > FAR_MM for row, _ in results]
    about = (
        f"{real} low-passed volumes (DeepReg), held out of fine-tuning, and {len(results) - real} hard phantoms; "
        f"{sum(wrong)} of all had an HD95 above 5 mm"
    )
    fitted = Score.fit([doubt for _, doubt in results], wrong, NAMES, about)
    info = predictor.info
    score = replace(fitted, weights_sha256=info.sha256, settings_sha256=info.config_sha256, passes=2)
    score.save(options.output)
    print(about)
    print(dict(zip((*score.names, "constant"), score.weights, strict=True)))


if __name__ == "__main__":
    main()
