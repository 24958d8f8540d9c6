"""Training loss: Dice, cross entropy, and an optional Hausdorff term in millimetres."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from monai.losses import DiceCELoss
from scipy.ndimage import distance_transform_edt

from ..errors import SettingsError
from ..inference.transforms import FOREGROUND


class DiceCEHausdorffLoss(DiceCELoss):
    """MONAI's DiceCELoss of the foreground, plus ``hausdorff_weight`` times a distance-transform Hausdorff loss.

    The Hausdorff loss (Karimi & Salcudean, IEEE TMI 39(2), 2020) is the mean over voxels of (p - q)^2 (d_p^2 +
    d_q^2). Here p is the foreground probability, q is the label, and d_p and d_q are the distances to the
    boundaries of their masks. MONAI's own loss measures these distances in voxels. The logits are (B, 2, I, J, K),
    the labels (B, 1, I, J, K).

    Parameters
    ----------
    spacing_mm
        Voxel spacing.
    hausdorff_weight
        Weight of the Hausdorff loss. With 0 the loss is DiceCELoss.
    unit_mm
        Unit of the distances.
    lambda_dice, lambda_ce, label_smoothing
        As in DiceCELoss.
    """

    def __init__(
        self,
        *,
        spacing_mm: Sequence[float],
        hausdorff_weight: float = 0.0,
        unit_mm: float = 10.0,
        lambda_dice: float = 1.0,
        lambda_ce: float = 1.0,
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(
            to_onehot_y=True, softmax=True, include_background=False, batch=True,
            lambda_dice=lambda_dice, lambda_ce=lambda_ce, label_smoothing=label_smoothing,
        )  # fmt: skip
        if hausdorff_weight < 0 or unit_mm <= 0:
            raise SettingsError(
                f"A loss has a weight of 0 or more and a unit above 0 mm, got {hausdorff_weight} and {unit_mm}."
            )
        self.spacing_mm, self.hausdorff_weight, self.unit_mm = tuple(spacing_mm), hausdorff_weight, unit_mm

    def forward(self, input: torch.Tensor, target: torch.Tensor) -> torch.Tensor:  # noqa: A002 - MONAI's name
        """Return the sum of both losses."""
        loss = torch.as_tensor(super().forward(input, target))
        if self.hausdorff_weight == 0:
            return loss
        p, q = input.float().softmax(1)[:, FOREGROUND], target[:, 0].float()
        weights = torch.stack([self._squared(a) + self._squared(b) for a, b in zip(p.detach(), q, strict=True)])
        return loss + self.hausdorff_weight * ((p - q) ** 2 * weights).mean()

    def _squared(self, field: torch.Tensor) -> torch.Tensor:
        """Return the squared distance to the boundary of ``field >= 0.5``, in units; 0 if there is no boundary."""
        mask = field.cpu().numpy() >= 0.5
        if mask.all() or not mask.any():
            return torch.zeros_like(field)
        distance = np.where(
            mask, distance_transform_edt(mask, self.spacing_mm), distance_transform_edt(~mask, self.spacing_mm)
        )
        return torch.as_tensor((distance / self.unit_mm) ** 2, dtype=field.dtype, device=field.device)
