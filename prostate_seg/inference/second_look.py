"""Second look at a structure that is too thin for the grid of the first network: the urethra.

A bundle with a second look has configs/urethra.json and models/urethra.pt. Their network sees the surroundings of
the mask that the network of structures has found, on a grid of less than a millimetre, and that mask itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor

from .. import network
from ..errors import BundleError
from ..geometry.extent import bounding_box
from ..geometry.structures import CTV, key
from ..geometry.volume import Volume, reindexed, spacing_of
from ..system.digests import sha256_of_file
from .resampling import resample_axes
from .settings import build, build_network, read_json
from .structure_network import StructureNetwork, without_islands
from .weights import load_state, read_state

FILE, WEIGHTS = "configs/urethra.json", "models/urethra.pt"
CHANNELS = ("image", "ctv", "found")  # of the network's input: image, mask of the CTV, mask of the first network
_ENTRIES = ("structure", "structures_sha256", "network_def", "margin_mm", "sure", "preprocessing", "inferer")


@dataclass(frozen=True, eq=False)
class SecondLook:
    """Network that segments a structure inside the CTV again.

    Attributes
    ----------
    structure
        Name of the structure, as the network of structures has it.
    network
        Gives one logit of the structure for each voxel.
    margin_mm
        Distance around the mask of the first network that it sees.
    sure
        Least mean probability inside its mask. Below it nothing is seen that shows where the structure ends.
    steps
        Transforms of ``image``, ``ctv`` and ``found`` to the network's grid.
    inferer
        Computes the logits of an image.
    sha256
        Digest of the weights.
    device
        Device of the network.
    """

    structure: str
    network: torch.nn.Module
    margin_mm: float
    sure: float
    steps: tuple[Callable[[dict[Any, Any]], dict[Any, Any]], ...]
    inferer: Callable[..., torch.Tensor]
    sha256: str
    device: torch.device

    def __call__(self, volume: Volume, ctv: np.ndarray, found: np.ndarray) -> np.ndarray:
        """Return the mask of the structure, bool (I, J, K), inside the CTV.

        The mask of the first network stays if it is empty, if the volume has one slice, or if the network is not
        sure.

        Parameters
        ----------
        volume
            Volume (I, J, K).
        ctv
            Mask of the CTV, bool (I, J, K).
        found
            Mask of the first network, bool (I, J, K), inside the CTV.
        """
        if not found.any() or volume.array.shape[2] < 2:
            return found
        margins = np.ceil(self.margin_mm / np.array(spacing_of(volume.affine))).astype(int).tolist()
        box = tuple(
            slice(max(0, part.start - more), min(size, part.stop + more))
            for part, more, size in zip(bounding_box(found), margins, found.shape, strict=True)
        )
        affine = reindexed(volume.affine, shift=[part.start for part in box])
        gray = volume.array[box].astype(np.float32) - min(0.0, float(volume.array.min()))
        sample: dict[Any, Any] = {
            name: MetaTensor(torch.as_tensor(values[None].astype(np.float32)), affine=torch.as_tensor(affine))
            for name, values in zip(CHANNELS, (gray, ctv[box], found[box]), strict=True)
        }
        for step in self.steps:
            sample = step(sample)
        batch = torch.cat([sample[name].as_tensor().float() for name in CHANNELS])[None]
        with torch.inference_mode():
            probability = self.inferer(batch.to(self.device), self._forward)[0, 0].sigmoid().cpu()
        placed = resample_axes(probability, np.asarray(sample["image"].affine, float), affine, gray.shape)
        seen = without_islands((placed.numpy() >= 0.5) & ctv[box])
        inside = probability[probability >= 0.5]
        if not seen.any() or float(inside.mean()) < self.sure:
            return found
        mask = np.zeros_like(found)
        mask[box] = seen
        return mask

    def _forward(self, x: torch.Tensor) -> torch.Tensor:
        with network.autocast(self.device.type):
            return torch.as_tensor(self.network(x)).float()


def load_second_look(bundle: Path, first: StructureNetwork, device: torch.device) -> SecondLook | None:
    """Load a bundle's second look.

    The result is None if the bundle has none, if its structure is not wanted, or if the network of structures has
    other weights than those whose masks it knows: a user's own network must not be overruled.

    Raises
    ------
    BundleError
        The files of the second look are damaged.
    """
    path, weights = bundle / FILE, bundle / WEIGHTS
    if not path.is_file():
        return None
    settings = read_json(path)
    if missing := [entry for entry in _ENTRIES if entry not in settings]:
        raise BundleError(f"{path} lacks {', '.join(missing)}; take it from the released bundle.")
    named = [one for one in first.wanted if key(one.name) == key(str(settings["structure"]))]
    if not named or first.sha256 != settings["structures_sha256"]:
        return None
    if named[0].parent is None or key(named[0].parent) != key(CTV):
        raise BundleError(f"{path} is about {named[0].name}, expected a structure whose parent is the {CTV}.")
    if not weights.is_file():
        raise BundleError(f"The bundle {bundle} has {FILE}, but {WEIGHTS} is missing; reinstall the bundle.")
    made = build_network(settings["network_def"])
    channels = getattr(getattr(made, "encoder", None), "patch_embed", None), getattr(made, "decoder", None)
    if [getattr(channels[0], "in_channels", 0), getattr(channels[1], "num_classes", 0)] != [len(CHANNELS), 1]:
        raise BundleError(f"The network_def of {path} is no Segmenter of {len(CHANNELS)} channels and one class.")
    load_state(made, read_state(weights), str(weights))
    try:
        steps = tuple(build(step) for step in settings["preprocessing"]["transforms"])
        margin_mm, sure = float(settings["margin_mm"]), float(settings["sure"])
    except (TypeError, ValueError, LookupError) as error:
        raise BundleError(
            f"{path} has no numbers margin_mm and sure, or no Compose with a list of transforms."
        ) from error
    inferer = build(settings["inferer"])
    ready = network.channels_last(made).to(device).eval()
    return SecondLook(named[0].name, ready, margin_mm, sure, steps, inferer, sha256_of_file(weights), device)
