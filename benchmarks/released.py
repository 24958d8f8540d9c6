"""Accuracy of a bundle on held-out phantoms, families of phantoms, and the 108-case low-passed TRUS set.

    python benchmarks/released.py [--bundle FOLDER] [--phantoms 40] [--families 20] [--trus FOLDER] [-o results.md]

Phantoms have the seeds 0, 1, 2, ...; phantoms of the families (families.py) have the seeds 300, 301, ... Training
uses seeds from 1000000.

--trus names a folder with images/, labels/ and cases.csv (YipengHu/example-data, branch mrus; for measurement
only). The table uses only the cases with patient_in_trus27 = no: their patients are not in the training volumes of
the released model. For comparison, the table also has a row for the mean shape, which is the average mask of the
other patients and ignores the image.

HD of a slice is the 2D Hausdorff distance in each slice that contains the truth. For a missed slice, it is the
diagonal of the slice. The median is over all slices of all cases.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from families import FAMILIES, phantom_of

from prostate_seg import Volume, load_bundle, read
from prostate_seg.evaluation.metrics import Metrics, diagonal_mm, evaluate_masks, orthogonal_spacing_mm
from prostate_seg.evaluation.summary import summarise
from prostate_seg.reading.masks import read_mask

HEAD = [
    "| set | cases | mean Dice (95 % interval) | worst Dice | below 0.90 | HD95 mm, mean | median | "
    "HD mm, median | HD of a slice, median |",
    "|---|---|---|---|---|---|---|---|---|",
]
FIRST_OF_FAMILIES = 300
Predictor = Callable[[Volume], np.ndarray]


@dataclass
class Rows:
    """Scores of the cases of a set."""

    name: str
    rows: list[Metrics] = field(default_factory=list)
    diagonals: list[float] = field(default_factory=list)
    slices: list[float] = field(default_factory=list)

    def add(self, mask: np.ndarray, truth: np.ndarray, spacing: Sequence[float]) -> None:
        """Score a case."""
        self.rows.append(evaluate_masks(mask, truth, spacing))
        self.diagonals.append(diagonal_mm(mask.shape, spacing))
        plane = diagonal_mm(mask.shape[:2], spacing[:2])
        for k in np.flatnonzero(truth.any((0, 1))):
            hd = evaluate_masks(mask[:, :, k], truth[:, :, k], spacing[:2]).hd_mm
            self.slices.append(hd if np.isfinite(hd) else plane)
        print(f"{self.name} {len(self.rows)}: Dice {self.rows[-1].dice:.3f}", file=sys.stderr)

    def line(self, patients: Sequence[str] | None = None) -> str:
        """Return the row of the set."""
        found = summarise(self.rows, self.diagonals, patients=patients)
        dice, hd95 = found["dice"], found["hd95_mm"]
        low = sum(row.dice < 0.9 for row in self.rows)
        cells = [
            self.name, len(self.rows), f"{dice.mean:.3f} ({dice.mean_low:.3f} to {dice.mean_high:.3f})",
            f"{min(row.dice for row in self.rows):.3f}", low, f"{hd95.mean:.1f}", f"{hd95.median:.1f}",
            f"{found['hd_mm'].median:.1f}", f"{np.median(self.slices):.1f}",
        ]  # fmt: skip
        return f"| {' | '.join(map(str, cells))} |"


def phantoms(predict: Predictor, family: str, seeds: Iterable[int], name: str) -> str:
    """Score some phantoms and return their row."""
    rows = Rows(name)
    for seed in seeds:
        phantom = phantom_of(family, seed)
        rows.add(predict(phantom.image), phantom.structures["ctv"], phantom.image.spacing_mm)
    return rows.line()


def low_passed(predict: Predictor, folder: Path) -> list[str]:
    """Score the real volumes and return two rows: that of the model and that of the mean shape."""
    with (folder / "cases.csv").open(encoding="utf-8") as file:
        cases = [case for case in csv.DictReader(file) if case["patient_in_trus27"] == "no"]
    model, baseline = Rows("low-passed TRUS, unseen patients"), Rows("the same, mean shape")
    masks = [read_mask(folder / "labels" / f"{case['case']}.nii.gz") for case in cases]
    patients = [case["patient"] for case in cases]
    for case, reference, patient in zip(cases, masks, patients, strict=True):
        spacing, truth = orthogonal_spacing_mm(reference.affine), reference.mask()
        model.add(predict(read(folder / "images" / f"{case['case']}.nii.gz")), truth, spacing)
        others = [m.mask() for m, p in zip(masks, patients, strict=True) if p != patient]
        baseline.add(np.mean(others, axis=0) > 0.5, truth, spacing)
    return [model.line(patients), baseline.line(patients)]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bundle", type=Path)
    parser.add_argument("--weights", default="released")
    parser.add_argument("--phantoms", type=int, default=40)
    parser.add_argument("--families", type=int, default=0, help="phantoms of each family")
    parser.add_argument("--trus", type=Path)
    parser.add_argument("--tta", choices=("none", "flip", "full"))
    parser.add_argument("-o", "--output", type=Path)
    options = parser.parse_args()
    predictor = load_bundle(options.bundle, weights=options.weights, ensembling=options.tta)

    def predict(volume: Volume) -> np.ndarray:
        return np.asarray(predictor(volume).mask())

    lines = list(HEAD)
    if options.phantoms:
        name = f"phantoms, seeds 0 to {options.phantoms - 1}"
        lines.append(phantoms(predict, "as trained", range(options.phantoms), name))
    if options.families:
        seeds = range(FIRST_OF_FAMILIES, FIRST_OF_FAMILIES + options.families)
        lines += [phantoms(predict, family, seeds, f"phantoms, {family}") for family in FAMILIES]
    if options.trus:
        lines += low_passed(predict, options.trus)
    print("\n".join(lines))
    if options.output:
        options.output.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
