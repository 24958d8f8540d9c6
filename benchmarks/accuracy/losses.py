"""A loss that knows how far off a wrong voxel is."""

from __future__ import annotations

import numpy as np
import torch
from monai.losses import DiceCELoss
from scipy.ndimage import distance_transform_edt

SPACING_MM = (1.6, 1.6, 2.0)


class DistanceLoss(torch.nn.Module):
    """Dice and cross entropy plus the boundary loss of Kervadec et al. (MIDL 2019, eq. 5), in centimetres.

    The mean over voxels of the foreground's probability times the signed distance to the reference's boundary,
    negative inside; the distance is cut at 3 cm. Logits (B, 2, I, J, K) and labels (B, 1, I, J, K) lie on the
    model's grid.
    """

    def __init__(self, weight: float = 0.5) -> None:
        super().__init__()
        self.weight = weight
        self.overlap = DiceCELoss(to_onehot_y=True, softmax=True, include_background=False, batch=True)

    def forward(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """The sum of both."""
        distances = torch.stack([_signed_cm(label[0].numpy() > 0.5) for label in labels])
        outside = (logits.softmax(1)[:, 1] * distances).mean()
        return self.overlap(logits, labels) + self.weight * outside


def _signed_cm(mask: np.ndarray) -> torch.Tensor:
    if not mask.any():
        return torch.zeros(mask.shape)
    signed = distance_transform_edt(~mask, SPACING_MM) - distance_transform_edt(mask, SPACING_MM)
    return torch.as_tensor(signed / 10, dtype=torch.float32).clamp(-3, 3)
