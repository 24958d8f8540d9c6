"""The cases of a folder with images/, labels/ and cases.csv (case, patient, fold), as the bundle prepares them."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.bundle import ConfigParser
from monai.transforms import Compose, SpatialPadd

from prostate_seg import information


@dataclass(frozen=True)
class Case:
    """A case on disk, its patient and its fold."""

    name: str
    patient: str
    fold: int
    image: Path
    label: Path


def cases_of(folder: Path) -> list[Case]:
    """The cases that ``cases.csv`` names, in its order."""
    with (folder / "cases.csv").open(encoding="utf-8", newline="") as stream:
        return [
            Case(
                row["case"],
                row["patient"],
                int(row["fold"]),
                folder / "images" / f"{row['case']}.nii.gz",
                folder / "labels" / f"{row['case']}.nii.gz",
            )
            for row in csv.DictReader(stream)
        ]


class Preparation:
    """The bundle's own steps from a file to the model's grid, and its augmentation, for a window."""

    def __init__(self, window: tuple[int, int, int]) -> None:
        config = json.loads((information.released_bundle() / "configs" / "train.json").read_text("utf-8"))
        parser = ConfigParser({name: config[name] for name in ("prepare", "augment")})
        for step in parser["augment"]:
            if "spatial_size" in step:
                step["spatial_size"] = list(window)
        self.prepare = Compose(parser.get_parsed_content("prepare"))
        self.augment = Compose(parser.get_parsed_content("augment"))
        self.pad = SpatialPadd(["image"], window)

    def load(self, case: Case) -> dict[Any, Any]:
        """Image and label on the model's grid."""
        files = {"image": str(case.image), "label": str(case.label)}
        return dict(self.prepare({"case": case.name, **files}))

    def batch(self, samples: list[dict[Any, Any]], draw: tuple[int, ...]) -> tuple[torch.Tensor, torch.Tensor]:
        """Augmented images and labels, (B, 1, I, J, K); the same for the same draw."""
        seeds = np.random.SeedSequence(draw).generate_state(len(samples))
        done = []
        for sample, seed in zip(samples, seeds, strict=True):
            self.augment.set_random_state(seed=int(seed))
            done.append(self.augment(dict(sample)))
        images, labels = (torch.stack([one[key].as_tensor() for one in done]) for key in ("image", "label"))
        return images, labels
