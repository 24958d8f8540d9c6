"""A folder of phantoms for this benchmark: images/, labels/ and cases.csv.

    python -m benchmarks.accuracy.phantoms FOLDER [-n 60] [--first 5000] [--folds 5]

Every phantom is a patient of its own. The training of the released weights uses seeds from 1000000.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

from prostate_seg.phantom.study import write_phantom


def main() -> None:
    """Write the phantoms and ``cases.csv``."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("-n", type=int, default=60)
    parser.add_argument("--first", type=int, default=5000)
    parser.add_argument("--folds", type=int, default=5)
    options = parser.parse_args()
    names = []
    for seed in range(options.first, options.first + options.n):
        image, _ = write_phantom(options.folder, seed)
        names.append(image.name.split(".")[0])
    with (options.folder / "cases.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(("case", "patient", "fold"))
        writer.writerows((name, name, number % options.folds) for number, name in enumerate(names))


if __name__ == "__main__":
    main()
