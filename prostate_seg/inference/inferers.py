"""Inferers: they compute probabilities from a tensor and a network. The sliding windows are MONAI's.

Logits are averaged over windows. Probabilities are averaged over scales and flips. The Segmenter release does the
same. Both inferers are called like those of MONAI: ``inferer(inputs, network)``. A bundle may use them, so their
arguments are literals or other inferers. They compute no gradient and do not change the network's mode
(training or evaluation).
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
from ..network import MultiLabelSegmenter, autocast, members_of, slice_stack

PAPER_SCALES = (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)
_LINEAR = {1: "linear", 2: "bilinear", 3: "trilinear"}


class ScaleFlipInferer(Inferer):
    """Inferer that averages the probabilities of an image over several scales and flips.

    Parameters
    ----------
    inferer
        Computes the logits of one pass. The paper uses SlidingWindowInferer in its constant mode. If the window
        covers the whole image, the network is called directly on the image and this inferer is not used.
    scales
        Scale factors along ``scale_axes``.
    scale_axes
        Spatial axes that are scaled, counted from 0; None for all.
    flip_axes
        Spatial axes that are flipped, counted from 0. Each combination of them, including no flip, is one pass.
        The flips of one scale form one batch. In arrays of this package axis 0 is left-right in the patient.
    enlarge_small
        Enlarge an image if its shortest side is shorter than the window, as the paper's release does.
        Otherwise the network sees a small image at its own size, or padded to the window.
    autocast
        Run the network in bfloat16 if the device computes in it. Sums and softmax stay float32.
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
        """Return the mean probabilities of all passes: (B, C, *spatial) -> (B, K, *spatial)."""
        return self.collect(inputs, network, *args, **kwargs)[0]

    @torch.no_grad()
    def collect(
        self, inputs: Tensor, network: Callable[..., Tensor], *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """Return the mean of all passes (B, K, *spatial) and the foreground of each pass (N, B, *spatial).

        The foreground is 1 minus the probability of class 0.
        """
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
        """Yield, for each scale, the probabilities of its passes on the input's grid.

        The shape is (members times flips, B, K, *spatial). One pass is one flip of the image, seen by the network,
        or by one member of an :class:`~prostate_seg.network.Ensemble`.
        """
        image = _plain(inputs)
        spatial = tuple(image.shape[2:])
        for scale in self.scales:
            scaled = self._scaled(image, scale)  # (B, C, *scaled)
            batch = torch.cat([scaled.flip(axes) for axes in self.flips])  # (flips B, C, *scaled)
            found = []
            for member in members_of(network):
                logits = self._logits(batch, partial(member, *args, **kwargs) if args or kwargs else member)
                probabilities = _probabilities(member, _resize(logits, spatial))  # (flips B, K, *spatial)
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
    """Return the published inferer of Segmenter: six scales, each also mirrored along the last in-plane axis.

    The logits of overlapping windows are averaged.

    Parameters
    ----------
    window_size
        Side of a window in pixels.
    window_stride
        Distance between windows in pixels. The last window ends at the border of the image.
    batch_size
        Number of windows in a batch.
    """
    overlap = 1.0 - (window_stride + 0.5) / window_size  # MONAI rounds the stride down
    windows = SlidingWindowInferer(window_size, batch_size, max(overlap, 0.0), mode="constant")
    return ScaleFlipInferer(windows, scales=PAPER_SCALES, flip_axes=(1,), enlarge_small=True)


class SliceStackInferer(Inferer):
    """Inferer that segments a volume slice by slice with a 2D network.

    The network sees each slice together with its neighbours. A slice that is zero everywhere shows no ultrasound.
    The network does not compute such a slice; its background (class 0) has probability 1.

    Parameters
    ----------
    inferer
        Computes (n, neighbours, H, W) -> probabilities (n, K, H, W).
    neighbours
        Number of slices in a stack, odd. This is the number of input channels of the network.
    slice_batch
        Number of slices in a batch.
    """

    def __init__(self, inferer: ScaleFlipInferer, *, neighbours: int = 5, slice_batch: int = 8) -> None:
        super().__init__()
        if slice_batch < 1:
            raise SettingsError(f"slice_batch is at least 1, got {slice_batch}.")
        self.inferer, self.neighbours, self.slice_batch = inferer, neighbours, slice_batch

    @torch.no_grad()
    def __call__(self, inputs: Tensor, network: Callable[..., Tensor], *args: Any, **kwargs: Any) -> Tensor:
        """Return the mean probabilities of all passes: (B, 1, H, W, D) -> (B, K, H, W, D)."""
        return self.collect(inputs, network, *args, **kwargs)[0]

    @torch.no_grad()
    def collect(
        self, inputs: Tensor, network: Callable[..., Tensor], *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """Return the mean of all passes (B, K, H, W, D) and the foreground of each pass (N, B, H, W, D)."""
        volume = _plain(inputs)
        if volume.ndim != 5 or volume.shape[1] != 1:
            raise SettingsError(f"A volume to cut into slices is (B, 1, H, W, D), got {tuple(volume.shape)}.")
        seen = (volume != 0).any(dim=3).any(dim=2)[:, 0]  # (B, D)
        places = seen.nonzero().tolist() or [[0, 0]]  # empty volume: one slice gives K
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
        """Return the stacks (n, neighbours, H, W) at n places (batch index, slice index)."""
        return torch.stack([slice_stack(volume[b], k, self.neighbours) for b, k in places])


def _probabilities(network: Callable[..., Tensor], logits: Tensor) -> Tensor:
    """Return the softmax of logits, or what a network with further structures makes of them."""
    return network.probabilities(logits) if isinstance(network, MultiLabelSegmenter) else logits.softmax(dim=1)


def _resize(image: Tensor, size: Sequence[int]) -> Tensor:
    if tuple(image.shape[2:]) == tuple(size):
        return image
    return F.interpolate(image, tuple(size), mode=_LINEAR[len(size)])


def _plain(image: Tensor) -> Tensor:
    return image.as_tensor() if isinstance(image, MetaTensor) else image


def _like(result: Tensor, inputs: Tensor) -> Tensor:
    """Copy the metadata (affine, applied operations) of the input to the result, if the input has any."""
    if not isinstance(inputs, MetaTensor):
        return result
    return MetaTensor(result).copy_meta_from(inputs, copy_attr=False)
