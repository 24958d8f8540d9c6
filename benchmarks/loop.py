"""Whether corrected cases make the next ones easier: fewer points until a mask is good.

    python benchmarks/loop.py --trus FOLDER --work EMPTY_FOLDER [--corrected 10] [--points 6] [--groups 2] [-o FILE]

Cases of about ten of the unseen patients are corrected with the released weights by a simulated user
(``simulated_user.py``), who gives six points each. Then `prostate-seg refine`, `collect` and `train` do what a user
would do, with their own defaults. On the patients that are left, the same user corrects the masks of the released
and of the new weights, ten points each. It is repeated with other patients for the correction. Truth is used by the
simulated user alone: the training sees corrected masks.
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
GOOD = (0.90, 0.92, 0.94)  # Dice of a mask that needs no further point


def done(*words: str | Path) -> None:
    """Run a command of prostate-seg. Raise SystemExit if it fails."""
    if code := prostate_seg([str(word) for word in words]):
        raise SystemExit(f"prostate-seg {words[0]} ended with {code}")


def curve(predictor: Predictor, case: Case, points: int) -> tuple[list[float], list[float], Hints]:
    """Return Dice and HD95 in mm with 0, 1, ... points, and the points."""
    _, volume, truth = case
    session, user = Session(volume, predictor), SimulatedUser(volume, truth)
    dice, far = [], []
    for count in range(points + 1):
        mask = session.segmentation.mask()
        dice.append(overlap(mask, truth).dice)
        far.append(surface_distances(mask, truth, volume.spacing_mm).hd95_mm)
        if count < points:
            session.add(user.click(mask))
    return dice, far, session.hints


def trained(cases: Sequence[Case], work: Path, points: int) -> tuple[Predictor, float]:
    """Correct cases, collect and train. Return the new predictor and the mean Dice of the corrected masks."""
    work.mkdir()
    released, reached, rows = load_bundle(), [], []
    for number, case in enumerate(cases):
        image, hints = work / f"case{number:02}.nrrd", work / f"case{number:02}.json"
        write(case[1], image)
        dice, _, given = curve(released, case, points)
        write_hints(hints, Hints(items=given.items))
        done("refine", image, "-o", work / "out", "--hints", hints, "--format", "nrrd,seg-nrrd")
        reached.append(dice[-1])
        rows.append((f"case{number:02}", case[0]))
    with (work / "patients.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([("case", "patient"), *rows])
    done("collect", work / "out", "-o", work / "data", "--patients", work / "patients.csv")
    done("train", "--data", work / "data", "-o", work / "run")
    return load_bundle(work / "run" / "bundle"), float(np.mean(reached))


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
    lines = ["| | released | after the corrections | difference (95 % interval) |", "|---|---|---|---|"]

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
    parser.add_argument("--corrected", type=int, default=10)
    parser.add_argument("--points", type=int, default=6)
    parser.add_argument("--groups", type=int, default=2)
    parser.add_argument("-o", "--output", type=Path)
    options = parser.parse_args()
    options.work.mkdir(exist_ok=True)
    rows: list[dict[str, Any]] = []
    for number, (first, rest) in enumerate(groups(list(unseen(options.trus)), options.corrected, options.groups)):
        predictor, reached = trained(first, options.work / f"group{number}", options.points)
        print(f"group {number + 1}: {len(first)} cases corrected to a Dice of {reached:.3f}", file=sys.stderr)
        released = load_bundle()
        for case in rest:
            row: dict[str, Any] = {"group": number, "patient": case[0]}
            for when, one in (("before", released), ("after", predictor)):
                dice, far, _ = curve(one, case, POINTS)
                row[when] = {"dice": dice, "hd95_mm": far}
            rows.append(row)
        if options.output:
            write_json(options.output, {"rows": rows})
    print("\n".join(table(rows)))


if __name__ == "__main__":
    main()
