"""Vision transformer that encodes patches, and its parts."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import SettingsError

INTERPOLATION = {2: "bilinear", 3: "trilinear"}


class Attention(nn.Module):
    """Multi-head self-attention with one fused projection: (B, T, D) -> (B, T, D)."""

    def __init__(self, width: int, heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        if width % heads:
            raise SettingsError(f"The width {width} does not divide into {heads} heads; choose a multiple of them.")
        self.heads, self.dropout = heads, dropout
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Compute the attention of every token to every token."""
        qkv = self.qkv(x).unflatten(2, (3, self.heads, -1))  # (B, T, 3, H, D/H)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)  # each (B, H, T, D/H)
        x = F.scaled_dot_product_attention(q, k, v, dropout_p=self.dropout if self.training else 0.0)
        x = self.proj(x.transpose(1, 2).flatten(2))  # (B, T, D)
        return F.dropout(x, self.dropout, self.training)


class FeedForward(nn.Module):
    """Two linear layers with a hidden width of 4 D: (B, T, D) -> (B, T, D)."""

    def __init__(self, width: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, 4 * width)
        self.fc2 = nn.Linear(4 * width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Transform every token separately."""
        return self.dropout(self.fc2(self.dropout(F.gelu(self.fc1(x)))))


class Block(nn.Module):
    """Pre-norm transformer block with stochastic depth.

    During training each branch is skipped with probability ``drop_path``, independently for each sample.
    """

    def __init__(self, width: int, heads: int, dropout: float = 0.0, drop_path: float = 0.0) -> None:
        super().__init__()
        self.drop_path = drop_path
        self.norm1 = nn.LayerNorm(width)
        self.attn = Attention(width, heads, dropout)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = FeedForward(width, dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the block: (B, T, D) -> (B, T, D)."""
        x = x + self._kept(self.attn(self.norm1(x)))
        return x + self._kept(self.mlp(self.norm2(x)))

    def _kept(self, branch: Tensor) -> Tensor:
        if not self.training or self.drop_path == 0.0:
            return branch
        keep = torch.rand(branch.shape[0], 1, 1, device=branch.device) >= self.drop_path
        return branch * keep / (1.0 - self.drop_path)


def blocks(depth: int, width: int, heads: int, *, dropout: float, drop_path: float) -> nn.ModuleList:
    """Return transformer blocks. Their drop rate rises linearly from 0 (first) to ``drop_path`` (last block)."""
    rates = [drop_path * index / max(depth - 1, 1) for index in range(depth)]
    return nn.ModuleList(Block(width, heads, dropout, rate) for rate in rates)


class PatchEmbed(nn.Module):
    """Published patch embedding, the same linear map for each patch: (B, C, *spatial) -> (B, D, *grid)."""

    def __init__(self, in_channels: int, width: int, patch_size: Sequence[int]) -> None:
        super().__init__()
        self.in_channels, self.width, self.patch_size = in_channels, width, tuple(patch_size)
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
    convolution of side 3, a group norm and GELU. A convolution of side 1 follows. The channels double from about D
    / patch to D / 2, so that the fine grids cost little. For D = 192, patch 8 and 128 x 128 pixels the stem takes
    30 million multiply-adds; six transformer blocks take 830 million. The attribute ``channels`` holds the number
    of channels after each halving, finest map first.

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
        Number of Refinements after each halving.
    """

    def __init__(self, in_channels: int, width: int, patch_size: Sequence[int], *, refine: int = 0) -> None:
        super().__init__()
        self.in_channels, self.width, self.patch_size = in_channels, width, tuple(patch_size)
        convolution = _convolution(self.patch_size)
        halvings = [size.bit_length() - 1 for size in self.patch_size]
        if max(halvings) < 1 or self.patch_size != tuple(2**count for count in halvings):
            raise SettingsError(f"A ConvStem's patch sizes are powers of two above 1, got {self.patch_size}.")
        self.stages = nn.ModuleList()
        channels = [in_channels]
        for step in range(max(halvings)):
            groups = max(1, (width >> (max(halvings) - step)) // 8)
            stride = tuple(2 if step < count else 1 for count in halvings)
            halve = convolution(channels[-1], 8 * groups, 3, stride=stride, padding=1, bias=False)
            refined = [Refinement(8 * groups, len(self.patch_size)) for _ in range(refine)]
            self.stages.append(nn.Sequential(halve, nn.GroupNorm(groups, 8 * groups), nn.GELU(), *refined))
            channels.append(8 * groups)
        self.channels = tuple(channels[1:])
        self.proj = convolution(channels[-1], width, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Embed an image; its sides must be multiples of the patch size. Also return the map after each halving."""
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return self.proj(x), maps


class VisionTransformer(nn.Module):
    """Encoder: (B, C, *spatial) -> patch tokens (B, N, D), without the class token.

    The sides of the image must be multiples of the patch size; Segmenter pads the image.

    Parameters
    ----------
    image_size
        Image size of the learned position embedding. For other image sizes the embedding is interpolated.
    patch_embed
        Patch embedding: a PatchEmbed or a ConvStem.
    depth
        Number of transformer blocks.
    heads
        Number of attention heads H.
    dropout
        Dropout rate.
    drop_path
        Drop rate of the last block. The rate rises linearly from 0 in the first block.
    distilled
        Whether there is a distillation token, as in DeiT.
    """

    def __init__(
        self,
        image_size: Sequence[int],
        patch_embed: PatchEmbed | ConvStem,
        *,
        depth: int,
        heads: int,
        dropout: float = 0.0,
        drop_path: float = 0.0,
        distilled: bool = False,
    ) -> None:
        super().__init__()
        self.patch_size, self.width = patch_embed.patch_size, patch_embed.width
        if len(image_size) != len(self.patch_size):
            raise SettingsError(
                f"Image size {tuple(image_size)} and patch size {self.patch_size} must have as many axes."
            )
        self.grid = tuple(math.ceil(n / p) for n, p in zip(image_size, self.patch_size, strict=True))
        self.patch_embed = patch_embed
        self.cls_token = nn.Parameter(torch.zeros(1, 1, self.width))
        self.dist_token = nn.Parameter(torch.zeros(1, 1, self.width)) if distilled else None
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + distilled + math.prod(self.grid), self.width))
        self.dropout = nn.Dropout(dropout)
        self.blocks = blocks(depth, self.width, heads, dropout=dropout, drop_path=drop_path)
        self.norm = nn.LayerNorm(self.width)
        self.apply(initialise)
        for parameter in (self.cls_token, self.dist_token, self.pos_embed):
            if parameter is not None:
                nn.init.trunc_normal_(parameter, std=0.02)

    def forward(self, x: Tensor) -> Tensor:
        """Encode an image (B, C, *spatial) as tokens (B, N, D)."""
        return self.encode(x)[0]

    def encode(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return the tokens (B, N, D) of an image, and the maps of the stem, finest first.

        A PatchEmbed has no maps.
        """
        x, maps = self.patch_embed(x)  # (B, D, *grid)
        grid = tuple(x.shape[2:])
        x = x.flatten(2).transpose(1, 2)  # (B, N, D)
        extra = [token for token in (self.cls_token, self.dist_token) if token is not None]
        x = torch.cat([*(token.expand(x.shape[0], -1, -1) for token in extra), x], dim=1)  # (B, T, D)
        x = self.dropout(x + resize_position_embedding(self.pos_embed, self.grid, grid))
        for block in self.blocks:
            x = block(x)
        return self.norm(x)[:, len(extra) :], maps  # (B, N, D)


def _convolution(patch_size: tuple[int, ...]) -> Callable[..., nn.Module]:
    if len(patch_size) not in INTERPOLATION or min(patch_size) < 1:
        raise SettingsError(f"A patch has two or three sides of at least 1 pixel, got {patch_size}.")
    return nn.Conv2d if len(patch_size) == 2 else nn.Conv3d


def resize_position_embedding(embedding: Tensor, grid: Sequence[int], new_grid: Sequence[int]) -> Tensor:
    """Interpolate the patch positions of an embedding (1, T, D) linearly from one grid to another.

    The last prod(grid) entries belong to the patches. The entries before them (class token, distillation token) do
    not change. Equal grids change nothing. Two grids of equal size but different shape, such as 32 x 32 and 64 x
    16, are interpolated correctly; the authors' release treats them as equal.
    """
    if tuple(grid) == tuple(new_grid):
        return embedding
    count = math.prod(grid)
    extra, patches = embedding[:, :-count], embedding[:, -count:]
    patches = patches.transpose(1, 2).unflatten(2, tuple(grid))  # (1, D, *grid)
    mode = INTERPOLATION[len(grid)]
    patches = F.interpolate(patches.float(), tuple(new_grid), mode=mode)  # (1, D, *new_grid)
    return torch.cat([extra, patches.flatten(2).transpose(1, 2).to(extra.dtype)], dim=1)


def initialise(module: nn.Module) -> None:
    """Apply the published initialisation to a linear layer.

    The weights are drawn from a truncated normal distribution of standard deviation 0.02. The biases are zero.
    """
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        nn.init.zeros_(module.bias)
