"""Needles, seeds and calcifications of a bundle: their network, and the things that it finds around the CTV.

A bundle that finds things has configs/things.json and models/things.pt. They are used only if things are asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor

from .. import network
from ..errors import BundleError
from ..geometry.structures import KNOWN, key
from ..geometry.things import Thing
from ..geometry.volume import Segmentation, Volume
from ..system.digests import sha256_of_file
from .grouping import KINDS, things_in
from .reader import metatensor_of
from .settings import build, build_network, read_json
from .structure_network import LEARNT_ON
from .weights import load_state, read_state

FILE, WEIGHTS = "configs/things.json", "models/things.pt"
_ENTRIES = ("network_def", "preprocessing", "inferer", "things", "learnt_on")


@dataclass(frozen=True, eq=False)
class ThingNetwork:
    """Network of a bundle's things.

    Attributes
    ----------
    network
        Gives the logits of a map of cross-sections for each of the bundle's things.
    steps
        Transforms of ``image`` and ``ctv`` to the network's grid.
    inferer
        Computes the logits of an image.
    mirrored
        Whether the mirror image along the first axis is a second pass; the maps are the mean of both. The
        transforms must turn this axis left-right.
    things
        Names of the things, in the order of the network's channels.
    wanted
        Those of them that are wanted.
    learnt_on
        What the weights were trained on, by the name of the structure: ``phantoms`` or ``patients``.
    sha256
        Digest of the weights.
    device
        Device of the network.
    """

    network: torch.nn.Module
    steps: tuple[Callable[[dict[Any, Any]], dict[Any, Any]], ...]
    inferer: Callable[..., torch.Tensor]
    mirrored: bool
    things: tuple[str, ...]
    wanted: tuple[str, ...]
    learnt_on: Mapping[str, str]
    sha256: str
    device: torch.device

    @property
    def phantom_trained(self) -> tuple[str, ...]:
        """Names of the wanted things that were learnt on phantoms alone."""
        return tuple(name for name in self.wanted if self.learnt_on[name] == "phantoms")

    def __call__(self, volume: Volume, ctv: Segmentation) -> tuple[Thing, ...]:
        """Return the wanted things around the CTV, the most certain of each structure first.

        Without a CTV, and in a single slice, none is looked for.
        """
        if not ctv.labels.any() or volume.array.shape[2] < 2:
            return ()
        image = metatensor_of(volume)
        mask = MetaTensor(torch.as_tensor(ctv.mask()[None].astype(np.float32)), affine=image.affine)
        sample: dict[Any, Any] = {"image": image, "ctv": mask}
        for step in self.steps:
            sample = step(sample)
        prepared = sample["image"]
        batch = prepared.as_tensor()[None].to(self.device)  # (1, 1, I', J', K')
        with torch.inference_mode():
            maps = self._maps(batch)
            if self.mirrored:
                maps = (maps + self._maps(batch.flip(2)).flip(1)) / 2
        found = things_in(maps.cpu().numpy(), np.asarray(prepared.affine, float), self.things)
        wanted = {key(name) for name in self.wanted}
        return tuple(one for one in found if key(one.structure) in wanted)

    def _maps(self, batch: torch.Tensor) -> torch.Tensor:
        """Return the maps (S, I', J', K') of an image (1, 1, I', J', K')."""
        return torch.as_tensor(self.inferer(batch, self._forward))[0].float().sigmoid()

    def _forward(self, x: torch.Tensor) -> torch.Tensor:
        with network.autocast(self.device.type):
            return torch.as_tensor(self.network(x)).float()


def things_of_bundle(bundle: Path) -> tuple[str, ...]:
    """Return the names of the things that a bundle finds; none if it has no configs/things.json.

    BundleError is raised if the file is damaged.
    """
    path = bundle / FILE
    return _names(read_json(path), path) if path.is_file() else ()


def load_thing_network(bundle: Path, wanted: Sequence[str], device: torch.device) -> ThingNetwork:
    """Load the network of a bundle's things.

    Parameters
    ----------
    bundle
        Folder of the bundle.
    wanted
        Names of the wanted things, some of :func:`things_of_bundle`.
    device
        Device of the network.

    Raises
    ------
    BundleError
        The files of the bundle's things are missing or damaged.
    """
    path, weights = bundle / FILE, bundle / WEIGHTS
    content = read_json(path)
    names = _names(content, path)
    made = build_network(content["network_def"])
    classes = getattr(getattr(made, "decoder", None), "num_classes", None)
    if not isinstance(made, network.Segmenter) or classes != len(names):
        raise BundleError(
            f"The network_def of {path} is no Segmenter of {len(names)} classes, one a thing; correct it."
        )
    if not weights.is_file():
        raise BundleError(
            f"The bundle {bundle} has no weights of its things: {weights} is missing; reinstall the package, or "
            f"leave {', '.join(names)} out of --structures."
        )
    load_state(made, read_state(weights), str(weights))
    try:
        steps = tuple(build(step) for step in content["preprocessing"]["transforms"])
    except (TypeError, LookupError) as error:
        raise BundleError(f"The preprocessing of {path} is no Compose with a list of transforms.") from error
    asked = {key(name) for name in wanted}
    return ThingNetwork(
        network.channels_last(made).to(device).eval(),
        steps,
        build(content["inferer"]),
        content.get("mirrored", False),
        names,
        tuple(name for name in names if key(name) in asked),
        content["learnt_on"],
        sha256_of_file(weights),
        device,
    )


def _names(content: Mapping[str, Any], path: Path) -> tuple[str, ...]:
    """Return the names of the things of a configuration. Raise BundleError if it is damaged."""
    if missing := [entry for entry in _ENTRIES if entry not in content]:
        raise BundleError(f"{path} lacks {', '.join(missing)}.")
    names, learnt_on = content["things"], content["learnt_on"]
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise BundleError(f"{path} gives no list of names as things.")
    if wrong := [name for name in names if key(name) not in KINDS or KNOWN[key(name)].kind != "thing"]:
        raise BundleError(f"{path} names {wrong[0]!r:.80}, expected things of the table: {', '.join(KINDS)}.")
    if len({key(name) for name in names}) < len(names):
        raise BundleError(f"{path} names a thing twice.")
    if not isinstance(content.get("mirrored", False), bool):
        raise BundleError(f"{path} gives {content['mirrored']!r:.80} as mirrored, expected true or false.")
    if not isinstance(learnt_on, dict) or not all(learnt_on.get(name) in LEARNT_ON for name in names):
        raise BundleError(f"{path} does not say of each thing whether it was learnt on phantoms or patients.")
    return tuple(names)
