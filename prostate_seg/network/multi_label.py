"""A Segmenter of the CTV and of further structures, which may overlap."""

from __future__ import annotations

import torch
from torch import Tensor

from .segmenter import Segmenter

CLASSES = 2  # first channels: background and CTV


class MultiLabelSegmenter(Segmenter):
    """Segmenter whose logits ``(B, 2 + S, *spatial)`` are of background and CTV, then of S further structures.

    The structures may overlap each other and the CTV (:meth:`probabilities`). The decoder has 2 + S classes.
    """

    @staticmethod
    def probabilities(logits: Tensor) -> Tensor:
        """Return the probabilities of logits: a softmax of the first two channels, a sigmoid of each other one."""
        return torch.cat([logits[:, :CLASSES].softmax(dim=1), logits[:, CLASSES:].sigmoid()], dim=1)
