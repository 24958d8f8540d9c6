"""Vision transformers of others as a start: state dicts with timm's names, which DeiT, DINOv2 and ViT-MAE have too.

A file is first adapted to the encoder: prefixes of wrappers are removed, layer scales (``ls1.gamma``) are
multiplied into the linear layer before them, the patch embedding of a picture becomes one for our patches, and its
positions become ours. :func:`load_pretrained` then needs every parameter, :func:`load_what_fits` takes what fits.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ..errors import BundleError
from ..network import Segmenter, VisionTransformer, resize_position_embedding
from .weights import State, is_plain, listed, load_state, read_state, unwrapped, without_heads

_WRAPPERS = re.compile(r"^((module|backbone|encoder|vit|student|teacher)\.)+")
_LAYER_SCALE = re.compile(r"(blocks\.\d+\.)ls([12])\.gamma")
_SCALED = {"1": "attn.proj", "2": "mlp.fc2"}
_KERNEL, _POSITIONS = "patch_embed.proj.weight", "pos_embed"


@dataclass(frozen=True)
class Fit:
    """What an encoder took from a file.

    Attributes
    ----------
    taken
        Parameters of the encoder that were set.
    random
        Parameters of the encoder that keep their start.
    left
        Parameters of the file that were not used, each with the reason.
    """

    taken: tuple[str, ...]
    random: tuple[str, ...]
    left: Mapping[str, str]

    def sentences(self) -> list[str]:
        """Return the report: up to three sentences."""
        sentences = [
            f"{len(self.taken)} parameters start the encoder; {len(self.random)} of its own keep their start."
        ]
        if self.random:
            sentences.append(f"These keep their start: {listed(self.random)}.")
        if self.left:
            sentences.append(f"Not used: {listed([f'{name} ({why})' for name, why in self.left.items()])}.")
        return sentences


def load_pretrained(network: Segmenter | VisionTransformer, source: str | Path | Mapping[str, Any]) -> None:
    """Load a pre-trained vision transformer into an encoder that it fits wholly.

    Classification heads are left out, and a distillation token with its position, unless the encoder is
    ``distilled``.

    Parameters
    ----------
    network
        The encoder, or a Segmenter with this encoder.
    source
        Path of the weights (torch.save, tensors only), or their state dict.

    Raises
    ------
    BundleError
        A parameter is missing, unknown, of another shape or not finite; the text names it.
    """
    encoder, state, name = _adapted(network, source)
    state = without_heads(state, "")
    if encoder.dist_token is None:
        state.pop("dist_token", None)
    given = state.get(_POSITIONS)
    if given is not None and given.ndim == 3 and given.shape != encoder.pos_embed.shape:
        extra = encoder.pos_embed.shape[1] - math.prod(encoder.grid)
        raise BundleError(
            f"The position embedding in {name} has shape {tuple(given.shape)}; expected {extra} token(s) "
            f"and a square grid of patches, to be fitted to the encoder's grid {encoder.grid}."
        )
    load_state(encoder, state, name)


def load_what_fits(network: Segmenter | VisionTransformer, source: str | Path | Mapping[str, Any]) -> Fit:
    """Load what fits of another vision transformer into an encoder, and report the rest.

    Shapes tell what fits. The number of heads is in no state dict: choose that of the other network.

    Parameters
    ----------
    network
        The encoder, or a Segmenter with this encoder.
    source
        Path of the weights (torch.save, tensors only), or their state dict.

    Raises
    ------
    BundleError
        The file is no state dict, a value is not finite, or neither a transformer block nor the patch embedding
        fits, for example because the width differs; the text gives the shapes.
    """
    encoder, state, name = _adapted(network, source)
    expected = encoder.state_dict()
    left: dict[str, str] = {}
    for key, value in state.items():
        if not is_plain(value):
            left[key] = "not plain numbers"
        elif key not in expected:
            left[key] = "not a parameter of ours"
        elif value.shape != expected[key].shape:
            left[key] = f"{_size(value)}, ours {_size(expected[key])}"
    for key in [key for key in state if key.endswith(".bias") and key.replace(".bias", ".weight") in left]:
        left.setdefault(key, "its weight does not fit")
    taken = {key: value for key, value in state.items() if key not in left}
    odd = [key for key, value in taken.items() if not value.isfinite().all()]
    if odd:
        raise BundleError(f"{name} has values that are not finite: {listed(odd)}; download it again.")
    if not any(re.match(r"(blocks|patch_embed)\..*weight$", key) for key in taken):
        raise BundleError(
            f"Neither a transformer block nor the patch embedding of {name} fits this network "
            f"({listed([f'{key}: {why}' for key, why in left.items()])}); expected timm's names, for example "
            f"blocks.0.attn.qkv.weight, and the width {encoder.width}."
        )
    encoder.load_state_dict(taken, strict=False)
    return Fit(tuple(taken), tuple(key for key in expected if key not in taken), left)


def _adapted(
    network: Segmenter | VisionTransformer, source: str | Path | Mapping[str, Any]
) -> tuple[VisionTransformer, State, str]:
    """Return the encoder, the state dict with timm's names and, where possible, our shapes, and the file's name."""
    encoder = network.encoder if isinstance(network, Segmenter) else network
    name = "the given state dict" if isinstance(source, Mapping) else str(source)
    given = unwrapped(source, name) if isinstance(source, Mapping) else read_state(source)
    state = {_WRAPPERS.sub("", key): value for key, value in given.items()}
    if len(state) < len(given):
        raise BundleError(f"{name} holds several networks, for example a student and a teacher; save one of them.")
    state = _without_layer_scales(state)
    kernel, positions = state.get(_KERNEL), state.get(_POSITIONS)
    if kernel is not None and is_plain(kernel):
        state[_KERNEL] = _kernel(kernel, encoder)
    if positions is not None and is_plain(positions):
        extra = sum(token in state for token in ("cls_token", "dist_token"))
        state[_POSITIONS] = _positions(positions, extra, encoder)
    return encoder, state, name


def _without_layer_scales(state: State) -> State:
    """Multiply each layer scale into the linear layer before it: diag(g) (W x + b) = (g W) x + g b."""
    out = dict(state)
    for key, scale in state.items():
        found = _LAYER_SCALE.fullmatch(key)
        layer = found[1] + _SCALED[found[2]] if found else ""
        weight, bias = out.get(f"{layer}.weight"), out.get(f"{layer}.bias")
        parts = [part for part in (scale, weight, bias) if part is not None]
        if found is None or weight is None or not all(map(is_plain, parts)) or scale.shape != weight.shape[:1]:
            continue
        out[f"{layer}.weight"] = scale[:, None] * weight
        if bias is not None:
            out[f"{layer}.bias"] = scale * bias
        del out[key]
    return out


def _kernel(kernel: Tensor, encoder: VisionTransformer) -> Tensor:
    """Return the patch embedding (D, RGB, P, P) of a picture for our patches and channels; unchanged if it fits.

    The token of one of our patches is that of the same patch, enlarged to P x P pixels. Colours are summed and
    divided among our channels, so that equal channels give the token of a gray picture. In a volume the rows of the
    picture are j and its columns i, and equal slices give the token of the picture.
    """
    expected = encoder.state_dict()[_KERNEL]
    if kernel.shape == expected.shape or kernel.ndim != 4 or kernel.shape[0] != expected.shape[0]:
        return kernel
    if kernel.shape[1] != 3 or tuple(expected.shape[2:]) != encoder.patch_size:
        return kernel
    kernel = kernel.float().sum(1)  # (D, P, P)
    if expected.ndim == 5:
        kernel = kernel.transpose(1, 2)
    first, second = (_enlarging(size, kernel.shape[1]) for size in encoder.patch_size[:2])
    kernel = (first @ kernel @ second.T)[:, None]  # (D, 1, i, j)
    if expected.ndim == 5:
        kernel = kernel[..., None] / encoder.patch_size[2]
    return kernel.expand(expected.shape) / expected.shape[1]


def _enlarging(size: int, to: int) -> Tensor:
    """Return the matrix (size, to) whose row n is what one sample at n becomes by linear interpolation."""
    return F.interpolate(torch.eye(size)[None], to, mode="linear")[0]


def _positions(given: Tensor, extra: int, encoder: VisionTransformer) -> Tensor:
    """Return the positions (1, T, D) of a square grid for the encoder's grid; unchanged if that is not possible.

    ``extra`` is the number of tokens of the file that come before the patches: class token, distillation token. A
    volume gets the positions of the picture in each of its slices; rows are j.
    """
    own = encoder.pos_embed
    if given.shape == own.shape or given.ndim != 3 or given.shape[0] != 1 or given.shape[2] != encoder.width:
        return given
    side = math.isqrt(max(given.shape[1] - extra, 0))
    if side < 1 or side * side + extra != given.shape[1]:
        return given
    first, patches = given[:, :extra], given[:, extra:]
    if len(encoder.grid) == 3:
        patches = patches.unflatten(1, (side, side)).transpose(1, 2).flatten(1, 2)
    patches = resize_position_embedding(patches, (side, side), encoder.grid[:2])
    if len(encoder.grid) == 3:
        patches = patches[:, :, None].expand(-1, -1, encoder.grid[2], -1).flatten(1, 2)
    count = own.shape[1] - math.prod(encoder.grid)
    first = torch.cat([first[:, :count], own[:, extra:count].detach()], dim=1)
    return torch.cat([first, patches], dim=1)


def _size(value: Tensor) -> str:
    return "x".join(map(str, value.shape)) or "a number"
