"""Decoders: from patch tokens to class masks, on the grid of the patches or on a finer one."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import SettingsError
from .encoder import blocks, initialise
from .patches import INTERPOLATION, Refinement, unfolded


class LinearDecoder(nn.Module):
    """Linear layer from patch tokens to class logits: (B, N, D) -> (B, K, *grid)."""

    def __init__(self, width: int, num_classes: int) -> None:
        super().__init__()
        self.width = width
        self.head = nn.Linear(width, num_classes)
        self.apply(initialise)

    def forward(self, x: Tensor, grid: Sequence[int], maps: Sequence[Tensor] = ()) -> Tensor:
        """Decode tokens (B, N, D) that lie on the grid in row-major order; maps are not used."""
        return self.head(x).transpose(1, 2).unflatten(2, tuple(grid))


class CosineScale(nn.Module):
    """Learned factor and bias for each class: (..., K) cosines in [-1, 1] -> (..., K) logits.

    It replaces the published LayerNorm over classes. For K = 2 that LayerNorm maps (a, b) approximately to the sign
    of a - b, so its gradient is almost zero. For K = 1 it is constant.
    """

    def __init__(self, num_classes: int, temperature: float = 10.0) -> None:
        super().__init__()
        self.log_temperature = nn.Parameter(torch.full((num_classes,), math.log(temperature)))
        self.bias = nn.Parameter(torch.zeros(num_classes))

    def forward(self, cosines: Tensor) -> Tensor:
        """Multiply the cosines of each class by its factor, and add its bias."""
        return cosines * self.log_temperature.exp() + self.bias


class MaskTransformer(nn.Module):
    """Transformer over patch tokens and class tokens: (B, N, D) -> (B, K, *grid).

    The mask of a class is the cosine between its token and each patch token. This is the section "Mask Transformer"
    of the paper, as in the authors' release: heads of width 64, class tokens last, l2-normalised projections.
    ``mask_norm`` maps the cosines (B, N, K) to logits. By default it is the published ``nn.LayerNorm`` over classes
    for three or more classes, and CosineScale for fewer.
    """

    def __init__(
        self,
        width: int,
        num_classes: int,
        *,
        depth: int = 2,
        dropout: float = 0.0,
        drop_path: float = 0.0,
        mask_norm: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.width = width
        self.proj_dec = nn.Linear(width, width)
        self.cls_emb = nn.Parameter(torch.zeros(1, num_classes, width))
        self.blocks = blocks(depth, width, max(1, width // 64), dropout=dropout, drop_path=drop_path)
        self.decoder_norm = nn.LayerNorm(width)
        self.proj_patch = nn.Parameter(width**-0.5 * torch.randn(width, width))
        self.proj_classes = nn.Parameter(width**-0.5 * torch.randn(width, width))
        default = nn.LayerNorm if num_classes > 2 else CosineScale
        self.mask_norm = default(num_classes) if mask_norm is None else mask_norm
        self.apply(initialise)
        nn.init.trunc_normal_(self.cls_emb, std=0.02)

    def forward(self, x: Tensor, grid: Sequence[int], maps: Sequence[Tensor] = ()) -> Tensor:
        """Decode tokens (B, N, D) that lie on the grid in row-major order; maps are not used."""
        classes = self.cls_emb.expand(x.shape[0], -1, -1)
        x = torch.cat([self.proj_dec(x), classes], dim=1)  # (B, N + K, D)
        for block in self.blocks:
            x = block(x)
        x = self.decoder_norm(x)
        count = classes.shape[1]
        patches = F.normalize(x[:, :-count] @ self.proj_patch, dim=-1)  # (B, N, D)
        classes = F.normalize(x[:, -count:] @ self.proj_classes, dim=-1)  # (B, K, D)
        masks = self.mask_norm(patches @ classes.transpose(1, 2))  # (B, N, K)
        return masks.transpose(1, 2).unflatten(2, tuple(grid))  # (B, K, *grid)


class SkipDecoder(nn.Module):
    """Decoder with skip connections from the stem, for boundaries finer than a patch.

    It is not in the paper, where decoders see only the patches. The map of tokens is upsampled step by step. At
    each step it is concatenated with the stem's map of the same grid. The result is (B, K, *grid of the finest
    map). This grid has half the image's size along each axis with a patch size above 1.

    Parameters
    ----------
    width
        Width D of the tokens.
    num_classes
        Number of classes K.
    channels
        Channels of the stem's maps, finest map first.
    axes
        Number of spatial axes, 2 or 3.
    refine
        Number of Refinements after each step.
    voxels
        Number of voxels along each axis for which a position of the finest map gives logits; empty: one voxel.
    """

    def __init__(
        self,
        width: int,
        num_classes: int,
        channels: Sequence[int],
        *,
        axes: int,
        refine: int = 0,
        voxels: Sequence[int] = (),
    ) -> None:
        super().__init__()
        self.width, self.channels = width, tuple(channels)
        convolution = nn.Conv2d if axes == 2 else nn.Conv3d
        self.mode = INTERPOLATION[axes]
        self.join = convolution(width + self.channels[-1], self.channels[-1], 1)
        self.steps = nn.ModuleList()
        for fine, coarse in zip(self.channels[-2::-1], self.channels[:0:-1], strict=True):
            mix = convolution(fine + coarse, fine, 3, padding=1, bias=False)
            refined = [Refinement(fine, axes) for _ in range(refine)]
            self.steps.append(nn.Sequential(mix, nn.GroupNorm(max(1, fine // 8), fine), nn.GELU(), *refined))
        self.num_classes, self.voxels = num_classes, tuple(voxels)
        self.head = convolution(self.channels[0], num_classes * math.prod(self.voxels), 1)

    def forward(self, x: Tensor, grid: Sequence[int], maps: Sequence[Tensor] = ()) -> Tensor:
        """Decode tokens (B, N, D), in row-major order on the grid, with the stem's maps, finest map first."""
        x = x.transpose(1, 2).unflatten(2, tuple(grid))  # (B, D, *grid)
        x = self.join(torch.cat([x, maps[-1]], dim=1))  # (B, C', *grid)
        for step, fine in zip(self.steps, reversed(maps[:-1]), strict=True):
            x = F.interpolate(x, fine.shape[2:], mode=self.mode)
            x = step(torch.cat([x, fine], dim=1))  # (B, C'', *finer grid)
        x = self.head(x)
        return unfolded(x, self.voxels) if self.voxels else x


