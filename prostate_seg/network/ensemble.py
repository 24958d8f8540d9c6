"""Several networks of one form that answer together."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from ..errors import SettingsError


class Ensemble(nn.Module):
    """Members of equal form with weights of their own: image -> the logarithm of the mean of their probabilities.

    member: a network of logits (B, K, *spatial), copied ``count`` times; weights are named ``members.0.`` and on.
    Softmax of the result is the mean of the members' softmax, so it may stand where one network stands.
    """

    def __init__(self, member: nn.Module, count: int = 5) -> None:
        super().__init__()
        if count < 1:
            raise SettingsError(f"An ensemble has one member or more, got {count}.")
        self.members = nn.ModuleList(copy.deepcopy(member) for _ in range(count))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, *spatial) -> (B, K, *spatial)."""
        each = torch.stack([member(x).float().log_softmax(dim=1) for member in self.members])  # (M, B, K, *spatial)
        return each.logsumexp(dim=0) - math.log(len(self.members))


def members_of(network: Callable[..., Tensor]) -> list[Callable[..., Tensor]]:
    """The members of an ensemble; a network alone is one."""
    return [*network.members] if isinstance(network, Ensemble) else [network]
