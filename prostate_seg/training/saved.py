"""Files that a training saves: its state, from which it can resume, and its best weights."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import pickle
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events
from torch.optim.swa_utils import AveragedModel

from ..errors import BundleError
from .engine import ENDED, is_step
from .processes import is_first_process

LOG = logging.getLogger(__name__)
STATE_FILE, STATE_BEFORE = "training_state.pt", "training_state_before.pt"
BEFORE = "model_before_training.pt"
START = 0  # epoch of the start weights


def epochs_made(folder: str | Path) -> tuple[int, bool]:
    """Return how many epochs the training in this folder has made, and whether it ended early; 0 for none."""
    try:
        content = torch.load(Path(folder) / STATE_FILE, map_location="cpu", weights_only=True, mmap=True)
        return int(content["position"]["epoch"]), bool(content["position"].get("ended", False))
    except (OSError, RuntimeError, KeyError, EOFError, pickle.UnpicklingError):
        return 0, False


class TrainingState:
    """Handler that averages the weights after each step, and saves the state of training after each epoch.

    The state is written to ``folder``/training_state.pt through a temporary file. It includes the position of the
    trainer and the best validation so far. It is resumed by a training of the same start weights, cases and number
    of epochs; if it has made all epochs, nothing is left to do. For any other training it is renamed to
    training_state_before.pt. Of several processes, the first saves the state. Attach this handler after all others
    that train or validate.

    Parameters
    ----------
    network
        Network that is trained.
    average
        Its averaged copy (see :func:`averaged`).
    state
        Further objects with a state dict, by name.
    validator
        Evaluator that holds the best validation.
    folder
        Folder of the state file.
    resume
        Whether training resumes from an existing state file.
    cases
        Training cases, whose digest tells trainings apart.
    """

    def __init__(
        self,
        network: torch.nn.Module,
        average: AveragedModel,
        state: dict[str, Any],
        *,
        validator: Engine,
        folder: str,
        resume: bool = True,
        cases: Sequence[Any] = (),
    ) -> None:
        self.network, self.average, self.validator = network, average, validator
        self.state = {"network": network, "average": average, **state}
        self.path, self.resume = Path(folder) / STATE_FILE, resume
        self.cases, self.training = cases, ""

    def attach(self, engine: Engine) -> None:
        """Attach the handler to a trainer."""
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._average)
        if is_first_process():
            engine.add_event_handler(Events.EPOCH_COMPLETED, self._save)

    def _average(self, engine: Engine) -> None:
        if is_step(engine):
            self.average.update_parameters(self.network)

    def _start(self, engine: Engine) -> None:
        """Resume the state of this training, or put the state of another one away."""
        self.training = self._digest(engine.state.max_epochs or 0)
        if not self.resume or not self.path.is_file():
            return
        content = self._content()
        if content.get("training", self.training) == self.training:
            self._load(engine, content)
        elif is_first_process():
            os.replace(self.path, self.path.with_name(STATE_BEFORE))
            LOG.info("%s is of another training; it is now %s", STATE_FILE, STATE_BEFORE)

    def _digest(self, epochs: int) -> str:
        """Return the digest of what tells a training apart: start weights, cases, number of epochs."""
        found = hashlib.sha256(json.dumps([epochs, self.cases], sort_keys=True, default=str).encode())
        for name, value in sorted(self.network.state_dict().items()):
            found.update(name.encode() + value.detach().cpu().contiguous().numpy().tobytes())
        return found.hexdigest()

    def _save(self, engine: Engine) -> None:
        content: dict[str, Any] = {name: part.state_dict() for name, part in self.state.items()}
        best = self.validator.state
        content["training"] = self.training
        content["position"] = {
            "epoch": engine.state.epoch,
            "iteration": engine.state.iteration,
            "best_metric": best.best_metric,
            "best_metric_epoch": best.best_metric_epoch,
            "ended": bool(getattr(engine.state, ENDED, False)),
        }
        _save_whole(content, self.path)

    def _content(self) -> dict[str, Any]:
        try:
            found: dict[str, Any] = torch.load(
                self.path, map_location=next(self.network.parameters()).device, weights_only=True
            )
            found.setdefault("sampler", {"weights": None})  # a state of an older version has none
            return found
        except (OSError, RuntimeError, EOFError, AttributeError, pickle.UnpicklingError) as error:
            raise self._unfit(error) from error

    def _load(self, engine: Engine, content: dict[str, Any]) -> None:
        try:
            for name, part in self.state.items():
                part.load_state_dict(content[name])
            position = content["position"]
        except (RuntimeError, KeyError) as error:
            raise self._unfit(error) from error
        engine.state.epoch, engine.state.iteration = position["epoch"], position["iteration"]
        self.validator.state.best_metric = position["best_metric"]
        self.validator.state.best_metric_epoch = position["best_metric_epoch"]
        setattr(engine.state, ENDED, position.get("ended", False))

    def _unfit(self, error: Exception) -> BundleError:
        return BundleError(
            f"{self.path} cannot be resumed ({type(error).__name__}: it is damaged or of another network); "
            "move it away to start anew."
        )


class BestWeights:
    """Handler that saves the weights of the best validation as ``folder``/model.pt. Attach it to the validator."""

    def __init__(self, network: torch.nn.Module, folder: str) -> None:
        self.network, self.path = network, Path(folder) / "model.pt"

    def attach(self, engine: Engine) -> None:
        """Attach the handler to an evaluator with a key metric."""
        engine.add_event_handler(Events.COMPLETED, self._save)

    def _save(self, engine: Engine) -> None:
        if engine.state.best_metric_epoch == engine.state.epoch:
            _save_whole(self.network.state_dict(), self.path)


class PublishedWeights:
    """Handler that copies the best weights to ``model_dir``/model.pt at the end of a training.

    Before that, an interrupted training leaves model.pt as it is, and so does one in which no epoch was better than
    the start weights. The earlier model.pt is kept as model_before_training.pt.

    Parameters
    ----------
    validator
        Evaluator that holds the best validation.
    folder
        Folder of :class:`BestWeights`.
    model_dir
        Folder of the bundle's weights. If it is the same folder, nothing is done.
    """

    def __init__(self, validator: Engine, folder: str, model_dir: str) -> None:
        self.validator = validator
        self.best, self.place = Path(folder) / "model.pt", Path(model_dir) / "model.pt"

    def attach(self, engine: Engine) -> None:
        """Attach the handler to a trainer."""
        if is_first_process():
            engine.add_event_handler(Events.COMPLETED, self._publish)

    def _publish(self) -> None:
        if not self.best.is_file() or self.best.resolve() == self.place.resolve():
            return
        if self.validator.state.best_metric_epoch <= START:
            LOG.info("no epoch is better than the start weights; %s stays", self.place)
            return
        self.place.parent.mkdir(parents=True, exist_ok=True)
        if self.place.is_file():
            if self.place.read_bytes() == self.best.read_bytes():
                return
            _copied(self.place, self.place.with_name(BEFORE))
        _copied(self.best, self.place)
        LOG.info("the best weights are %s; those from before are %s", self.place, BEFORE)


def _copied(file: Path, to: Path) -> None:
    partial = to.with_suffix(".partial")
    shutil.copyfile(file, partial)
    os.replace(partial, to)


def _save_whole(content: Any, path: Path) -> None:
    partial = path.with_suffix(".partial")
    torch.save(content, partial)
    os.replace(partial, path)
