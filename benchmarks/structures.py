"""Accuracy of the structures beside the CTV on unseen phantoms, their cost, and a baseline that ignores the image.

    python benchmarks/structures.py [--bundle FOLDER] [--phantoms 40] [--families 8] [--trus FOLDER]

Phantoms have the seeds 0, 1, 2, ...; those of the families (families.py) the seeds 300, 301, ... Training uses
seeds from 1000000. Truth outside the field of view is left out: nothing can be seen there. A case in which a
structure has fewer than 20 voxels does not count for it. The baseline is the mean mask of 40 other phantoms around
the centre of the true CTV, at a threshold of 0.5. "visible urethra" are the cases whose urethra holds gel or a
catheter, "5 mL or more" those whose bladder is not a sliver in the last slices.

The cost is that of Predictor.assess with and without structures, alternating on the same phantoms; memory is the
largest resident size of a process that segments the first phantom.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
from families import FAMILIES, phantom_of
from released import HEAD as RELEASED_HEAD
from released import low_passed

from prostate_seg import load_bundle
from prostate_seg.evaluation.metrics import diagonal_mm, evaluate_masks, panoptic_counts, panoptic_quality
from prostate_seg.evaluation.summary import summarise
from prostate_seg.geometry.structures import CTV, key, structure
from prostate_seg.phantom import Phantom
from prostate_seg.reading.field_of_view import field_of_view

FEWEST_VOXELS = 20
LARGE_ML = 5.0  # of a bladder; a smaller one is a sliver in the last slices
FIRST_OF_FAMILIES, FIRST_OF_BASELINE = 300, 100
STEP_MM, REACH_MM = (1.6, 1.6, 2.0), 64.0
HEAD = (
    "| set | structure | cases | mean Dice (95 % interval) | worst | HD95 mm, median | PQ |\n"
    "|---|---|---|---|---|---|---|"
)


def truth_of(phantom: Phantom) -> dict[str, np.ndarray]:
    """Return the visible truth of each structure, by its name in the table."""
    seen = field_of_view(phantom.image.array)[..., None]
    return {structure(name).name: mask & seen for name, mask in phantom.structures.items()}


class Rows:
    """Scores of a set by structure."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.metrics: dict[str, list] = {}
        self.diagonals: dict[str, list[float]] = {}
        self.panoptic: list = []

    def add(self, found: dict[str, np.ndarray], truth: dict[str, np.ndarray], spacing: tuple[float, ...]) -> None:
        """Score a case."""
        shown = {name: mask for name, mask in truth.items() if np.count_nonzero(mask) >= FEWEST_VOXELS}
        for name, mask in shown.items():
            drawn = found.get(name, np.zeros_like(mask))
            self.metrics.setdefault(name, []).append(evaluate_masks(drawn, mask, spacing))
            self.diagonals.setdefault(name, []).append(diagonal_mm(mask.shape, spacing))
        self.panoptic.append(panoptic_counts({name: found[name] for name in shown if name in found}, shown))

    def lines(self) -> list[str]:
        """Return a row for each structure."""
        quality = panoptic_quality(self.panoptic)
        rows = []
        for name, metrics in self.metrics.items():
            found = summarise(metrics, self.diagonals[name])
            dice = found["dice"]
            interval = "" if dice.mean_low is None else f" ({dice.mean_low:.3f} to {dice.mean_high:.3f})"
            cells = (
                *(self.name, name, len(metrics), f"{dice.mean:.3f}{interval}"),
                *(f"{min(row.dice for row in metrics):.3f}", f"{found['hd95_mm'].median:.1f}"),
                f"{quality[name].quality or 0:.3f}",
            )
            rows.append(f"| {' | '.join(map(str, cells))} |")
        every = [one.quality for one in quality.values() if one.quality is not None]
        return [*rows, f"| {self.name} | over all structures | | | | | {np.mean(every):.3f} |"]


def masks_of(predictor, phantom: Phantom) -> dict[str, np.ndarray]:
    """Return the masks of all structures."""
    found = predictor(phantom.image)
    return {CTV: found.mask(), **found.structures}


