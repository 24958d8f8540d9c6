"""Loading of weights: this package's own, and an official Segmenter release (others: :mod:`.pretrained`).

Files are read by ``torch.load(weights_only=True)`` and a safe YAML loader, so no code in them is executed.
BundleError is raised for weights that cannot be used; its text names the file and the parameters.
"""

from __future__ import annotations

import pickle
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor, nn

from ..errors import BundleError
from ..network import (
    LinearDecoder,
    MaskTransformer,
    MultiLabelSegmenter,
    PatchEmbed,
    Segmenter,
    VisionTransformer,
    channels_last,
)
from ..system.checked_files import MOST_BYTES, check_plain, shortened
from .limits import check_limits

_UNREADABLE = (  # raised by torch.load for files with changed or missing bytes
    OSError,
    EOFError,
    RuntimeError,
    ValueError,
    LookupError,
    AttributeError,
    TypeError,
    pickle.UnpicklingError,
    struct.error,
)
_HEAD = "decoder.head."
_BLOCKS = "encoder.blocks."
_UNUSED_HEADS = ("head.", "head_dist.", "pre_logits.")  # classification heads of timm and DeiT
_MEAN_AND_STD = {
    "vit": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    "deit": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
}

State = dict[str, Tensor]


@dataclass(frozen=True)
class OfficialRelease:
    """Content of a folder of the authors' model zoo.

    The input of the network is (x - mean) / std for three channels x in [0, 1].

    Attributes
    ----------
    network
        The network, in evaluation mode.
    window_size
        Side of a window of the published inference, in pixels (see :func:`.inferers.paper_inferer`).
    window_stride
        Distance between these windows, in pixels.
    mean
        Mean of each channel.
    std
        Standard deviation of each channel.
    """

    network: Segmenter
    window_size: int
    window_stride: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


def from_official(folder: str | Path) -> OfficialRelease:
    """Load a release of github.com/rstrudel/segmenter from a folder with ``checkpoint.pth`` and ``variant.yml``.

    BundleError is raised if a file is missing, damaged, or does not describe a Segmenter.
    """
    path = Path(folder) / "variant.yml"
    variant = _read_variant(path)
    try:
        network = _official_network(variant["net_kwargs"])
        inference = variant["inference_kwargs"]
        window, stride = int(inference["window_size"]), int(inference["window_stride"])
        mean, std = _MEAN_AND_STD[variant["net_kwargs"]["normalization"]]
    except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        raise BundleError(
            f"{path} does not describe a Segmenter this package knows ({error!r}); expected net_kwargs and "
            "inference_kwargs as the authors' training writes them."
        ) from error
    checkpoint = Path(folder) / "checkpoint.pth"
    state = without_heads(read_state(checkpoint), "encoder.")
    load_state(network, state, str(checkpoint))
    return OfficialRelease(network.eval(), window, stride, mean, std)


def read_state(path: str | Path) -> State:
    """Read a state dict from a file written by torch.save.

    The state dict may also be the entry ``model`` or ``state_dict`` of the file. BundleError is raised if the file
    is missing, damaged, or contains anything but tensors with names.
    """
    if str(path).endswith(".safetensors"):
        raise BundleError(
            f"{path} is a safetensors file; load it with that package, and save its tensors by torch.save."
        )
    try:
        check_plain(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise BundleError(f"There are no weights at {path}; give the path of a file of torch.save.") from error
    except _UNREADABLE as error:
        raise BundleError(
            f"{path} cannot be read as weights ({type(error).__name__}); it is corrupted or holds more than "
            "tensors. Download or train it again."
        ) from error
    return unwrapped(content, str(path))


def save_halved(state: Mapping[str, Tensor], path: Path) -> None:
    """Save weights in half precision, as the released ones are. The masks are the same but for single voxels."""
    torch.save({name: value.half() if value.is_floating_point() else value for name, value in state.items()}, path)


def load_state(module: nn.Module, state: Mapping[str, Tensor], name: str) -> None:
    """Load a state dict into a module.

    The state dict must have exactly the parameters of the module, with equal shapes and finite values. Otherwise
    BundleError is raised. Its text contains ``name``, the origin of the state dict.
    """
    expected = module.state_dict()
    common = {key: value for key, value in state.items() if key in expected}
    fitting = {key: value for key, value in common.items() if value.shape == expected[key].shape}
    plain = {key: value for key, value in fitting.items() if is_plain(value)}
    problems = {
        "missing": [key for key in expected if key not in state],
        "unexpected": [key for key in state if key not in expected],
        "of another shape": [
            f"{key} {tuple(value.shape)} instead of {tuple(expected[key].shape)}"
            for key, value in common.items()
            if key not in fitting
        ],
        "no plain numbers": [key for key in fitting if key not in plain],
        "not finite": [key for key, value in plain.items() if not value.isfinite().all()],
    }
    found = "; ".join(f"{kind}: {listed(keys)}" for kind, keys in problems.items() if keys)
    if found:
        raise BundleError(
            f"The weights in {name} are not of this network ({found}); use the settings that they were "
            "trained with."
        )
    module.load_state_dict(dict(state))


def is_plain(value: Tensor) -> bool:
    """Return whether a tensor stores each of its floating-point numbers: not sparse, quantised, complex or meta."""
    return value.layout is torch.strided and value.is_floating_point() and value.device.type != "meta"


class _VariantLoader(yaml.SafeLoader):
    """PyYAML's safe loader, extended by the tuples of the authors' files."""


_VariantLoader.add_constructor(
    "tag:yaml.org,2002:python/tuple", lambda loader, node: tuple(loader.construct_sequence(node))
)


def _read_variant(path: Path) -> dict[str, Any]:
    try:
        check_plain(path, MOST_BYTES)
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=_VariantLoader)
    except (OSError, ValueError, TypeError, RecursionError, yaml.YAMLError) as error:
        raise BundleError(
            f"{path} cannot be read as the settings of a Segmenter release ({type(error).__name__}); expected "
            "YAML as the authors' training writes it."
        ) from error
    if not isinstance(content, dict):
        raise BundleError(f"{path} holds no settings of a Segmenter release, got {type(content).__name__}.")
    return content


