"""Vision transformer that encodes patches, and its parts."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import SettingsError
from .patches import INTERPOLATION, ConvStem, PatchEmbed
from .rotary import Rotation, rotated, rotation


class Attention(nn.Module):
    """Multi-head self-attention with one fused projection: (B, T, D) -> (B, T, D)."""

    def __init__(self, width: int, heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        if width % heads:
            raise SettingsError(f"The width {width} does not divide into {heads} heads; choose a multiple of them.")
        self.heads, self.dropout = heads, dropout
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor, turned: Rotation | None = None) -> Tensor:
        """Compute the attention of every token to every token; ``turned`` rotates queries and keys."""
        qkv = self.qkv(x).unflatten(2, (3, self.heads, -1))  # (B, T, 3, H, D/H)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)  # each (B, H, T, D/H)
        if turned is not None:
            q, k = rotated(q, turned), rotated(k, turned)
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

    def forward(self, x: Tensor, turned: Rotation | None = None) -> Tensor:
        """Apply the block: (B, T, D) -> (B, T, D)."""
        x = x + self._kept(self.attn(self.norm1(x), turned))
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


SEEING = 2  # last blocks; they see all patches in training, also if some are hidden from the others


class VisionTransformer(nn.Module):
    """Encoder: (B, C, *spatial) -> patch tokens (B, N, D), without the class token.

    The sides of the image must be multiples of the patch size; Segmenter pads the image.

    Attributes
    ----------
    hidden
        Share of the patches, drawn for each image, that all but the last two blocks do not see in training; 0 at
        first. What is hidden can only be known from the other patches, and a step takes less time.

    Parameters
    ----------
    image_size
        Image size of the learned position embedding. For other image sizes the embedding is interpolated.
    patch_embed
        Patch embedding: a PatchEmbed or a ConvStem. If it has a size in mm, the position embedding is also rotary.
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
        channels = patch_embed.width // heads
        if patch_embed.patch_mm and (channels % 2 or channels < 2 * len(patch_embed.patch_size)):
            raise SettingsError(
                f"Rotary positions need an even number of channels in a head, at least 2 for each axis, got "
                f"{channels} (width {patch_embed.width}, {heads} heads)."
            )
        self.patch_size, self.width, self.heads = patch_embed.patch_size, patch_embed.width, heads
        if len(image_size) != len(self.patch_size):
            raise SettingsError(
                f"Image size {tuple(image_size)} and patch size {self.patch_size} must have as many axes."
            )
        self.hidden = 0.0
        self.image_size = tuple(image_size)
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
        places = resize_position_embedding(self.pos_embed, self.grid, grid)  # (1, T, D)
        x = self.dropout(x + places)
        turned: Rotation | None = None
        if self.patch_embed.patch_mm is not None:
            turned = rotation(grid, self.patch_embed.patch_mm, self.width // self.heads, extra=len(extra), like=x)
        first = len(self.blocks) - SEEING if self.training and self.hidden > 0 else 0
        if first > 0:
            x = self._half_blind(x, places, turned, self.blocks[:first])
        for block in self.blocks[first:]:
            x = block(x, turned)
        return self.norm(x)[:, len(extra) :], maps  # (B, N, D)

    def _half_blind(self, x: Tensor, places: Tensor, turned: Rotation | None, first: nn.ModuleList) -> Tensor:
        """Apply blocks to a random part of the tokens; the hidden patches keep only their position embedding."""
        count = 2 if self.dist_token is not None else 1
        order = torch.rand(x.shape[:2], device=x.device)
        order[:, :count] = -1.0  # class token and distillation token are never hidden
        kept = order.argsort(dim=1)[:, : x.shape[1] - int(self.hidden * (x.shape[1] - count))]  # (B, T')
        index = kept[..., None].expand(-1, -1, x.shape[2])
        seen = x.gather(1, index)  # (B, T', D)
        if turned is not None:
            turned = turned[0][kept][:, None], turned[1][kept][:, None]  # (B, 1, T', D/2H)
        for block in first:
            seen = block(seen, turned)
        return places.expand_as(x).to(seen.dtype).scatter(1, index, seen)


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