class VoxelDecoder(nn.Module):
    """Decoder of tokens alone: each token gives the voxels of its own patch: (B, N, D) -> (B, K, *finer grid).

    It is not in the paper. One linear map takes a token to features of half the patch's size along each axis with a
    patch size above 1. Refinements smooth across the borders of the patches, and a convolution of side 1 gives the
    logits. There are no skip connections: what the mask shows has passed through the transformer.

    Parameters
    ----------
    width
        Width D of the tokens.
    num_classes
        Number of classes K.
    patch_size
        Patch size of the encoder along each axis.
    channels
        Number of features of a voxel, a multiple of 8.
    refine
        Number of Refinements.
    """

    def __init__(
        self, width: int, num_classes: int, patch_size: Sequence[int], *, channels: int = 16, refine: int = 1
    ) -> None:
        super().__init__()
        self.width, self.patch_size = width, tuple(patch_size)
        axes = len(self.patch_size)
        if axes not in INTERPOLATION or channels < 8 or channels % 8:
            raise SettingsError(
                f"A VoxelDecoder has a patch size of two or three axes and a multiple of 8 channels, got "
                f"{self.patch_size} and {channels}."
            )
        self.voxels = tuple(max(1, size // 2) for size in self.patch_size)
        self.expand = nn.Linear(width, channels * math.prod(self.voxels))
        self.norm = nn.GroupNorm(channels // 8, channels)
        self.refined = nn.Sequential(*[Refinement(channels, axes) for _ in range(refine)])
        self.head = (nn.Conv2d if axes == 2 else nn.Conv3d)(channels, num_classes, 1)
        self.apply(initialise)

    def forward(self, x: Tensor, grid: Sequence[int], maps: Sequence[Tensor] = ()) -> Tensor:
        """Decode tokens (B, N, D) that lie on the grid in row-major order; maps are not used."""
        x = self.expand(x).transpose(1, 2).unflatten(2, tuple(grid))  # (B, C * voxels, *grid)
        x = F.gelu(self.norm(unfolded(x, self.voxels)))  # (B, C, *finer grid)
        return self.head(self.refined(x))
