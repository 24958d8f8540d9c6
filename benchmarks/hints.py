"""What hints are worth: simulated users on unseen real volumes and phantoms, beside simpler ways.

    python benchmarks/hints.py [--trus FOLDER] [--phantoms 40] [-o FILE]

Rows: no hint; the end planes by slice numbers that are off by one at random, and plain cutting at them; 1 to 10
points on the boundary where the mask is most wrong; as many in a plain edit (a push brush of 8 mm), each where its
mask is most wrong; planes and points without the network of hints ("kriging alone"); points where the session
suggests them; planes and points; every second or third planning slice contoured, judged on the slices between them,
beside interpolation of the contours. Intervals are bootstraps over patients (phantoms: over cases).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from identity import Case, interval, phantoms, unseen
from simulated_user import SimulatedUser, edited

from prostate_seg import load_bundle
from prostate_seg.cases.session import Session
from prostate_seg.correction.between import signed_distance_mm
from prostate_seg.correction.placed import placed
from prostate_seg.evaluation.metrics import overlap, surface_distances
from prostate_seg.system.json_files import write_json

POINTS = 10
Figures = dict[str, list[tuple[float, float]]]


def measured(session: Session, user: SimulatedUser, rng: np.random.Generator) -> dict[str, tuple[float, float]]:
    """Return Dice and HD95 in mm of one case by the way it was corrected."""
    truth = user.truth
    found: dict[str, tuple[float, float]] = {}

    def note(name: str, mask: np.ndarray) -> None:
        far = surface_distances(mask, truth, session.volume.spacing_mm)
        found[name] = (overlap(mask, truth).dice, far.hd95_mm)

    def reset() -> np.ndarray:
        return session.clear().mask()

    first = reset()
    note("no hint", first)
    planes = user.planes(rng)
    note("end planes", session.add(*planes).mask())
    cut, empty = first.copy(), placed(session.hints, session.volume).empty_slices()
    np.moveaxis(cut, user.slices.axis, 2)[..., empty] = False
    note("plain cutting at the planes", cut)
    for count in range(1, 4):
        click = user.click(session.segmentation.mask(), empty=empty)
        note(f"end planes, {count} points", session.add(click).mask())
    for name, farthest in (("points", False), ("points, each where the error is largest", True)):
        mask = plain = reset()
        for count in range(1, POINTS + 1):
            click = user.click(mask, farthest=farthest)
            mask = session.add(click).mask()
            note(f"{count} {name}", mask)
            if not farthest:
                plain = edited(plain, _index(user, user.click(plain).at_mm), user.spacing)
                note(f"{count} points, plain edit", plain)
    network, session.network = session.network, None
    reset()
    note("end planes, kriging alone", session.add(*planes).mask())
    mask = reset()
    for count in range(1, POINTS + 1):
        mask = session.add(user.click(mask)).mask()
        note(f"{count} points, kriging alone", mask)
    session.network = network
    reset()
    for count in range(1, 7):
        suggestion = session.suggest()
        if suggestion is None:
            break
        note(f"{count} suggested points", session.add(user.nearest(suggestion.at_mm)).mask())
    reset()
    return found


def _index(user: SimulatedUser, at_mm: Any) -> np.ndarray:
    inverse = np.linalg.inv(user.volume.affine)
    return np.asarray(inverse[:3, :3] @ np.asarray(at_mm) + inverse[:3, 3])


def between(session: Session, user: SimulatedUser, every: int) -> dict[str, float]:
    """Return the Dice on the slices between contours on every n-th planning slice."""
    known = user.contoured(every)
    wanted = [k for k in range(known[0], known[-1]) if k not in known]
    if len(known) < 2 or not wanted:
        return {}
    axis = user.slices.axis
    truth = np.moveaxis(user.truth, axis, 2)
    before = np.moveaxis(session.segmentation.mask(), axis, 2)
    after = np.moveaxis(session.add(*(user.contour(k) for k in known)).mask(), axis, 2)
    pixel = tuple(float(mm) for mm in np.delete(user.spacing, axis))
    distances = {k: signed_distance_mm(truth[..., k], pixel) for k in known}  # type: ignore[arg-type]
    plain = np.zeros_like(truth)
    for low, high in pairwise(known):
        for k in range(low + 1, high):
            share = (k - low) / (high - low)
            plain[..., k] = (1 - share) * distances[low] + share * distances[high] > 0
    session.clear()
    ways = {"no hint": before, "interpolated contours": plain, "contours as hints": after}
    name = f"between every {every}. planning slice"
    return {f"{name}: {way}": overlap(mask[..., wanted], truth[..., wanted]).dice for way, mask in ways.items()}


def table(name: str, cases: list[Case]) -> Iterator[dict[str, Any]]:
    """Yield the rows of a set of cases."""
    predictor, rng = load_bundle(), np.random.default_rng(0)
    found: dict[str, list[tuple[str, float, float]]] = {}
    first: dict[str, dict[str, float]] = {}
    for number, (patient, volume, truth) in enumerate(cases):
        session, user = Session(volume, predictor), SimulatedUser(volume, truth)
        every = measured(session, user, rng)
        slices = {way: (dice, np.nan) for n in (2, 3) for way, dice in between(session, user, n).items()}
        for way, (dice, far) in (every | slices).items():
            found.setdefault(way, []).append((patient, dice, far))
            start = slices[f"{way.split(':')[0]}: no hint"][0] if ":" in way else every["no hint"][0]
            first.setdefault(way, {})[str(len(found[way]))] = start
        print(f"{name} {number + 1} of {len(cases)}", file=sys.stderr)
    for way, entries in found.items():
        patients = [patient for patient, _, _ in entries]
        dice, far = (np.array([entry[n] for entry in entries], float) for n in (1, 2))
        gain = dice - np.array(list(first[way].values()))
        low, high = interval(gain, patients)
        yield {
            "set": name,
            "cases": len(entries),
            "way": way,
            "dice": round(float(dice.mean()), 4),
            "gain": [round(float(gain.mean()), 4), round(low, 4), round(high, 4)],
            "worse": int((gain < -0.005).sum()),
            "hd95_mm": None if np.isnan(far).all() else round(float(far.mean()), 2),
        }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--phantoms", type=int, default=40)
    parser.add_argument("--trus", type=Path)
    parser.add_argument("-o", "--output", type=Path)
    options = parser.parse_args()
    rows: list[dict[str, Any]] = []
    if options.trus:
        rows += table("low-passed TRUS, unseen patients", list(unseen(options.trus)))
    if options.phantoms:
        rows += table("phantoms", list(phantoms(options.phantoms)))
    print("| cases | hints | mean Dice | gain (95 % interval) | worse by more than 0.005 | HD95 mm |")
    print("|---|---|---|---|---|---|")
    for row in rows:
        gain, low, high = row["gain"]
        far = "" if row["hd95_mm"] is None else f"{row['hd95_mm']:.2f}"
        print(
            f"| {row['set']}, {row['cases']} | {row['way']} | {row['dice']:.3f} | {gain:+.3f} ({low:+.3f} to "
            f"{high:+.3f}) | {row['worse']} | {far} |"
        )
    if options.output:
        write_json(options.output, {"rows": rows})


if __name__ == "__main__":
    main()
