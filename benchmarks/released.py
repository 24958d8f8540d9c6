"""Accuracy of a bundle on held-out phantoms and, where it is at hand, on the 108-case low-passed TRUS set.

    python benchmarks/released.py [--bundle FOLDER] [--phantoms 40] [--trus FOLDER] [-o results.md]

Phantoms have the seeds 0, 1, 2, ...: training uses 1000000 and above. --trus names a folder with images/,
labels/ and cases.csv (YipengHu/example-data, branch mrus; measuring only). Only its cases whose patient is
not among the released model's training volumes count (column patient_in_trus27 = no). Beside the model stands the
mean shape: the average mask of the other patients, at the best fixed position, which never looks at the image.
"""

from __future__ import annotations

import argparse
import csv
import sys
import time
from pathlib import Path

import numpy as np

from prostate_seg import load_bundle, read
from prostate_seg.masks import read_mask
from prostate_seg.metrics import Metrics, diagonal_mm, evaluate_masks, orthogonal_spacing_mm
from prostate_seg.phantom import make_phantom
from prostate_seg.summary import summarise

ROW = (
    "| {name} | {n} | {dice:.3f} ({low:.3f} to {high:.3f}) | {worst:.3f} | {hd95:.1f} | {hd:.1f} | {seconds:.1f} |"
)
HEAD = [
    "| set | cases | mean Dice (95 % interval) | worst Dice | median HD95 mm | median HD mm | s a case |",
    "|---|---|---|---|---|---|---|",
]


def phantoms(predictor, count):
    rows, diagonals, seconds = [], [], []
    for seed in range(count):
        phantom = make_phantom(seed)
        start = time.perf_counter()
        mask = predictor(phantom.image).labels
        seconds.append(time.perf_counter() - start)
        rows.append(evaluate_masks(mask == 1, phantom.structures["ctv"], phantom.image.spacing_mm))
        diagonals.append(diagonal_mm(mask.shape, phantom.image.spacing_mm))
        print(f"phantom {seed}: {rows[-1]}", file=sys.stderr)
    return line(f"phantoms, seeds 0 to {count - 1}", rows, diagonals, seconds)


def low_passed(predictor, folder):
    with (folder / "cases.csv").open(encoding="utf-8") as file:
        cases = [case for case in csv.DictReader(file) if case["patient_in_trus27"] == "no"]
    rows, baseline, diagonals, seconds = [], [], [], []
    masks = [read_mask(folder / "labels" / f"{case['case']}.nii.gz") for case in cases]
    patients = [case["patient"] for case in cases]
    for case, reference, patient in zip(cases, masks, patients, strict=True):
        volume = read(folder / "images" / f"{case['case']}.nii.gz")
        spacing = orthogonal_spacing_mm(reference.affine)
        start = time.perf_counter()
        mask = predictor(volume).labels
        seconds.append(time.perf_counter() - start)
        rows.append(evaluate_masks(mask == 1, reference.labels == 1, spacing))
        others = [m.labels == 1 for m, p in zip(masks, patients, strict=True) if p != patient]
        baseline.append(evaluate_masks(np.mean(others, axis=0) > 0.5, reference.labels == 1, spacing))
        diagonals.append(diagonal_mm(mask.shape, spacing))
        print(f"{case['case']}: {rows[-1]}", file=sys.stderr)
    return [
        *line("low-passed TRUS, unseen patients", rows, diagonals, seconds, patients=patients),
        *line("the same, mean shape", baseline, diagonals, [0.0] * len(rows), patients=patients),
    ]


def line(name: str, rows: list[Metrics], diagonals, seconds, *, patients=None):
    summary = summarise(rows, diagonals, patients=patients)
    dice = summary["dice"]
    return [
        ROW.format(
            name=name, n=len(rows), dice=dice.mean, low=dice.mean_low, high=dice.mean_high,
            worst=min(row.dice for row in rows), hd95=summary["hd95_mm"].median, hd=summary["hd_mm"].median,
            seconds=float(np.median(seconds)),
        )
    ]  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bundle", type=Path)
    parser.add_argument("--phantoms", type=int, default=40)
    parser.add_argument("--trus", type=Path)
    parser.add_argument("--tta", choices=("none", "flip", "full"))
    parser.add_argument("-o", "--output", type=Path)
    options = parser.parse_args()
    predictor = load_bundle(options.bundle, ensembling=options.tta)
    lines = list(HEAD)
    if options.phantoms:
        lines += phantoms(predictor, options.phantoms)
    if options.trus:
        lines += low_passed(predictor, options.trus)
    print("\n".join(lines))
    if options.output:
        options.output.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
