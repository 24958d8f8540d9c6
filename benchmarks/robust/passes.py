"""Predictions of each network for cases that it was not trained on, on the model's grid and stored on disk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from monai.inferers import SlidingWindowInferer

from benchmarks.accuracy.data import Case, Preparation
from benchmarks.accuracy.networks import CONTENDERS
from prostate_seg.inference.inferers import ScaleFlipInferer
from prostate_seg.inference.transforms import seen_in
from prostate_seg.training.engine import averaged


@dataclass(frozen=True, eq=False)
class Passes:
    """Predictions of one network for one case.

    Attributes
    ----------
    passes
        Foreground probabilities (N, I, J, K).
    affine
        Affine of their grid.
    seen
        Voxels that the image shows.
    """

    passes: np.ndarray
    affine: np.ndarray
    seen: np.ndarray

    @property
    def spacing_mm(self) -> list[float]:
        """Spacing of the model's grid."""
        return np.linalg.norm(self.affine[:3, :3], axis=0).tolist()

    def first(self) -> Passes:
        """Return the first pass alone, without its mirror image."""
        return replace(self, passes=self.passes[:1])


def members_of_fold(runs: Path, name: str, fold: int) -> list[Path]:
    """Return the runs that may be tested on a fold: first the run without it, then those without it and another."""
    pairs = sorted((runs / name).glob("without-*"))
    return [runs / name / f"fold{fold}", *(pair for pair in pairs if str(fold) in pair.name.split("-")[1:])]


def passes_of(run: Path, cases: Sequence[Case], name: str) -> dict[str, Passes]:
    """Return the passes of a run's averaged network for cases; existing passes are read from the run's folder."""
    missing = [case for case in cases if not (run / "passes" / f"{case.name}.npz").is_file()]
    if missing:
        _make(run, missing, name)
    found = {}
    for case in cases:
        with np.load(run / "passes" / f"{case.name}.npz") as content:
            found[case.name] = Passes(content["passes"].astype(np.float32), content["affine"], content["seen"])
    return found


def _make(run: Path, cases: Sequence[Case], name: str) -> None:
    contender = CONTENDERS[name]
    average = averaged(contender.make())
    average.load_state_dict(torch.load(run / "state.pt", weights_only=True)["average"])
    network = average.module.eval()
    preparation = Preparation(contender.window)
    sliding = SlidingWindowInferer(contender.window, sw_batch_size=2, overlap=0.5, mode="gaussian")
    inferer = ScaleFlipInferer(sliding, flip_axes=(0,), autocast=True)
    (run / "passes").mkdir(exist_ok=True)
    for case in cases:
        image = preparation.pad({"image": preparation.load(case)["image"]})["image"]
        _, passes = inferer.collect(image.as_tensor()[None], network)
        partial = run / "passes" / "partial.npz"
        np.savez_compressed(
            partial, passes=passes[:, 0].half().numpy(), affine=np.asarray(image.affine), seen=seen_in(image)
        )
        partial.rename(run / "passes" / f"{case.name}.npz")
