"""Training loss: Dice, cross entropy, and an optional Hausdorff term in millimetres."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from scipy.ndimage import distance_transform_edt
from torch import Tensor
from torch.nn import functional as F

from ..errors import SettingsError
from ..inference.transforms import FOREGROUND
from .processes import sum_of_processes

SMOOTH = 1e-5  # as in MONAI's DiceLoss


class DiceCEHausdorffLoss(torch.nn.Module):
    """Dice loss and cross entropy, plus ``hausdorff_weight`` times a distance-transform Hausdorff loss.

    The Dice loss is of the foreground, over all voxels of the batch; both are as in MONAI's DiceCELoss. The
    Hausdorff loss (Karimi & Salcudean, IEEE TMI 39(2), 2020) is the mean over voxels of (p - q)^2 (d_p^2 + d_q^2).
    Here p is the foreground probability, q is the label, and d_p and d_q are the distances to the boundaries of
    their masks. MONAI's own loss measures these distances in voxels. The logits are (B, 2, I, J, K), the labels
    (B, 1, I, J, K). The batch is that of all processes; a batch without cases has a loss of 0.

    Parameters
    ----------
    spacing_mm
        Voxel spacing.
    hausdorff_weight
        Weight of the Hausdorff loss.
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
        super().__init__()
        if hausdorff_weight < 0 or unit_mm <= 0:
            raise SettingsError(
                f"A loss has a weight of 0 or more and a unit above 0 mm, got {hausdorff_weight} and {unit_mm}."
            )
        self.spacing_mm, self.hausdorff_weight, self.unit_mm = tuple(spacing_mm), hausdorff_weight, unit_mm
        self.lambda_dice, self.lambda_ce, self.label_smoothing = lambda_dice, lambda_ce, label_smoothing

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the loss of a batch."""
        logits, q = torch.as_tensor(logits).float(), torch.as_tensor(target)[:, 0].float()
        p = logits.softmax(1)[:, FOREGROUND]
        entropy = F.cross_entropy(logits, q.long(), reduction="sum", label_smoothing=self.label_smoothing)
        far = ((p - q) ** 2 * self._distances(p.detach(), q)).sum() if self.hausdorff_weight else 0.0 * p.sum()
        sums = torch.stack([(p * q).sum(), p.sum() + q.sum(), entropy, far, q.new_tensor(q.numel())])
        overlap, size, entropy, far, voxels = sum_of_processes(sums)
        dice = 1 - (2 * overlap + SMOOTH) / (size + SMOOTH)
        means = self.lambda_ce * entropy + self.hausdorff_weight * far
        return torch.as_tensor(self.lambda_dice * dice + means / voxels.clamp(min=1))

    def _distances(self, p: Tensor, q: Tensor) -> Tensor:
        """Return d_p^2 + d_q^2, in units, (B, I, J, K)."""
        each = [self._squared(a) + self._squared(b) for a, b in zip(p, q, strict=True)]
        return torch.stack(each) if each else torch.zeros_like(q)

    def _squared(self, field: Tensor) -> Tensor:
        """Return the squared distance to the boundary of ``field >= 0.5``, in units; 0 if there is no boundary."""
        mask = field.cpu().numpy() >= 0.5
        if mask.all() or not mask.any():
            return torch.zeros_like(field)
        distance = np.where(
            mask, distance_transform_edt(mask, self.spacing_mm), distance_transform_edt(~mask, self.spacing_mm)
        )
        return torch.as_tensor((distance / self.unit_mm) ** 2, dtype=field.dtype, device=field.device)
