"""Rotary position embedding in millimetres: attention depends on where two patches lie relative to each other.

Su et al., "RoFormer", arXiv 2104.09864, extended to several axes: each axis turns its own share of the channels of
queries and keys. The product of a query and a key then depends on the distance of their patches along each axis.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

SHORTEST_MM, LONGEST_MM = 24.0, 400.0  # wavelengths; 24 mm turns neighbours at 12.8 mm nearly opposite
Rotation = tuple[Tensor, Tensor]


def rotation(
    grid: Sequence[int], patch_mm: Sequence[float], channels: int, *, extra: int, like: Tensor
) -> Rotation:
    """Return cosine and sine, (T, D/(2H)) each, of the angles by which queries and keys are turned.

    Parameters
    ----------
    grid
        Number of patches along each axis.
    patch_mm
        Size of a patch in mm along each axis.
    channels
        Channels D/H of a head, an even number. Each axis turns an equal number of pairs of channels; the remaining
        ones are not turned.
    extra
        Number of tokens without a position (class token, distillation token). They come first and are not turned.
    like
        Tensor whose type and device the result has.
    """
    each = channels // 2 // len(grid)
    waves = torch.logspace(math.log10(SHORTEST_MM), math.log10(LONGEST_MM), each, device=like.device)
    axes = [size * torch.arange(count, device=like.device) for count, size in zip(grid, patch_mm, strict=True)]
    positions = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).flatten(0, -2)  # (N, axes)
    angles = (2 * math.pi * positions[..., None] / waves).flatten(1)  # (N, axes * each)
    angles = F.pad(angles, (0, channels // 2 - angles.shape[1], extra, 0))  # (T, D/(2H))
    return angles.cos().to(like), angles.sin().to(like)


def rotated(x: Tensor, by: Rotation) -> Tensor:
    """Turn queries or keys (B, H, T, D/H); channel n is paired with channel n + D/(2H)."""
    cosine, sine = by
    first, second = x.chunk(2, dim=-1)
    turned = torch.cat([first * cosine - second * sine, second * cosine + first * sine], dim=-1)
    return turned.to(x.dtype)
