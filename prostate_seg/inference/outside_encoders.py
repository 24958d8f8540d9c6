"""Start of an encoder from the weights of another vision transformer: timm, DeiT, DINOv2, ViT-MAE, or our own.

Only what fits is taken: the file may hold a network for pictures, ours may be one for volumes. Each parameter that
is not taken, and each parameter of ours that keeps its random start, is in the report. Names are those of timm;
those of ViT-MAE and DINOv2 are the same, with a decoder, a mask token or layer scales in addition. Layer scales
(``ls1.gamma``) are multiplied into the linear layer before them, which changes nothing.
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
from .weights import State, read_state

_PREFIXES = r"^((module|backbone|encoder|vit|student|teacher)\.)+"
_SCALED = {"ls1.gamma": "attn.proj", "ls2.gamma": "mlp.fc2"}


@dataclass(frozen=True)
class Fit:
    """What an encoder took from a file.

    Attributes
    ----------
    taken
        Parameters of the encoder that were set.
    random
        Parameters of the encoder that keep their random start.
    left
        Parameters of the file that were not used, each with the reason.
    """

    taken: tuple[str, ...]
    random: tuple[str, ...]
    left: dict[str, str]

    def sentences(self) -> list[str]:
        """Return the report in words: three sentences at most."""
        told = [f"{len(self.taken)} parameters taken, {len(self.random)} of ours stay random"]
        if self.random:
            told.append(f"random: {_listed(self.random)}")
        if self.left:
            told.append(f"not used: {_listed([f'{name} ({why})' for name, why in self.left.items()])}")
        return told


def load_outside_encoder(network: Segmenter | VisionTransformer, source: str | Path | Mapping[str, Any]) -> Fit:
    """Load what fits of another vision transformer into an encoder, and report the rest.

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
    encoder = network.encoder if isinstance(network, Segmenter) else network
    name = "the given state dict" if isinstance(source, Mapping) else str(source)
    given = _named(dict(source) if isinstance(source, Mapping) else read_state(source))
    given = _without_layer_scales(given)
    expected = encoder.state_dict()
    taken: State = {}
    left: dict[str, str] = {}
    for key, value in given.items():
        if key not in expected:
            left[key] = "we have none"
        elif (fitted := _fitted(key, value, encoder)) is None:
            left[key] = f"{_size(value)}, ours {_size(expected[key])}"
        else:
            taken[key] = fitted
    odd = [key for key, value in taken.items() if not value.isfinite().all()]
    if odd:
        raise BundleError(f"{name} has values that are not finite: {_listed(odd)}; download it again.")
    if not any(key.startswith(("blocks.", "patch_embed.")) for key in taken):
        found = next((f"; {key}: {why}" for key, why in left.items() if "attn.qkv.weight" in key), "")
        raise BundleError(
            f"Neither a transformer block nor the patch embedding of {name} fits this network{found}. Give an "
            f"encoder of width {encoder.width}, or a network_def of its width."
        )
    encoder.load_state_dict(taken, strict=False)
    return Fit(tuple(taken), tuple(key for key in expected if key not in taken), left)


def _named(state: State) -> State:
    """Return the state dict with timm's names: prefixes of wrappers are removed."""
    return {re.sub(_PREFIXES, "", key): value.float() for key, value in state.items()}


def _without_layer_scales(state: State) -> State:
    """Multiply each layer scale into the linear layer before it: diag(g) (W x + b) = (g W) x + g b."""
    out = dict(state)
    for key, scale in state.items():
        found = re.fullmatch(r"(blocks\.\d+\.)(ls[12]\.gamma)", key)
        if found is None:
            continue
        layer = found[1] + _SCALED[found[2]]
        weight, bias = out.get(f"{layer}.weight"), out.get(f"{layer}.bias")
        if weight is not None and bias is not None and weight.ndim == 2 and scale.shape == bias.shape:
            out[f"{layer}.weight"], out[f"{layer}.bias"] = scale[:, None] * weight, scale * bias
            del out[key]
    return out


def _fitted(key: str, value: Tensor, encoder: VisionTransformer) -> Tensor | None:
    """Return a value in the shape of the encoder's parameter; None if it cannot be brought to it."""
    expected = encoder.state_dict()[key]
    if key == "patch_embed.proj.weight" and value.ndim == 4 and value.shape[1] in (1, 3):
        return _inflated(value, expected)
    if key == "pos_embed" and value.ndim == 3 and value.shape[2] == encoder.width:
        return _positions(value, encoder)
    return value if value.shape == expected.shape else None


def _inflated(kernel: Tensor, expected: Tensor) -> Tensor | None:
    """Return a linear patch embedding of pictures (D, RGB, P, P) for patches of another size and axes.

    The colours are summed, so that a gray picture gives the same tokens. The kernel is interpolated to our patch,
    and keeps its sum; along a third axis it is repeated.
    """
    if kernel.shape[0] != expected.shape[0] or expected.ndim not in (4, 5):
        return None
    if any(size < 2 for size in expected.shape[2:4]):
        return None
    gray = kernel.sum(1, keepdim=True)  # (D, 1, P, P)
    resized = F.interpolate(gray, tuple(expected.shape[2:4]), mode="bilinear", antialias=True)
    resized = resized * (gray.shape[2] * gray.shape[3] / math.prod(resized.shape[2:]))
    repeats = expected.shape[4] if expected.ndim == 5 else 1
    deep = resized[..., None].expand(*resized.shape, repeats) / repeats if expected.ndim == 5 else resized
    return deep.expand_as(expected) / expected.shape[1]


def _positions(embedding: Tensor, encoder: VisionTransformer) -> Tensor | None:
    """Return the position embedding (1, T, D) of a square grid, interpolated and repeated to the encoder's grid."""
    tokens, ours = embedding.shape[1], encoder.pos_embed.shape[1] - math.prod(encoder.grid)
    side = math.isqrt(tokens)
    extra = tokens - side * side
    if side < 2 or extra > 2 or ours > 1 + extra:
        return None
    plane = resize_position_embedding(embedding, (side, side), encoder.grid[:2])
    first, patches = plane[:, : min(extra, ours)], plane[:, extra:]
    if len(encoder.grid) == 3:
        patches = patches[:, :, None].expand(-1, -1, encoder.grid[2], -1).flatten(1, 2)
    missing = ours - first.shape[1]
    return torch.cat([encoder.pos_embed[:, :missing].detach(), first, patches], dim=1)


def _size(value: Tensor) -> str:
    return "x".join(map(str, value.shape))


def _listed(names: list[str] | tuple[str, ...]) -> str:
    return ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")
