"""Fits the recognition of scans that goes with a bundle's weights.

    python data_prep/recognition.py -o recognition.npz [--bundle FOLDER] [--phantoms 460] [--volumes FOLDER]
        [--others FOLDER] [--others-count 40]

There are three kinds of scans. Upright scans are phantoms (seeds from 7000000) and the volumes of a folder; each of
these volumes counts three times. Upside-down scans are the same scans, turned. Other scans are phantoms without a
prostate, and volumes stacked from the pictures of a folder (the first --others-count by name); they are used
upright and upside down.

The released file was fitted with the images of trus27 and the first 40 pictures of usgra-seg.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from prostate_seg import Volume, load_bundle, read
from prostate_seg.assessment.recognition import OTHER, PROSTATE, UPSIDE_DOWN, Recognition
from prostate_seg.inference.predictor import Predictor
from prostate_seg.phantom import make_phantom, without_prostate

FIRST = 7_000_000
SIDE = 512
VOLUMES_COUNT = 3


def stacked(pictures: list[Path], seed: int) -> Volume:
    """Stack pictures to a volume of 8 to 39 slices.

    The slices are the pictures in random order, or one picture repeated. Pixels are 0.12 to 0.3 mm, the slices are
    1 to 5 mm apart.
    """
    rng = np.random.default_rng(seed)
    count = int(rng.integers(8, 40))
    mixed = rng.random() < 0.5
    chosen = rng.permutation(len(pictures)) if mixed else [int(rng.integers(len(pictures)))]
    slices = []
    for number in range(count):
        picture = Image.open(pictures[chosen[number % len(chosen)]]).convert("L")
        slices.append(np.asarray(picture.resize((SIDE, SIDE))).T)
    pixel, gap = float(rng.uniform(0.12, 0.3)), float(rng.uniform(1, 5))
    return Volume(np.stack(slices, axis=-1), np.diag([-pixel, -pixel, gap, 1.0]))


def scans(options: argparse.Namespace) -> Iterator[tuple[Volume, bool, int]]:
    """Yield each scan, whether it shows a prostate, and how many times it counts."""
    pictures = sorted(options.others.rglob("*.png"))[: options.others_count] if options.others else []
    for seed in range(FIRST, FIRST + options.phantoms):
        yield make_phantom(seed).image, True, 1
        yield make_phantom(seed, settings=without_prostate(seed)).image, False, 1
        if pictures:
            yield stacked(pictures, seed), False, 1
    for file in sorted(options.volumes.iterdir()) if options.volumes else []:
        yield read(file), True, VOLUMES_COUNT


def fitted(predictor: Predictor, options: argparse.Namespace) -> Recognition:
    """Fit the recognition to all scans."""
    features, kinds = [], []
    for volume, prostate, count in scans(options):
        upright, turned = predictor.features(volume)
        features += [upright, turned] * count
        kinds += ([PROSTATE, UPSIDE_DOWN] if prostate else [OTHER, OTHER]) * count
    return Recognition.fit(np.stack(features), kinds, weights_sha256=predictor.info.sha256)


def main() -> None:
    """Fit the recognition and write the file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--bundle", type=Path)
    parser.add_argument("--phantoms", type=int, default=460)
    parser.add_argument("--volumes", type=Path)
    parser.add_argument("--others", type=Path)
    parser.add_argument("--others-count", type=int, default=40)
    options = parser.parse_args()
    fitted(load_bundle(options.bundle), options).save(options.output)


if __name__ == "__main__":
    main()
