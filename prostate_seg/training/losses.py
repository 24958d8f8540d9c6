"""The training loss: Dice and cross entropy, and where asked for a Hausdorff term in millimetres."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from monai.losses import DiceCELoss
from scipy.ndimage import distance_transform_edt

from ..errors import SettingsError
from ..inference.transforms import FOREGROUND


class DiceCEHausdorffLoss(DiceCELoss):
    """MONAI's DiceCELoss of the foreground, plus ``hausdorff_weight`` times the distance-transform Hausdorff loss.

    That (Karimi & Salcudean, IEEE TMI 39(2), 2020) is the mean over voxels of (p - q)^2 (d_p^2 + d_q^2), with d the
    distance to the boundary of either mask, here in units of ``unit_mm``; MONAI's own counts voxels. Logits
    (B, 2, I, J, K) and labels (B, 1, I, J, K) lie on a grid of ``spacing_mm``. Weight 0 is DiceCELoss itself.
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
        """The sum of both."""
        loss = torch.as_tensor(super().forward(input, target))
        if self.hausdorff_weight == 0:
            return loss
        p, q = input.float().softmax(1)[:, FOREGROUND], target[:, 0].float()
        weights = torch.stack([self._squared(a) + self._squared(b) for a, b in zip(p.detach(), q, strict=True)])
        return loss + self.hausdorff_weight * ((p - q) ** 2 * weights).mean()

    def _squared(self, field: torch.Tensor) -> torch.Tensor:
        """The squared distance to the boundary of field >= 0.5 in units; 0 where there is no boundary."""
        mask = field.cpu().numpy() >= 0.5
        if mask.all() or not mask.any():
            return torch.zeros_like(field)
        distance = np.where(
            mask, distance_transform_edt(mask, self.spacing_mm), distance_transform_edt(~mask, self.spacing_mm)
        )
        return torch.as_tensor((distance / self.unit_mm) ** 2, dtype=field.dtype, device=field.device)
