"""Seconds for a volume of 512 x 512 x 100 voxels: the first mask of a session, and hints.

    python benchmarks/large_volume.py [--rounds 3]

In every other session MONAI's ``KeepLargestConnectedComponentd`` and ``FillHolesd`` take the place of
``LargestSolidd``; the masks must be equal. Then five hints on the true boundary are timed.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from monai.transforms import FillHolesd, KeepLargestConnectedComponentd

from prostate_seg import load_bundle
from prostate_seg.cases.session import Session
from prostate_seg.errors import ProstateSegError
from prostate_seg.geometry.hints import Point
from prostate_seg.inference import LargestSolidd
from prostate_seg.phantom import make_phantom

SHAPE, SPACING_MM, SEED, HINTS = (512, 512, 100), (0.2, 0.2, 0.8), 3, 5


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    phantom = make_phantom(SEED, shape=SHAPE, spacing_mm=SPACING_MM)
    ours = load_bundle()
    monais = load_bundle()
    steps = monais._after  # what follows the network
    at = next(n for n, step in enumerate(steps) if isinstance(step, LargestSolidd))
    steps[at : at + 1] = [KeepLargestConnectedComponentd("pred"), FillHolesd("pred")]
    times: dict[str, list[float]] = {"MONAI's two transforms": [], "LargestSolidd": []}
    for _ in range(rounds):
        masks = []
        for name, predictor in zip(times, (monais, ours), strict=True):
            begun = time.perf_counter()
            session = Session(phantom.image, predictor)
            times[name].append(time.perf_counter() - begun)
            masks.append(session.segmentation.mask())
        assert np.array_equal(*masks)
    print("| first mask, seconds | median | all |\n|---|---|---|")
    for name, seconds in times.items():
        print(f"| {name} | {np.median(seconds):.2f} | {', '.join(f'{one:.2f}' for one in seconds)} |")
    boundary = np.argwhere(np.diff(phantom.structures["ctv"].astype(int), axis=0) != 0)
    affine, rng, taken = phantom.image.affine, np.random.default_rng(0), []
    while len(taken) < HINTS:
        index = boundary[rng.integers(len(boundary))] + [0.5, 0, 0]
        begun = time.perf_counter()
        try:
            session.add(Point("boundary", tuple((affine[:3, :3] @ index + affine[:3, 3]).tolist())))
        except ProstateSegError:  # it contradicts another one
            continue
        taken.append(time.perf_counter() - begun)
    print(f"\na hint: {min(taken):.2f} to {max(taken):.2f} s")


if __name__ == "__main__":
    main()
