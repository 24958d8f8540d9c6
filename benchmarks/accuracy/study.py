"""Training, segmentation and scoring of one network on one split; and the mean shape for comparison."""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from monai.transforms import KeepLargestConnectedComponent

from prostate_seg import Segmentation, write
from prostate_seg.evaluation import evaluate_folders, write_results
from prostate_seg.reading.masks import read_mask

from .data import Case, some
from .fit import Budget, Run
from .networks import Contender

MEAN_SHAPE = "mean shape"


@dataclass(frozen=True)
class Split:
    """Training cases and test cases, of different patients."""

    fold: int
    training: Sequence[Case]
    testing: Sequence[Case]

    @classmethod
    def of(cls, fold: int, cases: Sequence[Case], count: int | None, seed: int) -> Split:
        """Split into the test cases of a fold and the training cases of the others, or ``count`` of these."""
        others = [case for case in cases if case.fold != fold]
        return cls(fold, some(others, count, seed), [case for case in cases if case.fold == fold])


def run_fold(options: argparse.Namespace, contender: Contender, folder: Path, split: Split) -> None:
    """Train and segment unless this is done. Stop the program if the folder holds a run with other options."""
    start = Path(options.weights[contender.start]) if contender.start else None
    about = {
        "minutes": None if options.steps else options.minutes,
        "steps": options.steps,
        "seed": options.seed,
        "start": hashlib.sha256(start.read_bytes()).hexdigest() if start else None,
        "training": [case.name for case in split.training],
        "testing": [case.name for case in split.testing],
    }
    keep_plan(folder, about)
    if (folder / "run.json").is_file():
        return
    run = Run(contender, folder, budget=Budget(60 * options.minutes, options.steps), seed=options.seed, start=start)
    run.train(split.training)
    run.segment(split.testing)
    run.describe()
    print(f"{folder}: {run.steps} steps", flush=True)


def keep_plan(folder: Path, about: Mapping[str, Any]) -> None:
    """Write the options of a run into its folder. Stop the program if the folder holds other options."""
    plan = folder / "plan.json"
    if plan.is_file() and json.loads(plan.read_text(encoding="utf-8")) != about:
        sys.exit(f"{folder} holds a run with other options (plan.json says which); give another -o.")
    folder.mkdir(parents=True, exist_ok=True)
    plan.write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")


def mean_shape(splits: Sequence[Split], folder: Path) -> bool:
    """Write the mean shape of each split: the voxels that are in more than half of the training masks.

    Return False if the masks do not all have the same shape.
    """
    for split in splits:
        trained = [read_mask(case.label).labels for case in split.training]
        tested = {case.name: read_mask(case.label) for case in split.testing}
        if len({labels.shape for labels in trained} | {mask.labels.shape for mask in tested.values()}) > 1:
            return False
        mean = (np.mean(trained, axis=0) > 0.5).astype(np.uint8)
        masks = folder / f"fold{split.fold}" / "masks"
        masks.mkdir(parents=True, exist_ok=True)
        for name, mask in tested.items():
            write(Segmentation(mean, mask.affine), masks / f"{name}.nii.gz")
    return True


def evaluate(output: Path, name: str, tested: Sequence[Case]) -> None:
    """Score the largest component of each mask, for all folds together, with intervals over patients."""
    largest = KeepLargestConnectedComponent()
    with TemporaryDirectory() as folder:
        for part in ("masks", "labels"):
            (Path(folder) / part).mkdir()
        for case in tested:
            (file,) = (output / name).glob(f"fold*/masks/{case.name}.nii.gz")
            mask = read_mask(file)
            kept = np.asarray(largest(torch.as_tensor(mask.labels[None])))[0].astype(np.uint8)
            write(Segmentation(kept, mask.affine), Path(folder) / "masks" / file.name)
            (Path(folder) / "labels" / file.name).symlink_to(case.label.resolve())
        patients = {case.name: case.patient for case in tested}
        rows = evaluate_folders(Path(folder) / "masks", Path(folder) / "labels", patients=patients)
    write_results(rows, output / "evaluations" / name)
