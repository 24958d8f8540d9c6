"""Start of a training from the encoder of another network: ``train --init-encoder``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ..errors import OutputError, SettingsError
from ..inference.outside_encoders import Fit, load_outside_encoder
from ..inference.released import released_bundle, weights_file
from ..inference.settings import build_network, read_json
from ..inference.weights import initialise
from ..network import Segmenter
from ..system.atomic import replacing

START = "start.pt"


def start_from(
    encoder: Path, run: Path, *, init: str = "none", bundle: Path | None = None, settings: Mapping[str, Any]
) -> tuple[Path, Fit]:
    """Write the initial weights of a run: ``run``/start.pt. Return its path, and what fitted.

    Parameters
    ----------
    encoder
        Path of the other network's state dict.
    run
        Folder of the run.
    init
        Weights of all that the encoder does not give; as in :func:`.run.plan`.
    bundle
        Folder of the bundle to train. None: the released one.
    settings
        Settings of the run: ``network_def`` and ``seed`` are used, if they are given.

    Raises
    ------
    BundleError
        Nothing of the file fits, or it cannot be read.
    SettingsError
        The bundle's network is no Segmenter.
    OutputError
        The file cannot be written.
    """
    source = bundle or released_bundle()
    definition = settings.get("network_def") or read_json(source / "configs" / "train.json").get("network_def")
    torch.manual_seed(int(settings.get("seed", 0)))
    network = build_network(definition)
    if not isinstance(network, Segmenter):
        raise SettingsError(f"--init-encoder needs a Segmenter, {source} holds {type(network).__name__}.")
    initialise(network, init if init == "none" else str(weights_file(source, init)))
    fit = load_outside_encoder(network, encoder)
    path = run / START
    try:
        run.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            torch.save(network.state_dict(), temporary)
    except OSError as error:
        raise OutputError(f"{path} cannot be written ({error.strerror}); choose another folder.") from error
    return path, fit
