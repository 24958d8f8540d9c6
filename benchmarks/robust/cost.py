"""What an ensemble of five and the shape model cost, beside one model, in the same run on one core.

OMP_NUM_THREADS=1 python -m benchmarks.robust.cost [--repeats 7]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np

from prostate_seg import load_bundle
from prostate_seg.inference.transforms import seen_in
from prostate_seg.network import Ensemble
from prostate_seg.phantom import make_phantom

SEED, MEMBERS = 3, 5


def median_s(run: Callable[[], object], repeats: int) -> float:
    """Return the median time of several runs, after one run that does not count."""
    run()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return float(np.median(times))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()
    predictor, volume = load_bundle(), make_phantom(SEED).image
    found = predictor.predict(volume)
    assert predictor.assessor is not None
    image, field, passes, spacing = found.image, found.unrepaired, found.passes, found.spacing_mm
    batch, seen = image.as_tensor()[None], seen_in(image)
    ensemble = Ensemble(predictor.network, MEMBERS).eval()
    model, assessor = predictor.assessor.model, predictor.assessor
    rows = {
        "network, one model": lambda: predictor.inferer(batch, predictor.network),
        "network, five members": lambda: predictor.inferer(batch, ensemble),
        "shape model": lambda: model.refine(field, spacing, seen),
        "doubt and checks": lambda: assessor.assess(
            field, passes, spacing, unrepaired=field, kinds=predictor.kinds(volume, image), seen=seen
        ),
        "everything but the file": lambda: predictor.assess(volume),
    }
    found = {name: median_s(run, options.repeats) for name, run in rows.items()}
    first = found["network, one model"]
    print("| what | seconds | times one model's network |\n|---|---|---|")
    for name, seconds in found.items():
        print(f"| {name} | {seconds:.3f} | {seconds / first:.2f} |")


if __name__ == "__main__":
    main()
