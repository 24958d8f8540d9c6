"""Part of a volume around a mask."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform

from ..geometry.extent import bounding_box
from ..geometry.volume import reindexed


class CropAroundd(MapTransform):
    """Crop of (C, I, J, K) to the bounding box of a mask and a margin in mm; without a mask nothing is cropped.

    Parameters
    ----------
    keys
        Keys of the images to crop.
    mask_key
        Key of the mask (1, I, J, K) on the same grid.
    margin_mm
        Margin on each side of each axis; the crop ends at the border of the image.
    """

    def __init__(self, keys: KeysCollection, mask_key: str = "ctv", margin_mm: float = 10.0) -> None:
        super().__init__(keys)
        self.mask_key, self.margin_mm = mask_key, margin_mm

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Crop each image."""
        out = dict(data)
        mask = torch.as_tensor(out[self.mask_key])[0].numpy() > 0
        if not mask.any():
            return out
        for key in self.key_iterator(out):
            image = out[key]
            affine = np.asarray(image.affine, float)
            margin = np.ceil(self.margin_mm / np.linalg.norm(affine[:3, :3], axis=0)).astype(int)
            box = [
                slice(max(0, part.start - more), min(size, part.stop + more))
                for part, more, size in zip(bounding_box(mask), margin.tolist(), mask.shape, strict=True)
            ]
            out[key] = MetaTensor(image.as_tensor()[:, *box], meta=dict(image.meta))
            out[key].affine = torch.as_tensor(reindexed(affine, shift=[part.start for part in box]))
        return out
