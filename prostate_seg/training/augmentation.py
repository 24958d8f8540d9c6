"""Random augmentation: variation between scanners and patients, drawn anew for each training case and epoch."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from monai.config import KeysCollection
from monai.transforms import MapTransform, RandomizableTransform

Sample = dict[Hashable, Any]


class RandFewSlicesd(RandomizableTransform, MapTransform):
    """Random reduction of (C, I, J, K) to 1 to ``most`` consecutive slices; the other slices become black.

    It is applied with probability ``prob``.
    """

    def __init__(self, keys: KeysCollection, prob: float = 0.1, most: int = 8) -> None:
        MapTransform.__init__(self, keys)
        RandomizableTransform.__init__(self, prob)
        self.most = most

    def __call__(self, data: Mapping[Hashable, Any]) -> Sample:
        """Set the same slices of each image to black."""
        out = dict(data)
        if self.R.random() >= self.prob:
            return out
        depth = out[self.keys[0]].shape[-1]
        count = int(self.R.randint(1, self.most + 1))
        first = int(self.R.randint(0, max(depth - count, 0) + 1))
        for key in self.key_iterator(out):
            kept = torch.zeros(depth)
            kept[first : first + count] = 1
            out[key] = out[key] * kept
        return out


class RandUltrasoundd(RandomizableTransform, MapTransform):
    """Random variation of (1, I, J, K) in [0, 1] between scanners and patients.

    The effects are gain with power, depth gain, shadow, blur and speckle. Each effect is applied independently with
    probability ``prob``. The probe is at high j. Shadows and depth gain follow rays from a point outside the image,
    beyond high j. They are the same in all slices. Black voxels stay black.
    """

    def __init__(self, keys: KeysCollection, prob: float = 0.25) -> None:
        MapTransform.__init__(self, keys)
        RandomizableTransform.__init__(self, prob)

    def __call__(self, data: Mapping[Hashable, Any]) -> Sample:
        """Vary each image separately."""
        out = dict(data)
        for key in self.key_iterator(out):
            image = torch.as_tensor(out[key])[0].movedim(-1, 0)  # (K, I, J)
            black = image <= 0
            for effect in (self._power, self._depth_gain, self._shadow, self._blur, self._speckle):
                if self.R.random() < self.prob:
                    image = effect(image)
            out[key] = image.clamp(0, 1).masked_fill(black, 0.0).movedim(0, -1)[None]
        return out

    def _power(self, image: torch.Tensor) -> torch.Tensor:
        gain, power = self.R.uniform(0.75, 1.25), np.exp(self.R.uniform(-0.35, 0.35))
        return (image * gain).clamp(0, 1) ** power

    def _rays(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return two maps (I, J): depth in [0, 1] and angle in radians of each pixel, as seen from the probe."""
        i = torch.linspace(-0.5, 0.5, image.shape[1])[:, None]
        j = torch.linspace(1.1, 0.1, image.shape[2])[None]
        return torch.hypot(i, j).clamp(max=1), torch.atan2(i, j)

    def _depth_gain(self, image: torch.Tensor) -> torch.Tensor:
        depth, _ = self._rays(image)
        a, b = self.R.uniform(-0.4, 0.4, 2)
        return image * torch.exp(float(a) * (depth - 0.5) + float(b) * torch.sin(np.pi * depth) * 0.5)

    def _shadow(self, image: torch.Tensor) -> torch.Tensor:
        depth, angle = self._rays(image)
        for _ in range(self.R.randint(1, 4)):
            centre, width = self.R.uniform(-0.9, 0.9), self.R.uniform(0.03, 0.15)
            start, depth_of_shadow = self.R.uniform(0.0, 0.7), self.R.uniform(0.3, 0.95)
            beam = torch.exp(-(((angle - centre) / width) ** 2)) * torch.sigmoid((depth - start) * 40)
            image = image * (1 - float(depth_of_shadow) * beam)
        return image

    def _blur(self, image: torch.Tensor) -> torch.Tensor:
        sigma = self.R.uniform(0.3, 1.0)
        x = torch.arange(-5, 6, dtype=torch.float32)
        kernel = torch.exp(-(x**2) / (2 * sigma**2))
        kernel = kernel / kernel.sum()
        rows = F.conv2d(image[:, None], kernel[None, None, :, None], padding=(5, 0))
        return F.conv2d(rows, kernel[None, None, None, :], padding=(0, 5))[:, 0]

    def _speckle(self, image: torch.Tensor) -> torch.Tensor:
        size = [max(2, int(n / self.R.uniform(1.0, 2.5))) for n in image.shape[1:]]
        noise = torch.as_tensor(self.R.standard_normal((1, image.shape[0], *size)), dtype=torch.float32)
        noise = F.interpolate(noise, image.shape[1:], mode="bilinear")[0]
        return image * (1 + float(self.R.uniform(0.03, 0.15)) * noise)
