"""Segmenter, its published sizes, and the stack of slices that a 2D network takes from a volume."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import SettingsError
from .decoder import LinearDecoder, MaskTransformer, SkipDecoder, VoxelDecoder
from .encoder import VisionTransformer
from .patches import INTERPOLATION, ConvStem, PatchEmbed
from .scripting import OfOneSize


class Segmenter(nn.Module):
    """Encoder and decoder: image ``(B, C, *spatial)`` -> logits ``(B, K, *spatial)``, float32, any spatial size.

    The image is padded with zeros at the end of each axis to a multiple of the patch size. The logits of the
    decoder are interpolated linearly to the padded size and then cropped, as published.
    """

    def __init__(
        self, encoder: VisionTransformer, decoder: LinearDecoder | MaskTransformer | SkipDecoder | VoxelDecoder
    ) -> None:
        super().__init__()
        if encoder.width != decoder.width:
            raise SettingsError(
                f"Encoder and decoder must be as wide as each other, got {encoder.width} and {decoder.width}."
            )
        if isinstance(decoder, SkipDecoder) and decoder.channels != encoder.patch_embed.channels:
            raise SettingsError(
                f"The decoder joins maps of {decoder.channels} channels, the encoder's stem gives "
                f"{encoder.patch_embed.channels}; give both the same."
            )
        if isinstance(decoder, VoxelDecoder) and decoder.patch_size != encoder.patch_size:
            raise SettingsError(
                f"The decoder expands patches of {decoder.patch_size} voxels, the encoder embeds "
                f"{encoder.patch_size}; give both the same."
            )
        self.encoder = encoder
        self.decoder = decoder

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of every pixel. Their softmax over axis 1 gives probabilities."""
        return self.with_features(x)[0]

    def with_features(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the logits ``(B, K, *spatial)``, and :meth:`features` (B, D) of the same pass."""
        size = tuple(x.shape[2:])
        x, grid = self._padded(x)  # (B, C, *padded)
        padded = tuple(x.shape[2:])
        tokens, maps = self.encoder.encode(x)  # (B, N, D)
        masks = self.decoder(tokens, grid, maps)  # (B, K, *grid) or a finer grid
        logits = F.interpolate(masks.float(), padded, mode=INTERPOLATION[len(size)])  # (B, K, *padded)
        return logits[(slice(None), slice(None), *map(slice, size))], tokens.mean(dim=1)

    def features(self, x: Tensor) -> Tensor:
        """Return the features (B, D) of an image: the mean of its patch tokens."""
        tokens, _ = self.encoder.encode(self._padded(x)[0])  # (B, N, D)
        return tokens.mean(dim=1)

    def __prepare_scriptable__(self) -> nn.Module:
        """Return what ``torch.jit.script`` compiles: this network for images of the encoder's ``image_size``."""
        return OfOneSize(self, self.encoder.patch_embed.in_channels, self.encoder.image_size)

    def _padded(self, x: Tensor) -> tuple[Tensor, tuple[int, ...]]:
        """Return the image padded to whole patches, and the number of patches along each axis."""
        patch = self.encoder.patch_size
        size = tuple(x.shape[2:])
        if len(size) != len(patch):
            raise SettingsError(
                f"This network takes (B, C, *spatial) with {len(patch)} axes, got {tuple(x.shape)}."
            )
        grid = tuple(-(-n // p) for n, p in zip(size, patch, strict=True))
        margins = [(0, g * p - n) for g, p, n in zip(grid, patch, size, strict=True)]
        return F.pad(x, [side for margin in reversed(margins) for side in margin]), grid


def segmenter_of_size(
    size: tuple[int, int, int],
    image_size: Sequence[int],
    patch_size: int = 16,
    *,
    in_channels: int = 1,
    num_classes: int = 2,
    decoder: type[LinearDecoder | MaskTransformer] = MaskTransformer,
    patch_embed: type[PatchEmbed | ConvStem] = PatchEmbed,
) -> Segmenter:
    """Build a Segmenter with stochastic depth 0.1 in its encoder, as in the paper.

    Parameters
    ----------
    size
        Width, depth and number of heads.
    image_size
        Two or three sides in pixels, for a 2D or 3D network.
    patch_size
        Side of a patch in pixels, the same along each axis.
    in_channels
        Number of input channels.
    num_classes
        Number of classes.
    decoder
        Class of the decoder.
    patch_embed
        Class of the patch embedding.
    """
    width, depth, heads = size
    embed = patch_embed(in_channels, width, (patch_size,) * len(image_size))
    encoder = VisionTransformer(image_size, embed, depth=depth, heads=heads, drop_path=0.1)
    return Segmenter(encoder, decoder(width, num_classes))


def segmenter_tiny(image_size: Sequence[int], patch_size: int = 16, **options: Any) -> Segmenter:
    """Build Seg-T; options as in :func:`segmenter_of_size`."""
    return segmenter_of_size((192, 12, 3), image_size, patch_size, **options)


def segmenter_small(image_size: Sequence[int], patch_size: int = 16, **options: Any) -> Segmenter:
    """Build Seg-S; options as in :func:`segmenter_of_size`."""
    return segmenter_of_size((384, 12, 6), image_size, patch_size, **options)


def segmenter_base(image_size: Sequence[int], patch_size: int = 16, **options: Any) -> Segmenter:
    """Build Seg-B; options as in :func:`segmenter_of_size`."""
    return segmenter_of_size((768, 12, 12), image_size, patch_size, **options)


def segmenter_large(image_size: Sequence[int], patch_size: int = 16, **options: Any) -> Segmenter:
    """Build Seg-L; options as in :func:`segmenter_of_size`."""
    return segmenter_of_size((1024, 24, 16), image_size, patch_size, **options)


def channels_last(network: nn.Module) -> nn.Module:
    """Store the convolution weights channels last.

    The results are the same. Training on a CPU took a fifth less time.
    """
    for parameter in network.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
        elif parameter.ndim == 5:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last_3d)
    return network


def slice_stack(volume: Tensor, index: int, neighbours: int) -> Tensor:
    """Return a slice of a volume and its neighbours, as input channels (neighbours, H, W) of a 2D network.

    The first and the last slice are repeated beyond the ends of the volume. So a volume of one slice works too.

    Parameters
    ----------
    volume
        Volume (1, H, W, D).
    index
        Index of the middle slice of the stack.
    neighbours
        Number of slices in the stack, odd.
    """
    if neighbours < 1 or neighbours % 2 == 0:
        raise SettingsError(f"The number of stacked slices is odd, so that one is the middle; got {neighbours}.")
    offsets = torch.arange(neighbours, device=volume.device) - neighbours // 2
    places = (index + offsets).clamp(0, volume.shape[-1] - 1)
    return volume[0].index_select(-1, places).movedim(-1, 0)  # (neighbours, H, W)
