"""Parts of the training engine: autocast, seeds, hidden and frozen parts, clipped gradients, averaged weights."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

import torch
from ignite.engine import Engine, Events
from monai.engines import IterationEvents
from monai.inferers import Inferer
from torch.optim.swa_utils import AveragedModel

from ..errors import SettingsError
from ..network import SEEING, Segmenter, autocast
from .data import EpochSampler

LOG = logging.getLogger(__name__)
ENDED = "ended_early"  # in the state of a trainer: no further epoch is wanted


class AutocastInferer(Inferer):
    """Inferer that calls the network on the whole input.

    It computes in bfloat16 if ``amp`` is true and the device has hardware for it.
    """

    def __init__(self, amp: bool = True) -> None:
        super().__init__()
        self.amp = amp

    def __call__(
        self, inputs: torch.Tensor, network: Callable[..., torch.Tensor], *args: Any, **kwargs: Any
    ) -> torch.Tensor:
        """Return the logits as float32: (B, C, ...) -> (B, K, ...)."""
        with autocast(inputs.device.type, enabled=self.amp):
            return network(inputs, *args, **kwargs).float()


class SeedHandler:
    """Handler that makes training reproducible.

    The order of an epoch and the random numbers of an iteration (stochastic depth) depend only on the seed and the
    number of the epoch or iteration.
    """

    def __init__(self, sampler: EpochSampler, seed: int = 0) -> None:
        self.sampler = sampler
        self.seed = seed

    def attach(self, engine: Engine) -> None:
        """Attach the handler to a trainer."""
        engine.add_event_handler(Events.EPOCH_STARTED, self._epoch)
        engine.add_event_handler(Events.ITERATION_STARTED, self._iteration)

    def _epoch(self, engine: Engine) -> None:
        self.sampler.epoch = engine.state.epoch - 1

    def _iteration(self, engine: Engine) -> None:
        torch.manual_seed(self.seed * 1_000_003 + engine.state.iteration)


class HiddenPatches:
    """Handler that hides patches from the transformer during the first part of a training.

    What is hidden can only be known from the other patches, so attention is needed; a step takes less time. In the
    rest of the training all patches are seen, as in inference.

    Parameters
    ----------
    network
        Segmenter that is trained.
    share
        Share of the patches that are hidden, 0 to below 1 (see VisionTransformer). With 0 the handler does nothing.
    until
        Share of the epochs, rounded down to whole epochs, in which patches are hidden.

    Raises
    ------
    SettingsError
        The share is out of range, or it is above 0 and the network is no Segmenter of three blocks or more.
    """

    def __init__(self, network: torch.nn.Module, share: float, until: float = 0.7) -> None:
        if not 0 <= share < 1:
            raise SettingsError(f"The share of hidden patches is 0 to below 1, got {share}.")
        if share > 0 and not (isinstance(network, Segmenter) and len(network.encoder.blocks) > SEEING):
            raise SettingsError(
                f"hidden_patches is {share}, but the network is no Segmenter of more than {SEEING} blocks; give 0."
            )
        self.network, self.share, self.until = network, share, until

    def attach(self, engine: Engine) -> None:
        """Attach the handler to a trainer."""
        if self.share > 0:
            engine.add_event_handler(Events.EPOCH_STARTED, self._hide)

    def _hide(self, engine: Engine) -> None:
        hiding = engine.state.epoch <= int(self.until * (engine.state.max_epochs or 0))
        self.network.encoder.hidden = self.share if hiding else 0.0  # type: ignore[union-attr]


class ClippedGradients:
    """Handler that shortens the gradient of all parameters to a norm of at most ``norm`` before each step.

    With a norm of 0 the handler does nothing. SettingsError is raised for a negative norm.
    """

    def __init__(self, network: torch.nn.Module, norm: float) -> None:
        if not norm >= 0:
            raise SettingsError(f"The norm of a clipped gradient is 0 (never clipped) or more, got {norm}.")
        self.network, self.norm = network, norm

    def attach(self, engine: Engine) -> None:
        """Attach the handler to a trainer."""
        if self.norm > 0:
            engine.add_event_handler(IterationEvents.BACKWARD_COMPLETED, self._clip)

    def _clip(self, engine: Engine) -> None:
        if is_step(engine):
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.norm)


def is_step(engine: Engine) -> bool:
    """Return whether the optimizer makes a step in this iteration of a trainer that accumulates gradients."""
    length = engine.state.epoch_length or 1
    place = (engine.state.iteration - 1) % length + 1  # in the epoch, from 1
    return place % getattr(engine, "accumulation_steps", 1) == 0 or place == length


def freeze(network: torch.nn.Module, parts: Sequence[str]) -> None:
    """Keep the weights of parts of a network as they are, such as ``encoder.patch_embed``.

    SettingsError is raised if the network has no such part, or if nothing would be left to train.
    """
    for part in parts:
        own = [weights for name, weights in network.named_parameters() if f"{name}.".startswith(f"{part}.")]
        if not own:
            raise SettingsError(f"frozen names {part!r:.80}, which is no part of the network, such as encoder.")
        for weights in own:
            weights.requires_grad_(False)
    if not any(weights.requires_grad for weights in network.parameters()):
        raise SettingsError("frozen names all parts of the network; leave one out, so that something is trained.")


class EarlyStop:
    """Handler that ends a training after ``patience`` validations in a row without a better one.

    With a patience of 0 it does nothing. Attach it to the trainer after the ValidationHandler.

    Parameters
    ----------
    validator
        Evaluator that holds the best validation.
    patience
        Number of validations.
    interval
        Number of epochs between two validations.
    """

    def __init__(self, validator: Engine, patience: int, interval: int) -> None:
        self.validator, self.epochs = validator, patience * interval

    def attach(self, engine: Engine) -> None:
        """Attach the handler to a trainer."""
        if self.epochs > 0:
            engine.add_event_handler(Events.EPOCH_STARTED, self._stay)
            engine.add_event_handler(Events.EPOCH_COMPLETED, self._look)

    def _stay(self, engine: Engine) -> None:
        """End a resumed training that had ended early."""
        if getattr(engine.state, ENDED, False):
            LOG.info("the training had ended early; give patience 0 to go on")
            engine.terminate()

    def _look(self, engine: Engine) -> None:
        epoch, best = engine.state.epoch, self.validator.state.best_metric_epoch
        if epoch - best >= self.epochs and epoch < (engine.state.max_epochs or 0):
            LOG.info("no better validation since epoch %d: the training ends here", best)
            setattr(engine.state, ENDED, True)
            engine.terminate()


def averaged(network: torch.nn.Module, decay: float = 0.998) -> AveragedModel:
    """Return a copy of the network that holds the exponential moving average of its weights.

    The attribute ``module`` of the result is the copy. After n updates the decay is min(decay, (1 + n) / (10 + n)),
    so that the influence of the initial random weights decreases quickly.
    """

    @torch.no_grad()
    def follow(means: Any, values: Any, count: Any) -> None:
        updates = int(count)
        torch._foreach_lerp_(means, values, 1 - min(decay, (1 + updates) / (10 + updates)))

    return AveragedModel(network, multi_avg_fn=follow)
