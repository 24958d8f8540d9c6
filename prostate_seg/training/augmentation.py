"""Random augmentation: variation between scanners and patients, drawn anew for each training case and epoch."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from monai.config import KeysCollection
from monai.transforms import MapTransform, RandomizableTransform

from ..errors import SettingsError

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


RANGES = {  # lowest and highest value of each effect; those of ``augment`` in train.json
    "gain": (0.75, 1.25),  # factor
    "log_power": (-0.35, 0.35),  # natural logarithm of the exponent
    "depth_gain": (-0.4, 0.4),  # natural logarithm of the factor
    "shadows": (1, 3),  # number
    "shadow_angle": (-0.9, 0.9),  # radians from the mid-line
    "shadow_width": (0.03, 0.15),  # radians
    "shadow_start": (0.0, 0.7),  # share of the depth
    "shadow_strength": (0.3, 0.95),  # share of the signal that is lost
    "blur": (0.3, 1.0),  # standard deviation in voxels
    "speckle_size": (1.0, 2.5),  # voxels
    "speckle": (0.03, 0.15),  # standard deviation of the factor
}


class RandUltrasoundd(RandomizableTransform, MapTransform):
    """Random variation of (1, I, J, K) in [0, 1] between scanners and patients.

    The effects are gain with power, depth gain, shadow, blur and speckle. The probe is at high j. Shadows and depth
    gain follow rays from a point outside the image, beyond high j. They are the same in all slices. Black voxels
    stay black.

    Parameters
    ----------
    keys
        Keys of the images.
    prob
        Probability of each effect; effects are drawn independently.
    ranges
        Ranges that differ from :data:`RANGES`, by name. An unknown name raises SettingsError.
    """

    def __init__(
        self, keys: KeysCollection, prob: float = 0.25, ranges: Mapping[str, Sequence[float]] | None = None
    ) -> None:
        MapTransform.__init__(self, keys)
        RandomizableTransform.__init__(self, prob)
        ranges = ranges or {}
        if unknown := sorted(set(ranges) - set(RANGES)):
            raise SettingsError(f"RandUltrasoundd has no range {unknown[0]}; expected one of {', '.join(RANGES)}.")
        if wrong := sorted(name for name, pair in ranges.items() if len(pair) != 2 or pair[0] > pair[1]):
            raise SettingsError(f"The range {wrong[0]} is {ranges[wrong[0]]}, expected lowest and highest value.")
        self.ranges = {**RANGES, **ranges}

    def _drawn(self, name: str) -> float:
        return float(self.R.uniform(*self.ranges[name]))

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
        gain, power = self._drawn("gain"), np.exp(self._drawn("log_power"))
        return (image * gain).clamp(0, 1) ** power

    def _rays(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return two maps (I, J): depth in [0, 1] and angle in radians of each pixel, as seen from the probe."""
        i = torch.linspace(-0.5, 0.5, image.shape[1])[:, None]
        j = torch.linspace(1.1, 0.1, image.shape[2])[None]
        return torch.hypot(i, j).clamp(max=1), torch.atan2(i, j)

    def _depth_gain(self, image: torch.Tensor) -> torch.Tensor:
        depth, _ = self._rays(image)
        a, b = self._drawn("depth_gain"), self._drawn("depth_gain")
        return image * torch.exp(a * (depth - 0.5) + b * torch.sin(np.pi * depth) * 0.5)

    def _shadow(self, image: torch.Tensor) -> torch.Tensor:
        depth, angle = self._rays(image)
        fewest, most = self.ranges["shadows"]
        for _ in range(self.R.randint(int(fewest), int(most) + 1)):
            centre, width = self._drawn("shadow_angle"), self._drawn("shadow_width")
            start, strength = self._drawn("shadow_start"), self._drawn("shadow_strength")
            beam = torch.exp(-(((angle - centre) / width) ** 2)) * torch.sigmoid((depth - start) * 40)
            image = image * (1 - strength * beam)
        return image

    def _blur(self, image: torch.Tensor) -> torch.Tensor:
        sigma = self._drawn("blur")
        x = torch.arange(-5, 6, dtype=torch.float32)
        kernel = torch.exp(-(x**2) / (2 * sigma**2))
        kernel = kernel / kernel.sum()
        rows = F.conv2d(image[:, None], kernel[None, None, :, None], padding=(5, 0))
        return F.conv2d(rows, kernel[None, None, None, :], padding=(0, 5))[:, 0]

    def _speckle(self, image: torch.Tensor) -> torch.Tensor:
        size = [max(2, int(n / self._drawn("speckle_size"))) for n in image.shape[1:]]
        noise = torch.as_tensor(self.R.standard_normal((1, image.shape[0], *size)), dtype=torch.float32)
        noise = F.interpolate(noise, image.shape[1:], mode="bilinear")[0]
        return image * (1 + self._drawn("speckle") * noise)
