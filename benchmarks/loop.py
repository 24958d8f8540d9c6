"""Whether corrected cases make the next ones easier: fewer points until a mask is good.

    python benchmarks/loop.py --trus FOLDER --work EMPTY_FOLDER [--weights phantoms] [--groups 2] [-o FILE]

A simulated user (``simulated_user.py``) corrects ten cases or a few more of unseen patients with points on the
boundary, until a mask has a Dice of 0.95 or 20 points. Then `prostate-seg refine`, `collect` and `train` run with
their own defaults. On the patients that are left, the same user corrects the masks of the old and of the new
weights, ten points each. It is repeated with other patients for the correction. Truth is known to the simulated
user alone: the training sees corrected masks.

The released weights were trained on volumes of this kind, so they stand for a known scanner; those from phantoms
alone (--weights phantoms) for a scanner never seen.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from identity import Case, interval, unseen
from simulated_user import SimulatedUser

from prostate_seg import load_bundle
from prostate_seg.cases.session import Session
from prostate_seg.cli import main as prostate_seg
from prostate_seg.evaluation.metrics import overlap, surface_distances
from prostate_seg.geometry.hints import Hints
from prostate_seg.inference.predictor import Predictor
from prostate_seg.system.json_files import write_json
from prostate_seg.writing import write
from prostate_seg.writing.hints import write_hints

POINTS = 10
MOST = 20  # points of a corrected case
ACCEPTED = 0.95  # Dice of a mask that the user accepts
FORMATS = ("--format", "nrrd,seg-nrrd")
GOOD = (0.90, 0.92, 0.94)  # Dice of a mask that needs no further point


def done(*words: str | Path) -> None:
    """Run a command of prostate-seg. Raise SystemExit if it fails."""
    if code := prostate_seg([str(word) for word in words]):
        raise SystemExit(f"prostate-seg {words[0]} ended with {code}")


def curve(
    predictor: Predictor, case: Case, points: int, accepted: float = 1.0
) -> tuple[list[float], list[float], Hints]:
    """Return Dice and HD95 in mm with 0, 1, ... points until the Dice is accepted, and the points."""
    _, volume, truth = case
    session, user = Session(volume, predictor), SimulatedUser(volume, truth)
    dice, far = [], []
    for count in range(points + 1):
        mask = session.segmentation.mask()
        dice.append(overlap(mask, truth).dice)
        far.append(surface_distances(mask, truth, volume.spacing_mm).hd95_mm)
        if count == points or dice[-1] >= accepted:
            break
        session.add(user.click(mask))
    return dice, far, session.hints


def trained(cases: Sequence[Case], work: Path, weights: str) -> Predictor:
    """Correct cases, collect and train, and return the new predictor."""
    work.mkdir()
    old, reached, used, rows = load_bundle(weights=weights), [], [], []
    for number, case in enumerate(cases):
        image, hints = work / f"case{number:02}.nrrd", work / f"case{number:02}.json"
        write(case[1], image)
        dice, _, given = curve(old, case, MOST, ACCEPTED)
        write_hints(hints, Hints(items=given.items))
        done("refine", image, "-o", work / "out", "--hints", hints, "--weights", weights, *FORMATS)
        reached.append(dice[-1])
        used.append(len(given))
        rows.append((f"case{number:02}", case[0]))
    with (work / "patients.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([("case", "patient"), *rows])
    done("collect", work / "out", "-o", work / "data", "--patients", work / "patients.csv")
    done("train", "--data", work / "data", "-o", work / "run", "--init", weights)
    told = f"{len(cases)} cases: Dice {np.mean(reached):.3f} with {np.mean(used):.1f} points on average"
    print(f"corrected {told}", file=sys.stderr)
    return load_bundle(work / "run" / "bundle")


def needed(dice: Sequence[float], good: float) -> int:
    """Return the number of points after which a mask is good, one more than all if it never is."""
    return next((count for count, one in enumerate(dice) if one >= good), len(dice))


def groups(cases: Sequence[Case], corrected: int, count: int) -> list[tuple[list[Case], list[Case]]]:
    """Return pairs of cases to correct and cases of the other patients. Each pair begins at another patient."""
    patients = list(dict.fromkeys(case[0] for case in cases))
    found = []
    for start in range(count):
        first = start * len(patients) // count
        chosen: list[str] = []
        for patient in patients[first:] + patients[:first]:
            if sum(case[0] in chosen for case in cases) < corrected:
                chosen.append(patient)
        pair: tuple[list[Case], list[Case]] = ([], [])
        for case in cases:
            pair[case[0] not in chosen].append(case)
        found.append(pair)
    return found


def table(rows: list[dict[str, Any]]) -> list[str]:
    """Return the table as Markdown."""
    patients = [row["patient"] for row in rows]
    lines = ["| | old weights | new weights | difference (95 % interval) |", "|---|---|---|---|"]

    def line(name: str, before: list[float], after: list[float], digits: int) -> str:
        gain = np.subtract(after, before)
        low, high = interval(gain, patients)
        numbers = f"{np.mean(before):.{digits}f} | {np.mean(after):.{digits}f}"
        return f"| {name} | {numbers} | {gain.mean():+.{digits}f} ({low:+.{digits}f} to {high:+.{digits}f}) |"

    for points in (0, 3, 6, POINTS):
        for name, digits in (("dice", 3), ("hd95_mm", 2)):
            pair = [[row[when][name][points] for row in rows] for when in ("before", "after")]
            lines.append(line(f"{name}, {points} points", pair[0], pair[1], digits))
    for good in GOOD:
        pair = [[needed(row[when]["dice"], good) for row in rows] for when in ("before", "after")]
        lines.append(line(f"points until a Dice of {good:.2f}", pair[0], pair[1], 1))
    return lines


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trus", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--weights", choices=("released", "phantoms"), default="released")
    parser.add_argument("--corrected", type=int, default=10)
    parser.add_argument("--groups", type=int, default=2)
    parser.add_argument("-o", "--output", type=Path)
    options = parser.parse_args()
    options.work.mkdir(exist_ok=True)
    rows: list[dict[str, Any]] = []
    for number, (first, rest) in enumerate(groups(list(unseen(options.trus)), options.corrected, options.groups)):
        predictor = trained(first, options.work / f"group{number}", options.weights)
        old = load_bundle(weights=options.weights)
        for case in rest:
            row: dict[str, Any] = {"group": number, "patient": case[0]}
            for when, one in (("before", old), ("after", predictor)):
                dice, far, _ = curve(one, case, POINTS)
                row[when] = {"dice": dice, "hd95_mm": far}
            rows.append(row)
        if options.output:
            write_json(options.output, {"rows": rows})
    print("\n".join(table(rows)))


if __name__ == "__main__":
    main()