def scored(predictor, name: str, phantoms: Iterable[Phantom]) -> list[str]:
    """Score phantoms and return their rows."""
    rows, visible = Rows(name), Rows(f"{name}, visible urethra")
    large = Rows(f"{name}, {LARGE_ML:g} mL or more")
    for phantom in phantoms:
        found, truth = masks_of(predictor, phantom), truth_of(phantom)
        rows.add(found, truth, phantom.image.spacing_mm)
        if phantom.settings.tissue.urethra_kind != "none":
            visible.add({"Urethra": found["Urethra"]}, {"Urethra": truth["Urethra"]}, phantom.image.spacing_mm)
        if truth["Bladder"].sum() * np.prod(phantom.image.spacing_mm) >= 1000 * LARGE_ML:
            large.add({"Bladder": found["Bladder"]}, {"Bladder": truth["Bladder"]}, phantom.image.spacing_mm)
    return [*rows.lines(), *visible.lines()[:-1], *large.lines()[:-1]]


def around_ctv(mask: np.ndarray, ctv: np.ndarray, spacing: tuple[float, ...], points: np.ndarray) -> np.ndarray:
    """Return a mask at points in mm from the centre of the CTV."""
    centre = np.argwhere(ctv).mean(axis=0)
    index = np.rint(points / spacing + centre).astype(int)
    inside = ((index >= 0) & (index < mask.shape)).all(axis=-1)
    clipped = index.clip(0, np.array(mask.shape) - 1)
    return mask[tuple(np.moveaxis(clipped, -1, 0))] & inside


def baseline(seeds: range, others: range) -> list[str]:
    """Score the mean mask of other phantoms around the centre of the true CTV."""
    axes = [np.arange(-REACH_MM, REACH_MM + 1e-6, step) for step in STEP_MM]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    total: dict[str, np.ndarray] = {}
    for seed in others:
        phantom = phantom_of("as trained", seed)
        truth = truth_of(phantom)
        for name, mask in truth.items():
            part = around_ctv(mask, phantom.structures[key(CTV)], phantom.image.spacing_mm, points)
            total[name] = total.get(name, np.zeros(part.shape)) + part
    rows = Rows("mean mask around the true CTV")
    for seed in seeds:
        phantom = phantom_of("as trained", seed)
        spacing, shape = phantom.image.spacing_mm, phantom.image.array.shape
        centre = np.argwhere(phantom.structures[key(CTV)]).mean(axis=0)
        voxels = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
        at = np.rint(((voxels - centre) * spacing + REACH_MM) / STEP_MM).astype(int)
        inside = ((at >= 0) & (at < points.shape[:3])).all(axis=-1)
        at = tuple(np.moveaxis(at.clip(0, np.array(points.shape[:3]) - 1), -1, 0))
        found = {name: (mean[at] >= len(others) / 2) & inside for name, mean in total.items()}
        rows.add(found, truth_of(phantom), spacing)
    return rows.lines()


def second_look(bundle: Path | None, seeds: range) -> list[str]:
    """Return what the second look brings to the urethra, by what the urethra holds.

    "noise" puts white noise in the place of the image that the second look sees.
    """
    predictor = load_bundle(bundle, structures=["Urethra"])
    look = predictor.further.second
    predictor.further = replace(predictor.further, second=None)
    rows: dict[str, list[list[float]]] = {}
    for seed in seeds:
        phantom = phantom_of("as trained", seed)
        first, true = predictor(phantom.image), truth_of(phantom)["Urethra"]
        ctv, found = first.mask(), first.structures["Urethra"]
        noise = np.random.default_rng(seed).integers(0, 256, phantom.image.array.shape, np.uint8)
        masks = [found, *(look(image, ctv, found) for image in (phantom.image, phantom.image.with_array(noise)))]
        scores = [2 * np.count_nonzero(mask & true) / (mask.sum() + true.sum()) for mask in masks]
        for name in (phantom.settings.tissue.urethra_kind, "all"):
            rows.setdefault(name, []).append(scores)
    lines = [
        "| urethra | cases | first network | second look | gain (95 % interval) | noise |",
        "|---|---|---|---|---|---|",
    ]
    for name in ("none", "gel", "foley", "all"):
        scores = np.array(rows[name])
        gain = scores[:, 1] - scores[:, 0]
        draws = np.random.default_rng(0).integers(0, len(gain), (5000, len(gain)))
        low, high = np.percentile(gain[draws].mean(axis=1), [2.5, 97.5])
        first, second, without = (f"{value:.3f}" for value in scores.mean(axis=0))
        gained = f"{gain.mean():+.3f} ({low:+.3f} to {high:+.3f})"
        lines.append(f"| {name} | {len(gain)} | {first} | {second} | {gained} | {without} |")
    return lines


