"""Parts of the training engine: autocast, seeding, averaged weights, a state that can be resumed."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events
from monai.inferers import Inferer
from torch.optim.swa_utils import AveragedModel

from ..errors import BundleError
from ..network import autocast
from .data import EpochSampler

STATE_FILE = "training_state.pt"


class AutocastInferer(Inferer):
    """Call the network on the whole input, in bfloat16 if ``amp`` is set and the device computes in it."""

    def __init__(self, amp: bool = True) -> None:
        super().__init__()
        self.amp = amp

    def __call__(
        self, inputs: torch.Tensor, network: Callable[..., torch.Tensor], *args: Any, **kwargs: Any
    ) -> torch.Tensor:
        """(B, C, ...) -> float32 logits (B, K, ...)."""
        with autocast(inputs.device.type, enabled=self.amp):
            return network(inputs, *args, **kwargs).float()


class SeedHandler:
    """Make each epoch's order and each iteration's stochastic depth depend on (seed, position) only."""

    def __init__(self, sampler: EpochSampler, seed: int = 0) -> None:
        self.sampler = sampler
        self.seed = seed

    def attach(self, engine: Engine) -> None:
        """Hook into a trainer."""
        engine.add_event_handler(Events.EPOCH_STARTED, self._epoch)
        engine.add_event_handler(Events.ITERATION_STARTED, self._iteration)

    def _epoch(self, engine: Engine) -> None:
        self.sampler.epoch = engine.state.epoch - 1

    def _iteration(self, engine: Engine) -> None:
        torch.manual_seed(self.seed * 1_000_003 + engine.state.iteration)


def averaged(network: torch.nn.Module, decay: float = 0.998) -> AveragedModel:
    """A copy of the network whose weights follow it as an exponential moving average; ``module`` is the copy.

    After n updates the decay is min(decay, (1 + n) / (10 + n)), so that the first random weights fade fast.
    """

    @torch.no_grad()
    def follow(means: Any, values: Any, count: Any) -> None:
        updates = int(count)
        torch._foreach_lerp_(means, values, 1 - min(decay, (1 + updates) / (10 + updates)))

    return AveragedModel(network, multi_avg_fn=follow)


class TrainingState:
    """Average the weights after each iteration; save all that training needs after each epoch; resume from it.

    state: what has a state dict, by name. The position of the trainer and the best validation of ``validator``
    are saved with it, to ``folder``/training_state.pt, by way of a temporary file. Attach it last.
    """

    def __init__(
        self,
        network: torch.nn.Module,
        average: AveragedModel,
        state: dict[str, Any],
        *,
        validator: Engine,
        folder: str,
        device: torch.device,
        resume: bool = True,
    ) -> None:
        self.network, self.average, self.validator = network, average, validator
        self.state = {"network": network, "average": average, **state}
        self.path, self.device, self.resume = Path(folder) / STATE_FILE, device, resume

    def attach(self, engine: Engine) -> None:
        """Hook into a trainer."""
        if self.resume and self.path.is_file():
            engine.add_event_handler(Events.STARTED, self._load)
        engine.add_event_handler(Events.ITERATION_COMPLETED, lambda: self.average.update_parameters(self.network))
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._save)

    def _save(self, engine: Engine) -> None:
        content: dict[str, Any] = {name: part.state_dict() for name, part in self.state.items()}
        best = self.validator.state
        content["position"] = {
            "epoch": engine.state.epoch,
            "iteration": engine.state.iteration,
            "best_metric": best.best_metric,
            "best_metric_epoch": best.best_metric_epoch,
        }
        _save_whole(content, self.path)

    def _load(self, engine: Engine) -> None:
        try:
            content = torch.load(self.path, map_location=self.device, weights_only=True)
            content.setdefault("sampler", {"weights": None})  # of a run that was begun before there were any
            for name, part in self.state.items():
                part.load_state_dict(content[name])
            position = content["position"]
        except (OSError, RuntimeError, KeyError, EOFError, pickle.UnpicklingError) as error:
            raise BundleError(
                f"{self.path} cannot be resumed ({type(error).__name__}: it is damaged or of another network); "
                "move it away to start anew."
            ) from error
        engine.state.epoch, engine.state.iteration = position["epoch"], position["iteration"]
        self.validator.state.best_metric = position["best_metric"]
        self.validator.state.best_metric_epoch = position["best_metric_epoch"]


class BestWeights:
    """Keep the weights of the best validation as ``folder``/model.pt; attach it to the validator."""

    def __init__(self, network: torch.nn.Module, folder: str) -> None:
        self.network, self.path = network, Path(folder) / "model.pt"

    def attach(self, engine: Engine) -> None:
        """Hook into an evaluator with a key metric."""
        engine.add_event_handler(Events.COMPLETED, self._save)

    def _save(self, engine: Engine) -> None:
        if engine.state.best_metric_epoch == engine.state.epoch:
            _save_whole(self.network.state_dict(), self.path)


def _save_whole(content: Any, path: Path) -> None:
    partial = path.with_suffix(".partial")
    torch.save(content, partial)
    os.replace(partial, path)
