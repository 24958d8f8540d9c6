"""Ensemble of networks of the same architecture."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from ..errors import SettingsError
from .scripting import OfOneSize
from .segmenter import Segmenter


class Ensemble(nn.Module):
    """Networks of the same architecture with different weights: (B, C, *spatial) -> (B, K, *spatial).

    The result is the logarithm of the mean of the members' probabilities. Its softmax is this mean. Therefore an
    ensemble can replace a single network. The names of the weights start with ``members.0.``, ``members.1.`` and
    so on.

    Parameters
    ----------
    member
        Network that returns logits (B, K, *spatial). Each member is a copy.
    count
        Number of members.
    """

    def __init__(self, member: nn.Module, count: int = 5) -> None:
        super().__init__()
        if count < 1:
            raise SettingsError(f"An ensemble has one member or more, got {count}.")
        self.members = nn.ModuleList(copy.deepcopy(member) for _ in range(count))

    def forward(self, x: Tensor) -> Tensor:
        """Return the logarithm of the mean probabilities: (B, C, *spatial) -> (B, K, *spatial)."""
        each = torch.stack([member(x).float().log_softmax(dim=1) for member in self.members])  # (M, B, K, *spatial)
        return each.logsumexp(dim=0) - math.log(len(self.members))

    def __prepare_scriptable__(self) -> nn.Module:
        """Return what ``torch.jit.script`` compiles: for Segmenters, as a Segmenter does it."""
        first = self.members[0]
        if not isinstance(first, Segmenter):
            return self
        return OfOneSize(self, first.encoder.patch_embed.in_channels, first.encoder.image_size)


def members_of(network: Callable[..., Tensor]) -> list[Callable[..., Tensor]]:
    """Return the members of an ensemble. For a single network, return a list with this network."""
    return [*network.members] if isinstance(network, Ensemble) else [network]
