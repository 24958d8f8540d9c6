"""Cases of a folder with images/, labels/ and cases.csv, preprocessed like those of the bundle."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.bundle import ConfigParser
from monai.transforms import Compose, SpatialPadd

from prostate_seg.inference import released as information
from prostate_seg.training import datalist


@dataclass(frozen=True)
class Case:
    """A case on disk, its patient and its fold."""

    name: str
    patient: str
    fold: int
    image: Path
    label: Path


def cases_of(folder: Path, *, unseen: bool = False) -> list[Case]:
    """Return the cases of ``cases.csv`` in its order, from the columns case, patient and fold.

    If ``unseen``, the column patient_in_trus27 defines the folds: fold 0 are the cases with "no", fold 1 the
    others.
    """
    with (folder / "cases.csv").open(encoding="utf-8", newline="") as stream:
        return [
            Case(
                row["case"],
                row["patient"],
                int(row["patient_in_trus27"] != "no") if unseen else int(row["fold"]),
                folder / "images" / f"{row['case']}.nii.gz",
                folder / "labels" / f"{row['case']}.nii.gz",
            )
            for row in csv.DictReader(stream)
        ]


def some(cases: Sequence[Case], count: int | None, seed: int) -> list[Case]:
    """Return the first ``count`` cases in a shuffled order of patients; all cases if ``count`` is None.

    With the same seed, a smaller selection is always part of a larger one.
    """
    patients = sorted({case.patient for case in cases})
    order = {patient: n for n, patient in enumerate(np.random.default_rng(seed).permutation(patients))}
    return sorted(cases, key=lambda case: (order[case.patient], case.name))[:count]


class Preparation:
    """Preprocessing and augmentation of the bundle, for a given window size.

    Parameters
    ----------
    window
        Size of the window in voxels.
    without
        End of the names of augmentation steps to leave out.
    """

    def __init__(self, window: tuple[int, int, int], without: str | None = None) -> None:
        config = json.loads((information.released_bundle() / "configs" / "train.json").read_text("utf-8"))
        parser = ConfigParser({name: config[name] for name in ("structures", "prepare", "augment")})
        for step in parser["augment"]:
            if "spatial_size" in step:
                step["spatial_size"] = list(window)
        self.prepare = Compose(parser.get_parsed_content("prepare"))
        if without and not any(step["_target_"].endswith(without) for step in parser["augment"]):
            raise ValueError(f"The bundle's augmentation has no step {without!r}.")
        steps = zip(parser["augment"], parser.get_parsed_content("augment"), strict=True)
        self.augment = Compose([step for named, step in steps if not named["_target_"].endswith(without or ".")])
        self.pad = SpatialPadd(["image"], window)

    def load(self, case: Case) -> dict[Any, Any]:
        """Load image and label on the model's grid."""
        files = {"image": str(case.image), "label": str(case.label)}
        return dict(self.prepare({"case": case.name, **files}))

    def phantoms(self, count: int) -> list[dict[Any, Any]]:
        """Make training phantoms on the model's grid."""
        items = datalist.items(None, "training", count) if count else []
        return [dict(self.prepare(item)) for item in items]

    def batch(self, samples: list[dict[Any, Any]], draw: tuple[int, ...]) -> tuple[torch.Tensor, torch.Tensor]:
        """Return augmented images and labels, (B, 1, I, J, K). The same draw gives the same result."""
        seeds = np.random.SeedSequence(draw).generate_state(len(samples))
        done = []
        for sample, seed in zip(samples, seeds, strict=True):
            self.augment.set_random_state(seed=int(seed))
            done.append(self.augment(dict(sample)))
        images, labels = (torch.stack([one[key].as_tensor() for one in done]) for key in ("image", "label"))
        return images, labels
