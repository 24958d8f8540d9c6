"""Accuracy of needles, seeds and calcifications on unseen phantoms, and a baseline without a network.

    python benchmarks/things.py [--bundle FOLDER] [--phantoms 40] [--families 8] [--trus FOLDER]

Phantoms with implants have the seeds 0, 1, 2, ...; those of the families (families.py) the seeds 300, 301, ...
Training uses seeds from 1000000. The whole pipeline runs: the CTV that it finds says where things are looked for.
A match lies within 2 mm: of the tip for needles, of the centre for the others. Recognition quality (RQ) is the F1
score over all phantoms of a set; its 95 % interval at 2 mm is a bootstrap over them.

"brightness" replaces the network's maps by the gray values of the image, so that what the network adds can be seen.
"low-passed" are phantoms of the same seeds with the blur of volumes that were published as such, 0.8 to 2.4 mm.
"white" is the share of the CTV's voxels that have the largest gray value, mostly because of the gain.
Up to 40 phantoms have no needles and seeds, and --trus names a folder with real volumes in images/ that hold none:
whatever is found there is invented.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from families import FAMILIES

from prostate_seg import Volume, load_bundle, read
from prostate_seg.evaluation.metrics.things import ThingMatches, match_things
from prostate_seg.geometry.things import Thing, grouped
from prostate_seg.phantom import Phantom, PhantomSettings, draw_settings, make_phantom, with_implants

NAMES = ("Needle", "Seed", "Calcification")
FIRST_OF_FAMILIES = 300
RESAMPLES = 10_000
FEWEST = 8  # phantoms that have an interval
THICK_MM = 2.5  # distance of slices that separates two rows
WHITE = {"at most 2 % white": (-1.0, 0.02), "2 to 20 % white": (0.02, 0.2), "more than 20 % white": (0.2, 1.0)}
PLANNED = 40  # phantoms that the planned figures are of; as many have no implants
TIMED = 8  # phantoms whose time is measured
Finder = Callable[[Volume], Iterable[Thing]]
HEAD = (
    "| set | structure | true | RQ at 1 mm | at 2 mm | at 3 mm | missed | invented | error mm, median | "
    "angle deg, median |\n|---|---|---|---|---|---|---|---|---|---|"
)


def brightness(channels: int) -> torch.nn.Module:
    """Return a network whose maps are the gray values of the image, the same for each structure."""

    class Brightness(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.logit(x.clamp(1e-3, 1 - 1e-3)).repeat(1, channels, 1, 1, 1)

    return Brightness()


def implanted(number: int, family: str = "as trained") -> Phantom:
    """Make the phantom of a seed with implants, changed by a family."""
    rng = np.random.default_rng((number, 777))
    return make_phantom(number, settings=FAMILIES[family](with_implants(number), rng))


def low_passed(number: int) -> Phantom:
    """Make the phantom of a seed with implants and a blur of 0.8 to 2.4 mm."""
    settings = with_implants(number)
    blur = float(np.random.default_rng((number, 778)).uniform(0.8, 2.4))
    return make_phantom(number, settings=replace(settings, scan=replace(settings.scan, blur_mm=blur)))


def without_implants(number: int) -> PhantomSettings:
    """Return the settings of a seed without needles and seeds; its calcifications stay."""
    drawn = draw_settings(number)
    scan = replace(drawn.scan, blur_mm=min(drawn.scan.blur_mm, 0.4))
    return PhantomSettings(drawn.anatomy, replace(drawn.tissue, needles=0), scan)


@dataclass(frozen=True)
class Case:
    """Distance of a phantom's slices in mm, share of its CTV that is white, and its matches by structure."""

    step_mm: float
    white: float
    pairs: dict[str, list[ThingMatches]]


def matches(finder: Finder, phantoms: Iterable[Phantom]) -> list[Case]:
    """Find the things of phantoms and match them with the truth."""
    found = []
    for phantom in phantoms:
        drawn, truth = grouped(finder(phantom.image)), grouped(phantom.things)
        pairs = {name: match_things(drawn.get(name, []), truth.get(name, [])) for name in NAMES}
        gray = phantom.image.array[phantom.structures["ctv"]]
        found.append(Case(phantom.image.spacing_mm[2], float((gray >= 255).mean()), pairs))
        print(f"{len(found)}: {[pairs[name][1].recognition_quality for name in NAMES]}", file=sys.stderr)
    return found


