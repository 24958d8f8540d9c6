"""Training of several structures with cases that show only some of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from ignite.engine import Engine
from ignite.exceptions import NotComputableError
from ignite.metrics import Metric
from torch import Tensor
from torch.nn import functional as F

from ..errors import SettingsError
from ..geometry.structures import CTV
from ..network import CLASSES
from .losses import SMOOTH
from .processes import from_all_processes, sum_of_processes


def known(target: Tensor) -> Tensor:
    """Return which structures (B, S) a batch of labels (B, S, *spatial) shows: those without negative values."""
    return target.flatten(2).amin(dim=2) >= 0


class PartialLabelLoss(torch.nn.Module):
    """Loss of a MultiLabelSegmenter; a structure that a case does not label gives no loss.

    It is the loss of the CTV, plus ``weight`` times the mean over the structures of Dice loss and binary cross
    entropy, each over the cases that label the structure. The logits are (B, 2 + S, *spatial). The labels are
    (B, 1 + S, *spatial): CTV first; 0, 1, or -1 in a channel that is unknown.

    Parameters
    ----------
    ctv
        Loss of the CTV, for logits (B, 2, *spatial) and labels (B, 1, *spatial); B may be 0.
    weight
        Weight of the structures.

    Raises
    ------
    SettingsError
        The weight is negative, or the channels of logits and labels do not fit each other.
    """

    def __init__(self, ctv: Callable[[Tensor, Tensor], Tensor], weight: float = 1.0) -> None:
        super().__init__()
        if weight < 0:
            raise SettingsError(f"The weight of the structures' loss is 0 or more, got {weight}.")
        self.ctv, self.weight = ctv, weight

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the loss of a batch."""
        if logits.shape[1] != target.shape[1] + 1:
            raise SettingsError(
                f"The network gives {logits.shape[1] - CLASSES} structures beside the CTV, the labels have "
                f"{target.shape[1] - 1}; list the same structures for both."
            )
        shown = known(target)
        drawn = shown[:, 0]
        loss = logits.sum() * 0.0 + self.ctv(logits[drawn, :CLASSES], target[drawn, :1])
        return loss + self.weight * structure_loss(logits[:, CLASSES:], target[:, 1:], shown[:, 1:])


def structure_loss(logits: Tensor, target: Tensor, shown: Tensor) -> Tensor:
    """Return the mean over the shown structures of Dice loss and binary cross entropy; 0 if none is shown.

    The batch is that of all processes.

    Parameters
    ----------
    logits, target
        (B, S, *spatial); the values of the target count only where ``shown`` is true.
    shown
        Bool (B, S).
    """
    logits, target = logits.float().flatten(2), target.float().clamp(min=0).flatten(2)  # (B, S, V)
    counted = shown.float()[..., None]
    entropy = F.binary_cross_entropy_with_logits(logits, target, reduction="none").mean(dim=2, keepdim=True)
    probability = logits.sigmoid() * counted
    parts = (entropy * counted, probability * target, probability + target * counted, counted)
    sums = sum_of_processes(torch.stack([part.sum(dim=(0, 2)) for part in parts]))  # (4, S)
    entropies, overlap, size, cases = sums
    dice = 1 - (2 * overlap + SMOOTH) / (size + SMOOTH)
    present = cases > 0  # (S,)
    each = (entropies / cases.clamp(min=1) + dice) * present
    return torch.as_tensor(each.sum() / present.sum().clamp(min=1))


class StructureDice(Metric):
    """Mean Dice of each structure over the cases that label it, at a threshold of 0.5.

    The input is (predictions, labels): sequences of (2 + S, I, J, K) probabilities and (1 + S, I, J, K) labels, as
    for :class:`PartialLabelLoss`. A case in which prediction and label are both empty counts as 1. The result in
    ``engine.state.metrics`` is the mean over the structures under the name given to ``attach``, and the Dice of
    each structure under ``dice_`` and its name. ``engine.state.metric_details[name]`` holds the Dice of each case,
    with None for an unlabelled structure.

    Parameters
    ----------
    output_transform
        Takes predictions and labels from the engine's output.
    structures
        Names of the S structures.
    """

    def __init__(self, output_transform: Callable[[Any], Any], structures: Sequence[str]) -> None:
        self.names = (CTV, *structures)
        super().__init__(output_transform)

    def reset(self) -> None:
        """Remove all cases."""
        self.rows: list[list[float | None]] = []

    def update(self, output: tuple[Sequence[Tensor], Sequence[Tensor]]) -> None:
        """Add the cases of one iteration."""
        for prediction, label in zip(*output, strict=True):
            drawn, truth = torch.as_tensor(prediction)[1:].cpu() >= 0.5, torch.as_tensor(label).cpu()
            pairs = zip(drawn, truth > 0.5, known(truth[None])[0].tolist(), strict=True)
            self.rows.append([_dice(*pair) if seen else None for *pair, seen in pairs])

    def compute(self) -> dict[str, float]:
        """Return the mean Dice of each structure, by name; a structure that no case labels is absent."""
        if not self.rows:
            raise NotComputableError("StructureDice has seen no case.")
        found = {}
        for name, column in zip(self.names, zip(*self.rows, strict=True), strict=True):
            values = [value for value in column if value is not None]
            if values:
                found[name] = sum(values) / len(values)
        return found

    def completed(self, engine: Engine, name: str) -> None:
        """Store the means and the rows of all processes in the engine's state."""
        self.rows = from_all_processes(self.rows)
        means = self.compute()
        engine.state.metrics[name] = sum(means.values()) / len(means)
        engine.state.metrics.update({f"dice_{key}": value for key, value in means.items()})
        if hasattr(engine.state, "metric_details"):
            engine.state.metric_details[name] = self.rows


def _dice(a: Tensor, b: Tensor) -> float:
    size = int(a.sum() + b.sum())
    return 2 * int((a & b).sum()) / size if size else 1.0
