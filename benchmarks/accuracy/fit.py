"""Training of one network within a budget, which can be resumed, and segmentation of other cases."""

from __future__ import annotations

import json
import math
import os
import re
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.inferers import SlidingWindowInferer
from torch.optim.swa_utils import AveragedModel

from prostate_seg import Segmentation, read, write
from prostate_seg.inference.inferers import ScaleFlipInferer
from prostate_seg.inference.resampling import resample_axes
from prostate_seg.inference.weights import load_state, read_state
from prostate_seg.network import autocast
from prostate_seg.training.engine import averaged
from prostate_seg.training.sampling import clusters_of, error_mm, sampling_weights

from .data import Case, Preparation
from .losses import hidden_blocks
from .networks import Contender

BATCH = 4
SAVE_EVERY_S = 60.0
LOOKS = 6  # parts of the training; after each but the last, hard examples are searched for


@dataclass(frozen=True)
class Budget:
    """Budget of a training: seconds of CPU time (of all cores together), or a number of steps if given."""

    seconds: float
    steps: int | None = None

    def share(self, seconds: float, steps: int) -> float:
        """Return the fraction of the budget that is spent; 1 at the end."""
        return steps / self.steps if self.steps else seconds / self.seconds


class Run:
    """Training that counts its CPU time, is saved every minute and can be resumed from its folder.

    Parameters
    ----------
    contender
        How to make and train the network.
    folder
        Folder of the training.
    budget
        CPU time or steps of the training.
    seed
        Seed of the random numbers.
    start
        File of a state dict with the initial weights. None: random weights.
    """

    def __init__(
        self, contender: Contender, folder: Path, *, budget: Budget, seed: int, start: Path | None = None
    ) -> None:
        _forget_peak()
        torch.manual_seed(seed)
        self.contender, self.folder, self.budget, self.seed = contender, folder, budget, seed
        self.network = contender.make()
        if start:
            load_state(self.network, read_state(start), str(start))
        self.average: AveragedModel = averaged(self.network, decay=0.998)
        self.optimizer = torch.optim.AdamW(self.network.parameters(), lr=contender.rate, weight_decay=0.05)
        self.spent, self.steps = 0.0, 0
        self.losses: list[float] = []
        self.chances: np.ndarray | None = None
        self.preparation = Preparation(contender.window, contender.without)
        if (folder / "state.pt").is_file():
            self._load()

    def train(self, cases: Sequence[Case]) -> None:
        """Train until the budget is spent.

        The learning rate warms up during the first 5 % of the budget and follows a cosine over the whole budget.
        """
        samples = [self.preparation.load(case) for case in cases]
        phantoms = self.preparation.phantoms(self.contender.phantoms)
        loss_of = self.contender.loss()
        saved, looked = self.spent, 0
        while (share := self.budget.share(self.spent, self.steps)) < 1:
            start = time.process_time()
            factor = min(1.0, share / 0.05 + 0.01) * 0.5 * (1 + math.cos(math.pi * share))
            for group in self.optimizer.param_groups:
                group["lr"] = self.contender.rate * factor
            if self.contender.hard > 0 and int(share * LOOKS) > looked:
                looked = int(share * LOOKS)
                self.chances = self._look(samples)
            if self.contender.hidden > 0:
                self.network.encoder.hidden = self.contender.hidden if share < 0.7 else 0.0
            images, labels = self.preparation.batch(self._drawn(samples, phantoms), (self.seed, self.steps))
            if share < self.contender.masked:
                loss = self._restored(images)
            else:
                loss = _deep(loss_of, self._logits(images), labels)
            self.optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.contender.norm)
            self.optimizer.step()
            self.average.update_parameters(self.network)
            self.losses.append(float(loss.detach()))
            self.spent, self.steps = self.spent + time.process_time() - start, self.steps + 1
            if self.spent - saved > SAVE_EVERY_S:
                self._save()
                saved = self.spent
        self._save()

    def _drawn(self, samples: list[dict[Any, Any]], phantoms: list[dict[Any, Any]]) -> list[dict[Any, Any]]:
        """Draw a batch of cases. Half of them are phantoms if there are any, all of them if there are no cases."""
        rng = np.random.default_rng((self.seed, self.steps))
        count = (BATCH // 2 if phantoms else BATCH) if samples else 0
        drawn = [samples[n] for n in rng.choice(max(1, len(samples)), count, replace=False, p=self.chances)]
        return drawn + [phantoms[n] for n in rng.choice(max(1, len(phantoms)), BATCH - count, replace=False)]

    def _look(self, samples: list[dict[Any, Any]]) -> np.ndarray:
        """Return the new sampling probability of each case, from the errors of cases with similar features."""
        network = self.average.module.eval()
        features, errors = [], []
        with torch.inference_mode(), autocast("cpu"):
            for sample in samples:
                image = sample["image"].as_tensor()[None]
                features.append(network.features(image)[0].float().numpy())
                errors.append(error_mm((network(image).argmax(1)[0] == 1).numpy(), sample["label"]))
        network.train()
        return sampling_weights(errors, clusters_of(np.stack(features)), self.contender.hard)

    def _logits(self, images: torch.Tensor) -> torch.Tensor:
        with autocast("cpu"):
            logits = self.network(images)
        return logits.float()

    def _restored(self, images: torch.Tensor) -> torch.Tensor:
        """Return the mean absolute error of the last channel in the blocks that were hidden from the network."""
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.steps)
        hidden = hidden_blocks(images.shape, generator)
        restored = self._logits(images.masked_fill(hidden, 0.0))[:, 1:].sigmoid()
        return (restored - images)[hidden].abs().mean()

    def segment(self, cases: Sequence[Case]) -> None:
        """Segment cases with an additional mirrored pass, and write their masks on their own grids."""
        network = (self.average.module if self.contender.averaged else self.network).eval()
        sliding = SlidingWindowInferer(self.contender.window, sw_batch_size=2, overlap=0.5, mode="gaussian")
        inferer = ScaleFlipInferer(sliding, flip_axes=(0,), autocast=True)
        (self.folder / "masks").mkdir(parents=True, exist_ok=True)
        for case in cases:
            image = self.preparation.pad({"image": self.preparation.load(case)["image"]})["image"]
            source = read(case.image)
            with torch.inference_mode():
                foreground = inferer(image.as_tensor()[None], network)[0, 1].float()
            probability = resample_axes(foreground, np.asarray(image.affine), source.affine, source.array.shape)
            mask = (probability >= 0.5).numpy()
            write(Segmentation(mask.astype(np.uint8), source.affine), self.folder / "masks" / f"{case.name}.nii.gz")

    def describe(self) -> None:
        """Write time, steps, memory and loss of the training to ``run.json``."""
        weights = sum(parameter.numel() for parameter in self.network.parameters())
        about: dict[str, Any] = {
            "seconds": round(self.spent, 1),
            "steps": self.steps,
            "weights": weights,
            "seed": self.seed,
        }
        about["last_loss"] = round(float(np.mean(self.losses[-50:])), 4)
        about["peak_memory_mb"] = _peak_mb()
        (self.folder / "run.json").write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")

    def _save(self) -> None:
        content = {
            "network": self.network.state_dict(), "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(), "spent": self.spent, "steps": self.steps,
            "losses": self.losses,
        }  # fmt: skip
        self.folder.mkdir(parents=True, exist_ok=True)
        torch.save(content, self.folder / "state.partial")
        os.replace(self.folder / "state.partial", self.folder / "state.pt")

    def _load(self) -> None:
        content = torch.load(self.folder / "state.pt", weights_only=True)
        for name in ("network", "average", "optimizer"):
            getattr(self, name).load_state_dict(content[name])
        self.spent, self.steps, self.losses = content["spent"], content["steps"], content["losses"]


def _deep(loss_of: torch.nn.Module, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return the loss of logits (B, 2, I, J, K).

    With deep supervision, the logits are (B, N, 2, I, J, K) and the loss is a mean with the weights 1, 1/2, 1/4,
    ...
    """
    outputs = logits.unbind(1) if logits.ndim == labels.ndim + 1 else (logits,)
    weights = [0.5**n for n in range(len(outputs))]
    losses = [weight * loss_of(output, labels) for weight, output in zip(weights, outputs, strict=True)]
    return torch.stack(losses).sum() / sum(weights)


def _forget_peak() -> None:
    """Reset the peak memory of the process on Linux, so that each run measures its own peak."""
    if sys.platform == "linux":
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def _peak_mb() -> int | None:
    status = Path("/proc/self/status").read_text("ascii") if sys.platform == "linux" else ""
    found = re.findall(r"VmHWM:\s+(\d+) kB", status)
    return int(found[0]) // 1024 if found else None
