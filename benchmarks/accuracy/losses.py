"""Alternatives to Dice and cross entropy: a distance loss in centimetres, and images with hidden blocks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from monai.losses import DiceCELoss
from scipy.ndimage import distance_transform_edt

SPACING_MM = (1.6, 1.6, 2.0)
BLOCK = (16, 16, 8)


class DistanceLoss(torch.nn.Module):
    """Dice and cross entropy plus the boundary loss of Kervadec et al. (MIDL 2019, eq. 5), in centimetres.

    The boundary loss is the mean over voxels of the foreground probability times the signed distance to the
    boundary of the reference. The distance is negative inside and clipped at 3 cm. Logits (B, 2, I, J, K) and
    labels (B, 1, I, J, K) are on the model's grid.
    """

    def __init__(self, weight: float = 0.5) -> None:
        super().__init__()
        self.weight = weight
        self.overlap = DiceCELoss(to_onehot_y=True, softmax=True, include_background=False, batch=True)

    def forward(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Return the sum of both losses, with ``weight`` for the boundary loss."""
        distances = torch.stack([_signed_cm(label[0].numpy() > 0.5) for label in labels])
        outside = (logits.softmax(1)[:, 1] * distances).mean()
        return self.overlap(logits, labels) + self.weight * outside


def _signed_cm(mask: np.ndarray) -> torch.Tensor:
    if not mask.any():
        return torch.zeros(mask.shape)
    signed = distance_transform_edt(~mask, SPACING_MM) - distance_transform_edt(mask, SPACING_MM)
    return torch.as_tensor(signed / 10, dtype=torch.float32).clamp(-3, 3)


def hidden_blocks(shape: Sequence[int], generator: torch.Generator, share: float = 0.5) -> torch.Tensor:
    """Draw hidden blocks of 16 x 16 x 8 voxels (SimMIM, Xie et al. 2022).

    The result is a bool tensor (B, 1, I, J, K). About the fraction ``share`` of the blocks is hidden.
    """
    coarse = [-(-n // size) for n, size in zip(shape[2:], BLOCK, strict=True)]
    chosen = torch.rand((shape[0], 1, *coarse), generator=generator) < share
    for axis, size in enumerate(BLOCK, start=2):
        chosen = chosen.repeat_interleave(size, axis)
    return chosen[..., : shape[2], : shape[3], : shape[4]]
