"""Patch embeddings: from an image to a map of tokens."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import SettingsError

INTERPOLATION = {2: "bilinear", 3: "trilinear"}


class PatchEmbed(nn.Module):
    """Published patch embedding, the same linear map for each patch: (B, C, *spatial) -> (B, D, *grid).

    For the parameters, see :class:`ConvStem`.
    """

    def __init__(
        self, in_channels: int, width: int, patch_size: Sequence[int], *, patch_mm: Sequence[float] | None = None
    ) -> None:
        super().__init__()
        self.in_channels, self.width, self.patch_size = in_channels, width, tuple(patch_size)
        self.patch_mm = _checked_mm(patch_mm, self.patch_size)
        convolution = _convolution(self.patch_size)
        self.proj = convolution(in_channels, width, self.patch_size, stride=self.patch_size)
        self.channels: tuple[int, ...] = ()

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Embed an image; its sides must be multiples of the patch size. The list of finer maps is empty."""
        return self.proj(x), []


class Refinement(nn.Module):
    """Residual block of two convolutions of side 3: (B, C, *grid) -> (B, C, *grid).

    Before training it adds only a constant to each channel, because the second convolution has zero weights.
    """

    def __init__(self, channels: int, axes: int) -> None:
        super().__init__()
        convolution = nn.Conv2d if axes == 2 else nn.Conv3d
        self.conv1 = convolution(channels, channels, 3, padding=1, bias=False)
        self.norm = nn.GroupNorm(max(1, channels // 8), channels)
        self.conv2 = convolution(channels, channels, 3, padding=1)
        nn.init.zeros_(self.conv2.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Add the output of the convolutions to the input."""
        return x + self.conv2(F.gelu(self.norm(self.conv1(x))))


class ConvStem(nn.Module):
    """Convolutional patch embedding, for training from random weights: (B, C, *spatial) -> (B, D, *grid).

    Xiao et al., "Early convolutions help transformers see better", NeurIPS 2021. Each halving of the grid is a
    convolution of side 3, a group norm and GELU. A linear map to the tokens follows. By default the channels double
    from about D / patch to D / 2, so that the fine grids cost little. For D = 192, patch 8 and 128 x 128 pixels the
    stem takes 30 million multiply-adds; six transformer blocks take 830 million. The attribute ``channels`` holds
    the number of channels after each halving, finest map first.

    Parameters
    ----------
    in_channels
        Number of input channels C.
    width
        Width D of the tokens.
    patch_size
        Patch size along each axis: powers of two, not all 1. An axis is no longer halved after its patch size is
        reached.
    refine
        Number of Refinements after each halving, or one number for each, finest map first. Each widens what a token
        sees: for patches of 8 x 8 x 4 voxels 15 x 15 x 15 without Refinements, 23 x 23 x 23 with one after the
        first halving, 71 x 71 x 55 with one after each.
    channels
        Channels after each halving, finest map first, multiples of 8. None: as above.
    all_maps
        Whether a token is a linear map of its patch in all maps, so that what the fine maps see also reaches the
        tokens. Otherwise only the last map is used.
    patch_mm
        Size of a patch in mm along each axis, for rotary position embedding. None: without it, as published.
    """

    def __init__(
        self,
        in_channels: int,
        width: int,
        patch_size: Sequence[int],
        *,
        refine: int | Sequence[int] = 0,
        channels: Sequence[int] | None = None,
        all_maps: bool = False,
        patch_mm: Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        self.in_channels, self.width, self.patch_size = in_channels, width, tuple(patch_size)
        self.patch_mm = _checked_mm(patch_mm, self.patch_size)
        convolution = _convolution(self.patch_size)
        halvings = [size.bit_length() - 1 for size in self.patch_size]
        count = max(halvings)
        if count < 1 or self.patch_size != tuple(2**halving for halving in halvings):
            raise SettingsError(f"A ConvStem's patch sizes are powers of two above 1, got {self.patch_size}.")
        if channels is None:
            channels = [8 * max(1, (width >> (count - step)) // 8) for step in range(count)]
        if len(channels) != count or any(number < 8 or number % 8 for number in channels):
            raise SettingsError(
                f"A ConvStem of patch size {self.patch_size} has {count} numbers of channels, multiples of 8, got "
                f"{list(channels)}."
            )
        refinements = [refine] * count if isinstance(refine, int) else list(refine)
        if len(refinements) != count:
            raise SettingsError(
                f"A ConvStem of patch size {self.patch_size} has {count} numbers of Refinements, got {refinements}."
            )
        self.channels, self.all_maps = tuple(channels), all_maps
        self.stages = nn.ModuleList()
        for step, (before, after) in enumerate(zip((in_channels, *channels), channels, strict=False)):
            stride = tuple(2 if step < halving else 1 for halving in halvings)
            halve = convolution(before, after, 3, stride=stride, padding=1, bias=False)
            refined = [Refinement(after, len(self.patch_size)) for _ in range(refinements[step])]
            self.stages.append(nn.Sequential(halve, nn.GroupNorm(after // 8, after), nn.GELU(), *refined))
        self.proj = convolution(self._folded_channels(halvings) if all_maps else channels[-1], width, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Embed an image; its sides must be multiples of the patch size. Also return the map after each halving."""
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        if self.all_maps:
            x = torch.cat([folded(part, x.shape[2:]) for part in maps], dim=1)
        return self.proj(x), maps

    def _folded_channels(self, halvings: Sequence[int]) -> int:
        """Return the channels of all maps after each was folded to the grid of the tokens."""
        left = [sum(max(0, halving - step - 1) for halving in halvings) for step in range(len(self.channels))]
        return sum(number * 2**halved for number, halved in zip(self.channels, left, strict=True))


def folded(x: Tensor, grid: Sequence[int]) -> Tensor:
    """Fold a map (B, C, *finer grid) to a coarser grid: (B, C', *grid), C' = C times the voxels of each patch."""
    axes = len(grid)
    split = [part for n, coarse in zip(x.shape[2:], grid, strict=True) for part in (coarse, n // coarse)]
    x = x.reshape(*x.shape[:2], *split)  # (B, C, I, i, J, j, ...)
    order = (0, 1, *range(3, 3 + 2 * axes, 2), *range(2, 2 + 2 * axes, 2))
    return x.permute(order).flatten(1, 1 + axes)


def unfolded(x: Tensor, patch: Sequence[int]) -> Tensor:
    """Reverse :func:`folded`: (B, C', *grid) -> (B, C, *finer grid), C = C' / voxels of a patch."""
    axes = len(patch)
    x = x.unflatten(1, (-1, *patch))  # (B, C, i, j, ..., I, J, ...)
    order = (
        0,
        1,
        *(axis for pair in zip(range(2 + axes, 2 + 2 * axes), range(2, 2 + axes), strict=True) for axis in pair),
    )
    x = x.permute(order)  # (B, C, I, i, J, j, ...)
    for axis in range(2, 2 + axes):
        x = x.flatten(axis, axis + 1)
    return x


def _convolution(patch_size: tuple[int, ...]) -> Callable[..., nn.Module]:
    if len(patch_size) not in INTERPOLATION or min(patch_size) < 1:
        raise SettingsError(f"A patch has two or three sides of at least 1 pixel, got {patch_size}.")
    return nn.Conv2d if len(patch_size) == 2 else nn.Conv3d


def _checked_mm(patch_mm: Sequence[float] | None, patch_size: tuple[int, ...]) -> tuple[float, ...] | None:
    if patch_mm is None:
        return None
    if len(patch_mm) != len(patch_size) or min(patch_mm) <= 0:
        raise SettingsError(
            f"A patch of {patch_size} voxels has as many sizes in mm, above 0, got {list(patch_mm)}."
        )
    return tuple(float(size) for size in patch_mm)