def partial_labels(bundle: Path | None, folder: Path) -> list[str]:
    """Return the accuracy of the CTV on real volumes, of the network of structures and of the CTV's own network.

    The network of structures was trained on real volumes that label the CTV alone and on phantoms that label
    everything, from the weights of the CTV's network. Both make one pass, without the shape model.
    """
    rows = []
    for name in ("network of structures", "network of the CTV"):
        predictor = load_bundle(bundle, ensembling="none", refine=False, structures="all")
        if name == "network of structures":
            predictor.network = predictor.further.structures.network
        predictor.further = None
        row = low_passed(lambda volume, one=predictor: np.asarray(one(volume).mask()), folder)[0]
        rows.append(row.replace("low-passed TRUS, unseen patients", f"CTV of the {name}"))
    return [*RELEASED_HEAD, *rows]


def cost(bundle: Path | None, seeds: range) -> list[str]:
    """Return the time of a case with structures over that without, and the largest memory of both."""
    alone, more = load_bundle(bundle), load_bundle(bundle, structures="all")
    ratios, seconds = [], []
    for seed in seeds:
        image, spent = phantom_of("as trained", seed).image, []
        for predictor in (alone, more):
            predictor.assess(image)
            begin = time.perf_counter()
            predictor.assess(image)
            spent.append(time.perf_counter() - begin)
        seconds.append(spent)
        ratios.append(spent[1] / spent[0])
    memory = [_memory(bundle, seeds[0], names) for names in ("CTV", "all")]
    first, second = np.median(seconds, axis=0)
    return [
        f"Time of a case: {first:.2f} s without, {second:.2f} s with all structures (ratio, median of {len(seeds)} "
        f"phantoms: {np.median(ratios):.2f}). Memory: {memory[0]:.0f} and {memory[1]:.0f} MB (ratio "
        f"{memory[1] / memory[0]:.2f})."
    ]


def _memory(bundle: Path | None, seed: int, names: str) -> float:
    code = (
        "import sys, resource; sys.path.insert(0, 'benchmarks'); from families import phantom_of; "
        "from prostate_seg import load_bundle; "
        f"load_bundle({str(bundle) if bundle else None!r}, structures={names!r})"
        f".assess(phantom_of('as trained', {seed}).image); "
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return int(done.stdout.split()[-1]) / 1024


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bundle", type=Path)
    parser.add_argument("--phantoms", type=int, default=40)
    parser.add_argument("--families", type=int, default=0, help="phantoms of each family")
    parser.add_argument("--trus", type=Path, help="low-passed volumes, for the CTV of both networks")
    parser.add_argument("--no-baseline", action="store_true")
    parser.add_argument("-o", "--output", type=Path)
    options = parser.parse_args()
    predictor = load_bundle(options.bundle, structures="all")
    seeds = range(options.phantoms)
    lines = [HEAD, *scored(predictor, "phantoms", (phantom_of("as trained", seed) for seed in seeds))]
    print(*lines, sep="\n", flush=True)
    families = [name for name in FAMILIES if name != "as trained"] if options.families else []
    for family in families:
        drawn = (phantom_of(family, FIRST_OF_FAMILIES + n) for n in range(options.families))
        lines += scored(predictor, family, drawn)
        print(f"{family} done", file=sys.stderr)
    if not options.no_baseline:
        lines += baseline(seeds, range(FIRST_OF_BASELINE, FIRST_OF_BASELINE + 40))
    lines += ["", *second_look(options.bundle, seeds)]
    if options.trus:
        lines += ["", *partial_labels(options.bundle, options.trus)]
    lines += ["", *cost(options.bundle, seeds[:8])]
    print("\n".join(lines))
    if options.output:
        options.output.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
