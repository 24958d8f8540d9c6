"""Start of a training from the encoder of another network: ``train --init-encoder``."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ..errors import SettingsError
from ..inference.pretrained import Fit, load_what_fits
from ..inference.settings import build_network
from ..inference.weights import initialise
from ..network import Segmenter
from ..system.atomic import replacing

FILE = "start.pt"


def start_of(definition: Any, encoder: Path, *, weights: str, seed: int) -> tuple[Mapping[str, Any], Fit]:
    """Return the initial state dict of a training, and what of the other network fitted.

    Parameters
    ----------
    definition
        Definition of the network (network_def).
    encoder
        Path of the other network's state dict.
    weights
        Path of the weights that everything else starts from, or ``none``: random weights.
    seed
        Seed of the random weights.

    Raises
    ------
    BundleError
        Nothing of the file fits, or a file cannot be read.
    SettingsError
        The network is no Segmenter.
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = build_network(definition)
    if not isinstance(network, Segmenter):
        raise SettingsError(f"--init-encoder needs a Segmenter, the bundle holds {type(network).__name__}.")
    initialise(network, weights)
    fit = load_what_fits(network, encoder)
    return network.state_dict(), fit


def write_start(state: Mapping[str, Any], path: Path) -> None:
    """Write a state dict. Raise OutputError if the file cannot be written."""
    stream = io.BytesIO()
    torch.save(dict(state), stream)
    with replacing(path) as temporary:
        temporary.write_bytes(stream.getvalue())
