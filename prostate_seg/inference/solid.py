"""The largest connected part of a mask without its holes, computed within its bounding box."""

from __future__ import annotations

from collections.abc import Hashable, Mapping

import numpy as np
import torch
from monai.transforms import MapTransform
from scipy import ndimage

from ..geometry.extent import bounding_box
from .transforms import Sample

TOUCHING = np.ones((3, 3, 3), bool)  # voxels that share a corner are connected


class LargestSolidd(MapTransform):
    """Largest connected part of a mask (1, I, J, K), with its holes filled.

    The voxels are those of MONAI's ``KeepLargestConnectedComponentd`` followed by ``FillHolesd``, but only the box
    around the mask is searched, not the whole image.
    """

    def __call__(self, data: Mapping[Hashable, torch.Tensor]) -> Sample:
        """Replace each mask; what is above zero belongs to it. Raise ValueError if there are other channels."""
        out: Sample = dict(data)
        for key in self.key_iterator(data):
            mask = torch.as_tensor(out[key])
            if mask.ndim != 4 or len(mask) != 1:
                raise ValueError(f"The mask has shape {tuple(mask.shape)}, expected (1, I, J, K).")
            solid = largest_solid(mask[0].detach().cpu().numpy() > 0)
            out[key] = torch.as_tensor(solid[None]).to(mask)
        return out


def largest_solid(mask: np.ndarray) -> np.ndarray:
    """Return the largest connected part of a mask (I, J, K), with its holes filled.

    Voxels that share a corner are connected, in the mask and in holes alike. A hole has no connection to the border
    of the grid. Of parts that are equally large the first one is returned; an empty mask stays empty.
    """
    out = np.zeros(mask.shape, bool)
    box = bounding_box(mask)
    parts, count = ndimage.label(mask[box], TOUCHING)
    if not count:
        return out
    largest = 1 + np.bincount(parts.ravel())[1:].argmax()
    around, _ = ndimage.label(np.pad(parts != largest, 1, constant_values=True), TOUCHING)
    out[box] = (around != around[0, 0, 0])[1:-1, 1:-1, 1:-1]
    return out
