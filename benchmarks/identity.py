"""What each part of a bundle's network is worth: the same cases with parts taken away, in one run.

    python benchmarks/identity.py [--bundle FOLDER] [--weights FILE] [--phantoms 20] [--trus FOLDER] [-o FILE]

It prints a table. FILE, in JSON, is what `prostate-seg info --network` reads (models/identity.json of a bundle).

The identity gate: a Segmenter has to lose accuracy if its transformer is taken away. One pass, without the shape
model. --trus names the folder of benchmarks/released.py; only patients that the released weights never saw count.
Intervals of the difference are bootstraps over patients (phantoms: over cases).
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from prostate_seg import Volume, load_bundle, read
from prostate_seg.evaluation.metrics import overlap
from prostate_seg.inference.released import released_bundle, weights_file
from prostate_seg.network import Segmenter, SkipDecoder
from prostate_seg.phantom import make_phantom
from prostate_seg.reading.masks import read_mask
from prostate_seg.system.digests import sha256_of_file
from prostate_seg.system.json_files import write_json

Case = tuple[str, Volume, np.ndarray]
Row = dict[str, Any]
DRAWS = 4000


@contextmanager
def as_released(network: Segmenter) -> Iterator[None]:
    """Change nothing."""
    yield


@contextmanager
def without_attention(network: Segmenter) -> Iterator[None]:
    """Let the attention branch of every block return zero."""
    hooks = [block.attn.register_forward_hook(_zero) for block in network.encoder.blocks]
    yield
    _removed(hooks)


@contextmanager
def without_blocks(network: Segmenter) -> Iterator[None]:
    """Leave all transformer blocks of the encoder out."""
    blocks = network.encoder.blocks
    network.encoder.blocks = torch.nn.ModuleList()
    yield
    network.encoder.blocks = blocks


@contextmanager
def without_tokens(network: Segmenter) -> Iterator[None]:
    """Give the decoder tokens of zero: stem and skip connections alone."""
    hook = network.decoder.register_forward_pre_hook(lambda _, inputs: (inputs[0] * 0, *inputs[1:]))
    yield
    _removed([hook])


@contextmanager
def without_skips(network: Segmenter) -> Iterator[None]:
    """Give the decoder maps of zero: the tokens alone."""

    def zeroed(_: torch.nn.Module, inputs: tuple[Tensor, tuple[int, ...], list[Tensor]]) -> tuple[object, ...]:
        tokens, grid, maps = inputs
        return tokens, grid, [part * 0 for part in maps]

    hook = network.decoder.register_forward_pre_hook(zeroed)
    yield
    _removed([hook])


EDITS: dict[str, Callable[[Segmenter], object]] = {
    "as released": as_released,
    "attention branches return zero": without_attention,
    "encoder blocks removed": without_blocks,
    "tokens zero: stem and skips alone": without_tokens,
    "skips zero: tokens alone": without_skips,
}
OF_SKIPS = (without_tokens, without_skips)  # they part what a decoder with skip connections adds up


def _zero(_: torch.nn.Module, inputs: object, output: Tensor) -> Tensor:
    return output * 0


def _removed(hooks: list[torch.utils.hooks.RemovableHandle]) -> None:
    for hook in hooks:
        hook.remove()


def unseen(folder: Path) -> Iterator[Case]:
    """Yield patient, image and mask of the cases whose patients the released weights never saw."""
    with (folder / "cases.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["patient_in_trus27"] == "no"]
    for row in rows:
        label = read_mask(folder / "labels" / f"{row['case']}.nii.gz")
        yield row["patient"], read(folder / "images" / f"{row['case']}.nii.gz"), label.mask()


def phantoms(count: int) -> Iterator[Case]:
    """Yield phantoms of seeds 0, 1, ...; the CTV is the truth."""
    for seed in range(count):
        phantom = make_phantom(seed)
        yield f"phantom{seed}", phantom.image, phantom.structures["ctv"]


def interval(differences: np.ndarray, patients: list[str]) -> tuple[float, float]:
    """Return the 95 % bootstrap interval of a mean difference, over patients."""
    names = sorted(set(patients))
    sums = np.array([[differences[[p == name for p in patients]].sum(), patients.count(name)] for name in names])
    drawn = np.random.default_rng(0).integers(0, len(names), (DRAWS, len(names)))
    totals = sums[drawn].sum(axis=1)
    low, high = np.percentile(totals[:, 0] / totals[:, 1], (2.5, 97.5))
    return float(low), float(high)


def rows(name: str, cases: list[Case], predict: Callable[[Volume], np.ndarray], network: Segmenter) -> list[Row]:
    """Return a row for each edit of the network; all numbers are Dice."""
    patients, made = [case[0] for case in cases], []
    first: np.ndarray | None = None
    for edit, edited in EDITS.items():
        if edited in OF_SKIPS and not isinstance(network.decoder, SkipDecoder):
            continue
        with edited(network):  # type: ignore[attr-defined]
            dice = np.array([overlap(predict(volume), truth).dice for _, volume, truth in cases])
        print(f"{name}, {edit}: {dice.mean():.3f}", file=sys.stderr)
        row: Row = {"set": name, "cases": len(cases), "network": edit, "dice": dice.mean(), "worst": dice.min()}
        if first is None:
            first = dice
            row |= {"lost": None, "low": None, "high": None}
        else:
            low, high = interval(dice - first, patients)
            row |= {"lost": (dice - first).mean(), "low": low, "high": high}
        made.append(
            {key: round(float(value), 4) if isinstance(value, float) else value for key, value in row.items()}
        )
    return made


def table(measured: list[Row]) -> Iterator[str]:
    """Yield the lines of a table in Markdown."""
    yield "| cases | network | mean Dice | worst | lost (95 % interval) |"
    yield "|---|---|---|---|---|"
    for row in measured:
        lost = "" if row["lost"] is None else f"{row['lost']:+.3f} ({row['low']:+.3f} to {row['high']:+.3f})"
        cases = f"{row['set']}, {row['cases']}"
        yield f"| {cases} | {row['network']} | {row['dice']:.3f} | {row['worst']:.3f} | {lost} |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bundle", type=Path)
    parser.add_argument("--weights", default="released")
    parser.add_argument("--phantoms", type=int, default=20)
    parser.add_argument("--trus", type=Path)
    parser.add_argument("-o", "--output", type=Path)
    options = parser.parse_args()
    predictor = load_bundle(options.bundle, weights=options.weights, ensembling="none", refine=False)
    network = predictor.network
    assert isinstance(network, Segmenter)

    def predict(volume: Volume) -> np.ndarray:
        return np.asarray(predictor(volume).mask())

    measured: list[Row] = []
    if options.trus:
        measured += rows("low-passed TRUS, unseen patients", list(unseen(options.trus)), predict, network)
    if options.phantoms:
        measured += rows("phantoms", list(phantoms(options.phantoms)), predict, network)
    print("\n".join(table(measured)))
    if options.output:
        weights = weights_file(options.bundle or released_bundle(), options.weights)
        write_json(options.output, {"weights_sha256": sha256_of_file(weights), "rows": measured})


if __name__ == "__main__":
    main()
