"""Inference: a tensor and a network in, probabilities out. Sliding windows come from MONAI.

Over windows logits are averaged, over scales and flips probabilities (Segmenter's release). Both inferers are
called as MONAI's are, ``inferer(inputs, network)``, and may stand in a bundle; their arguments are literals
or other inferers. They build no gradient, and leave the network in the mode that it is in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import chain, combinations
from typing import Any

import torch
from monai.data import MetaTensor
from monai.inferers import Inferer, SlidingWindowInferer
from monai.utils import fall_back_tuple
from torch import Tensor
from torch.nn import functional as F

from ..errors import SettingsError
from ..network import autocast, members_of, slice_stack

PAPER_SCALES = (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)
_LINEAR = {1: "linear", 2: "bilinear", 3: "trilinear"}


class ScaleFlipInferer(Inferer):
    """Average the probabilities of an image seen at several scales and flips.

    inferer: does one pass, network -> logits (SlidingWindowInferer in its constant mode is the paper's).
    Where its window covers the whole image there is nothing to stitch: the network sees the image as it is.
    scales: factors on ``scale_axes`` (spatial axes counted from 0; None for all). flip_axes: spatial axes;
    each combination of them is a pass, and the flips of one scale are one batch. In arrays of this package
    axis 0 is left-right in the patient. enlarge_small: enlarge an image whose shortest side is below the
    window, as the paper's release does, where otherwise it is seen as it is or padded. autocast: run the
    network in bfloat16 if the device computes in it; sums and softmax stay float32.
    """

    def __init__(
        self,
        inferer: Inferer,
        *,
        scales: Sequence[float] = (1.0,),
        scale_axes: Sequence[int] | None = None,
        flip_axes: Sequence[int] = (),
        enlarge_small: bool = False,
        autocast: bool = False,
    ) -> None:
        super().__init__()
        if not scales or min(scales) <= 0:
            raise SettingsError(f"scales are one or more factors above 0, got {list(scales)}.")
        self.inferer = inferer
        self.scales, self.scale_axes = tuple(scales), scale_axes
        subsets = chain.from_iterable(combinations(flip_axes, n) for n in range(len(flip_axes) + 1))
        self.flips = [tuple(axis + 2 for axis in subset) for subset in subsets]
        self.enlarge_small, self.autocast = enlarge_small, autocast

    @torch.no_grad()
    def __call__(self, inputs: Tensor, network: Callable[..., Tensor], *args: Any, **kwargs: Any) -> Tensor:
        """(B, C, *spatial) -> probabilities (B, K, *spatial), the mean of all passes."""
        return self.collect(inputs, network, *args, **kwargs)[0]

    @torch.no_grad()
    def collect(
        self, inputs: Tensor, network: Callable[..., Tensor], *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """The mean of all passes (B, K, *spatial), and each pass's foreground (N, B, *spatial), 1 minus class 0."""
        total: Tensor | None = None
        each = []
        for scale in self.passes(inputs, network, *args, **kwargs):
            mean = scale.mean(0)
            total = mean if total is None else total + mean
            each.append(1 - scale[:, :, 0])
        assert total is not None
        return _like(total / len(self.scales), inputs), torch.cat(each)

    @torch.no_grad()
    def passes(self, inputs: Tensor, network: Callable[..., Tensor], *args: Any, **kwargs: Any) -> Iterator[Tensor]:
        """Yield for each scale its passes' probabilities (members flips, B, K, *spatial), on the input's grid.

        A pass is one member of an :class:`~prostate_seg.network.Ensemble`, or the network, seeing one flip.
        """
        image = _plain(inputs)
        spatial = tuple(image.shape[2:])
        for scale in self.scales:
            scaled = self._scaled(image, scale)  # (B, C, *scaled)
            batch = torch.cat([scaled.flip(axes) for axes in self.flips])  # (flips B, C, *scaled)
            found = []
            for member in members_of(network):
                logits = self._logits(batch, partial(member, *args, **kwargs) if args or kwargs else member)
                probabilities = torch.softmax(_resize(logits, spatial), dim=1)  # (flips B, K, *spatial)
                parts = probabilities.chunk(len(self.flips))
                found += [part.flip(axes) for part, axes in zip(parts, self.flips, strict=True)]
            yield torch.stack(found)

    def _logits(self, batch: Tensor, network: Callable[..., Tensor]) -> Tensor:
        def forward(x: Tensor) -> Tensor:
            with autocast(x.device.type, enabled=self.autocast):
                return network(x).float()

        logits = forward(batch) if self._window_covers(batch) else self.inferer(batch, forward)
        if logits.shape[1] < 2:
            raise SettingsError("Probabilities need two or more classes, background first; got one logit.")
        return torch.as_tensor(logits)

    def _scaled(self, image: Tensor, scale: float) -> Tensor:
        spatial = image.shape[2:]
        axes = range(len(spatial)) if self.scale_axes is None else self.scale_axes
        size = tuple(max(1, int(n * scale + 0.5)) if axis in axes else n for axis, n in enumerate(spatial))
        image = _resize(image, size)
        window = self._window(image)
        shortest = min(size)
        if self.enlarge_small and window is not None and shortest < min(window):
            image = _resize(image, tuple(int(n / shortest * min(window)) for n in size))
        return image

    def _window(self, image: Tensor) -> tuple[int, ...] | None:
        window = getattr(self.inferer, "roi_size", None)
        return None if window is None else fall_back_tuple(window, image.shape[2:])

    def _window_covers(self, image: Tensor) -> bool:
        window = self._window(image)
        return window is not None and all(w >= n for w, n in zip(window, image.shape[2:], strict=True))


def paper_inferer(window_size: int, window_stride: int, *, batch_size: int = 8) -> ScaleFlipInferer:
    """Segmenter's published inference: six scales, each with its mirror image along the last in-plane axis.

    Windows of window_size pixels at window_stride, the last flush with the border; their logits averaged.
    """
    overlap = 1.0 - (window_stride + 0.5) / window_size  # MONAI rounds the stride down
    windows = SlidingWindowInferer(window_size, batch_size, max(overlap, 0.0), mode="constant")
    return ScaleFlipInferer(windows, scales=PAPER_SCALES, flip_axes=(1,), enlarge_small=True)


class SliceStackInferer(Inferer):
    """Segment a volume slice by slice with a 2D network that sees each slice between its neighbours.

    inferer: (n, neighbours, H, W) -> probabilities (n, K, H, W), a ScaleFlipInferer. neighbours: odd, the
    channels of the network. slice_batch: slices at a time. A slice that is zero everywhere shows no
    ultrasound; it is not computed and is background (class 0) with probability 1.
    """

    def __init__(self, inferer: ScaleFlipInferer, *, neighbours: int = 5, slice_batch: int = 8) -> None:
        super().__init__()
        if slice_batch < 1:
            raise SettingsError(f"slice_batch is at least 1, got {slice_batch}.")
        self.inferer, self.neighbours, self.slice_batch = inferer, neighbours, slice_batch

    @torch.no_grad()
    def __call__(self, inputs: Tensor, network: Callable[..., Tensor], *args: Any, **kwargs: Any) -> Tensor:
        """(B, 1, H, W, D) -> probabilities (B, K, H, W, D)."""
        return self.collect(inputs, network, *args, **kwargs)[0]

    @torch.no_grad()
    def collect(
        self, inputs: Tensor, network: Callable[..., Tensor], *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """The mean of all passes (B, K, H, W, D), and each pass's foreground (N, B, H, W, D)."""
        volume = _plain(inputs)
        if volume.ndim != 5 or volume.shape[1] != 1:
            raise SettingsError(f"A volume to cut into slices is (B, 1, H, W, D), got {tuple(volume.shape)}.")
        seen = (volume != 0).any(dim=3).any(dim=2)[:, 0]  # (B, D)
        places = seen.nonzero().tolist() or [[0, 0]]  # an empty volume: one slice tells the number of classes
        results, passes = [], []
        for start in range(0, len(places), self.slice_batch):
            stacks = self._stacks(volume, places[start : start + self.slice_batch])  # (n, neighbours, H, W)
            mean, each = self.inferer.collect(stacks, network, *args, **kwargs)  # (n, K, H, W), (N, n, H, W)
            results.append(mean)
            passes.append(each)
        slices, foreground = torch.cat(results), torch.cat(passes, dim=1)  # (all n, K, H, W), (N, all n, H, W)
        result = slices.new_zeros(*seen.shape, *slices.shape[1:])  # (B, D, K, H, W)
        result[:, :, 0] = 1.0
        result[seen] = slices[: int(seen.sum())]
        every = foreground.new_zeros(len(foreground), *seen.shape, *slices.shape[2:])  # (N, B, D, H, W)
        every[:, seen] = foreground[:, : int(seen.sum())]
        return _like(result.movedim(1, -1), inputs), every.movedim(2, -1)

    def _stacks(self, volume: Tensor, places: list[list[int]]) -> Tensor:
        """(n, neighbours, H, W) for n places (batch index, slice index)."""
        return torch.stack([slice_stack(volume[b], k, self.neighbours) for b, k in places])


def _resize(image: Tensor, size: Sequence[int]) -> Tensor:
    if tuple(image.shape[2:]) == tuple(size):
        return image
    return F.interpolate(image, tuple(size), mode=_LINEAR[len(size)])


def _plain(image: Tensor) -> Tensor:
    return image.as_tensor() if isinstance(image, MetaTensor) else image


def _like(result: Tensor, inputs: Tensor) -> Tensor:
    """Give the result the metadata (affine, applied operations) of the input, if that has any."""
    if not isinstance(inputs, MetaTensor):
        return result
    return MetaTensor(result).copy_meta_from(inputs, copy_attr=False)