def interval(cases: Sequence[ThingMatches]) -> str:
    """Return the 95 % bootstrap interval of the recognition quality over phantoms; none below 8."""
    if len(cases) < FEWEST:
        return ""
    counts = np.array([(2 * len(one.errors_mm), one.missed + one.invented) for one in cases])
    drawn = np.random.default_rng(0).integers(0, len(cases), (RESAMPLES, len(cases)))
    found, wrong = np.moveaxis(counts[drawn].sum(axis=1), -1, 0)
    low, high = np.percentile(found / np.maximum(found + wrong, 1), (2.5, 97.5))
    return f" ({low:.3f} to {high:.3f})"


def show(name: str, cases: Sequence[Case]) -> None:
    """Print the rows of a set of cases; none without cases, because an empty line would end the table."""
    if cases:
        print(*lines(f"{name}, {len(cases)}", cases), sep="\n", flush=True)


def lines(name: str, cases: Sequence[Case]) -> list[str]:
    """Return a row for each structure."""
    rows = []
    for structure in NAMES:
        parts = list(zip(*(case.pairs[structure] for case in cases), strict=True))
        near, middle, far = (sum(part, ThingMatches(part[0].limit_mm)) for part in parts)
        total = len(middle.errors_mm) + middle.missed
        rq = [f"{one.recognition_quality or 0:.3f}" for one in (near, middle, far)]
        rq[1] += interval(parts[1])
        error, angle = (f"{np.median(values):.2f}" if values else "" for values in (far.errors_mm, far.angles_deg))
        cells = (name, structure, total, *rq, middle.missed, middle.invented, error, angle)
        rows.append(f"| {' | '.join(map(str, cells))} |")
    return rows


def invented(finder: Finder, volumes: Iterable[Volume]) -> str:
    """Return how many things of each structure are found in a volume, on average."""
    counts = [{name: len(grouped(finder(volume)).get(name, [])) for name in NAMES} for volume in volumes]
    told = (f"{np.mean([count[name] for count in counts]):.1f} {name.lower()}s" for name in NAMES[:2])
    return f"{len(counts)} volumes: {', '.join(told)} a volume"


def cost(bundle: Path | None, seeds: range) -> str:
    """Return the time of a case with and without things."""
    alone, more = load_bundle(bundle), load_bundle(bundle, structures=NAMES)
    seconds = []
    for image in (implanted(number).image for number in seeds):
        spent = []
        for predictor in (alone, more):
            predictor(image)
            begin = time.perf_counter()
            predictor(image)
            spent.append(time.perf_counter() - begin)
        seconds.append(spent)
    first, second = np.median(seconds, axis=0)
    return (
        f"Time of a case, median of {len(seconds)} phantoms: {first:.2f} s for the CTV, {second:.2f} s with things."
    )


def main() -> None:
    """Print the tables as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path)
    parser.add_argument("--phantoms", type=int, default=40)
    parser.add_argument("--families", type=int, default=8)
    parser.add_argument("--trus", type=Path)
    options = parser.parse_args()
    predictor = load_bundle(options.bundle, structures=NAMES)

    def finder(volume: Volume) -> Iterable[Thing]:
        return predictor(volume).things

    begin = time.perf_counter()
    seeds = range(options.phantoms)
    found = matches(finder, map(implanted, seeds))
    print(HEAD)
    for count in sorted({min(PLANNED, len(found)), len(found)}):
        print(*lines(f"phantoms, seeds 0 to {count - 1}", found[:count]), sep="\n")
    for name, thick in (("slices up to 2 mm apart", False), ("slices 3 to 5 mm apart", True)):
        show(name, [case for case in found if (case.step_mm > THICK_MM) == thick])
    for name, (low, high) in WHITE.items():
        show(name, [case for case in found if low < case.white <= high])
    families = range(FIRST_OF_FAMILIES, FIRST_OF_FAMILIES + options.families)
    for family in [name for name in FAMILIES if name != "as trained"] if options.families else []:
        show(family, matches(finder, (implanted(number, family) for number in families)))
    show("low-passed", matches(finder, map(low_passed, seeds[: options.families or 1])))
    plain = (make_phantom(number, settings=without_implants(number)).image for number in seeds[:PLANNED])
    print(f"\nInvented without implants, {invented(finder, plain)}.")
    if options.trus:
        files = sorted((options.trus / "images").iterdir())
        print(f"Invented in real volumes without implants, {invented(finder, map(read, files))}.")
    print(f"\n{cost(options.bundle, seeds[:TIMED])}", flush=True)
    assert predictor.further is not None
    network = brightness(len(NAMES))
    things = predictor.further.things
    predictor.further = replace(predictor.further, things=replace(things, network=network))
    print(f"\n{HEAD}")
    few = seeds[: options.families or 1]  # an image has thousands of peaks
    show("brightness", matches(finder, map(implanted, few)))
    print(f"\n{time.perf_counter() - begin:.0f} s.", file=sys.stderr)


if __name__ == "__main__":
    main()