def _official_network(settings: dict[str, Any]) -> Segmenter:
    width, classes = int(settings["d_model"]), int(settings["n_cls"])
    patch = (int(settings["patch_size"]),) * 2
    size = [int(n) for n in settings["image_size"]]
    depths = [int(settings["n_layers"]), int(settings["decoder"].get("n_layers", 0))]
    check_limits(
        {"width": width, "num_classes": classes, "patch_size": list(patch), "image_size": size, "depth": depths}
    )
    encoder = VisionTransformer(
        tuple(size),
        PatchEmbed(3, width, patch),
        depth=int(settings["n_layers"]),
        heads=int(settings["n_heads"]),
        dropout=float(settings["dropout"]),
        drop_path=float(settings["drop_path_rate"]),
        distilled=bool(settings["distilled"]),
    )
    decoder = settings["decoder"]
    if decoder["name"] == "linear":
        return Segmenter(encoder, LinearDecoder(width, classes))
    if decoder["name"] != "mask_transformer":
        raise ValueError(f"decoder {decoder['name']!r} is neither linear nor mask_transformer")
    mask_transformer = MaskTransformer(
        width,
        classes,
        depth=int(decoder["n_layers"]),
        dropout=float(decoder["dropout"]),
        drop_path=float(decoder["drop_path_rate"]),
        mask_norm=nn.LayerNorm(classes),
    )
    return Segmenter(encoder, mask_transformer)


def unwrapped(content: Any, name: str) -> State:
    """Return the state dict in the content of a file. Raise BundleError if there is none."""
    for key in ("model", "state_dict"):
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping) or not all(
        isinstance(key, str) and isinstance(value, Tensor) for key, value in content.items()
    ):
        raise BundleError(f"{name} holds no state dict: expected names with tensors.")
    return dict(content)


def without_heads(state: State, prefix: str) -> State:
    """Leave out the classification heads of timm and DeiT."""
    heads = tuple(prefix + head for head in _UNUSED_HEADS)
    return {key: value for key, value in state.items() if not key.startswith(heads)}


def listed(names: Sequence[str]) -> str:
    """Return the first five names, and the number of further names."""
    first = [name if name.isprintable() and len(name) <= 200 else shortened(name) for name in names[:5]]
    return ", ".join(first) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def initialise(network: torch.nn.Module, weights: str) -> torch.nn.Module:
    """Load weights into a network, and store its convolutions channels last.

    ``weights`` is the path of a state dict, or ``none`` to keep the random weights. For a MultiLabelSegmenter they
    may be those of a network of other structures, whose head is left out, and of one with more transformer blocks;
    so may those of a network that is given hints, and its weights for them begin at 0.
    """
    if weights.lower() != "none":
        state, own = read_state(weights), network.state_dict()
        widened = _widened(state, own)
        if isinstance(network, MultiLabelSegmenter) or widened:
            heads = [name for name in own if name.startswith(_HEAD) and name in state]
            state |= {name: own[name] for name in heads if own[name].shape != state[name].shape} | widened
            state = {name: state[name] for name in state if name in own or not name.startswith(_BLOCKS)}
        load_state(network, state, weights)
    return channels_last(network)


def _widened(state: State, own: Mapping[str, Tensor]) -> State:
    """Return the weights of an image alone, with zeros for the further channels of a network's own input."""
    found = {}
    for name, weight in own.items():
        given = state.get(name)
        if given is None or given.ndim < 2 or given.shape[1] != 1 or weight.shape[1] == 1:
            continue
        if (given.shape[0], *given.shape[2:]) == (weight.shape[0], *weight.shape[2:]):
            found[name] = torch.zeros_like(weight)
            found[name][:, :1] = given
    return found
