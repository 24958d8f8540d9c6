"""Parts of the training engine: autocast, seeding, initial weights, resuming, checked overrides."""

from __future__ import annotations

import difflib
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events
from monai.bundle import ConfigParser
from monai.handlers import CheckpointLoader, CheckpointSaver
from monai.inferers import Inferer

from ..errors import BundleError, SettingsError
from ..network import channels_last
from ..weights import load_state, read_state
from .data import EpochSampler

_RUN_ARGUMENTS = {
    "run_id", "init_id", "final_id", "meta_file", "config_file", "logging_file", "tracking", "args_file",
    "bundle_root", "workflow_type", "properties_path",
}  # fmt: skip


class AutocastInferer(Inferer):
    """Call the network on the whole input, in bfloat16 where ``amp`` is set; works on CPU and GPU."""

    def __init__(self, amp: bool = True) -> None:
        super().__init__()
        self.amp = amp

    def __call__(
        self, inputs: torch.Tensor, network: Callable[..., torch.Tensor], *args: Any, **kwargs: Any
    ) -> torch.Tensor:
        """(B, C, ...) -> float32 logits (B, K, ...)."""
        inputs = torch.as_tensor(inputs)
        with torch.autocast(inputs.device.type, torch.bfloat16, enabled=self.amp):
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


class TrainingState:
    """Save everything that training needs to go on, every ``interval`` epochs; resume from the newest.

    state: what has a state dict, by name; the trainer itself is added. device: where it is loaded to.
    """

    def __init__(
        self,
        state: dict[str, Any],
        folder: str,
        device: torch.device,
        *,
        resume: bool = True,
        interval: int = 1,
    ) -> None:
        self.state, self.folder, self.device = state, folder, device
        self.resume, self.interval = resume, interval

    def attach(self, engine: Engine) -> None:
        """Hook into a trainer."""
        state = self.state | {"trainer": engine}
        newest = newest_checkpoint(self.folder) if self.resume else ""
        if newest:
            CheckpointLoader(newest, state, map_location=self.device).attach(engine)
        CheckpointSaver(self.folder, state, save_interval=self.interval, epoch_level=True, n_saved=1).attach(engine)


def initialise(network: torch.nn.Module, weights: str) -> torch.nn.Module:
    """Load ``weights`` (path of a state dict) into ``network``; ``none`` leaves it random."""
    if weights.lower() != "none":
        load_state(network, read_state(weights), weights)
    return channels_last(network)


def newest_checkpoint(folder: str) -> str:
    """The training state with the highest epoch in ``folder``, or an empty string."""
    found = {}
    for path in Path(folder).glob("checkpoint_epoch=*.pt"):
        epoch = re.search(r"epoch=(\d+)", path.name)
        if epoch:
            found[int(epoch[1])] = path
    return str(found[max(found)]) if found else ""


def check_overrides(arguments: Sequence[str] | None = None) -> None:
    """Stop a bundle run whose command line sets a name that its configuration files do not have.

    MONAI accepts any name. ``arguments`` defaults to those of this process; names may be nested
    (``--train::trainer::max_epochs``, also with ``#``). Raises SettingsError naming the closest one.
    """
    given = _named_arguments(sys.argv[1:] if arguments is None else arguments)
    files = given.get("config_file")
    if files is None:
        return
    try:
        config = ConfigParser.load_config_files(_file_list(files))
    except (OSError, ValueError) as error:
        raise BundleError(f"{files} cannot be read as configuration: {error}") from error
    check_names({name for name in given if name not in _RUN_ARGUMENTS}, config)


def check_names(given: Iterable[str], config: Any) -> None:
    """Raise SettingsError for the first name that a configuration does not have, with the closest one."""
    known = set(_names(config))
    for name in given:
        setting = name.replace("#", "::").lstrip("+")
        if setting not in known:
            close = difflib.get_close_matches(setting, known, n=1)
            hint = f"did you mean {close[0]}?" if close else "see the configuration file for its names."
            raise SettingsError(f"The configuration has no setting named {setting}; {hint}")


def _named_arguments(arguments: Sequence[str]) -> dict[str, str]:
    named = {}
    for position, text in enumerate(arguments):
        if not text.startswith("--") or text == "--":
            continue
        name, equals, value = text[2:].partition("=")
        follower = arguments[position + 1] if position + 1 < len(arguments) else ""
        named[name] = value if equals else follower
    return named


def _file_list(text: str) -> list[str]:
    return [part.strip(" '\"") for part in text.strip("[]() ").split(",") if part.strip(" '\"")]


def _names(config: Any, prefix: str = "") -> list[str]:
    items = config.items() if isinstance(config, dict) else enumerate(config) if isinstance(config, list) else ()
    names = []
    for key, value in items:
        name = f"{prefix}{key}"
        names += [name, *_names(value, f"{name}::")]
    return names
