"""How many scans are told to be upside down or no prostate, of good ones and of others, by the released bundle.

    python -m benchmarks.robust.scans [--count 40] [--trus FOLDER] [--others FOLDER]

The phantoms have the seeds 0, 1, ... The option --trus names a folder as in benchmarks/released.py; only patients
who are not in trus27 are used. The option --others names a folder of pictures without a prostate. The first 40 by
name are left out, the others are stacked.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np

from data_prep.recognition import stacked
from prostate_seg import Volume, load_bundle, read
from prostate_seg.assessment.assessor import RECOGNISED
from prostate_seg.assessment.recognition import PROSTATE
from prostate_seg.phantom import make_phantom, without_prostate

FITTED_PICTURES = 40


def upside_down(volume: Volume) -> Volume:
    """Return the image reversed along the axis from anterior to posterior."""
    axis = int(np.abs(volume.affine[1, :3] / volume.spacing_mm).argmax())
    return replace(volume, array=np.ascontiguousarray(np.flip(volume.array, axis)))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=40)
    parser.add_argument("--trus", type=Path)
    parser.add_argument("--others", type=Path)
    options = parser.parse_args()
    predictor = load_bundle()

    def row(name: str, volumes: Iterable[Volume]) -> None:
        chances = [predictor.assess(volume)[1].kinds.chances[PROSTATE] for volume in volumes]  # type: ignore[union-attr,index]
        print(f"| {name} | {sum(chance < RECOGNISED for chance in chances)} of {len(chances)} |", flush=True)

    def both(name: str, volumes: Callable[[], Iterable[Volume]]) -> None:
        row(name, volumes())
        row(f"{name}, upside down", (upside_down(volume) for volume in volumes()))

    print("| scans | flagged |\n|---|---|")
    seeds = range(options.count)
    both("phantoms", lambda: (make_phantom(seed).image for seed in seeds))
    row("phantoms without a prostate", (make_phantom(n, settings=without_prostate(n)).image for n in seeds))
    if options.trus:
        with (options.trus / "cases.csv").open(encoding="utf-8") as stream:
            names = [case["case"] for case in csv.DictReader(stream) if case["patient_in_trus27"] == "no"]
        both("volumes of unseen patients", lambda: (read(options.trus / "images" / f"{n}.nii.gz") for n in names))
    if options.others:
        pictures = sorted(options.others.rglob("*.png"))[FITTED_PICTURES:]
        row("stacks of pictures that are no prostate", (stacked(pictures, seed) for seed in seeds))


if __name__ == "__main__":
    main()
