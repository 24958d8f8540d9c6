"""Network that is given hints beside the image, and says how they change the probability of the CTV.

A bundle that has one holds configs/hints.json and models/hints.pt. It is used only if there are hints.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from monai.data import MetaTensor

from .. import network
from ..errors import BundleError
from ..geometry.volume import Array
from ..system.digests import sha256_of_file
from .settings import build, build_network, read_json
from .weights import load_state, read_state

FILE, WEIGHTS = "configs/hints.json", "models/hints.pt"
_ENTRIES = ("network_def", "inferer", "spacing_mm")


@dataclass(frozen=True, eq=False)
class HintNetwork:
    """Network of image and hint maps (:func:`prostate_seg.correction.maps.hint_maps`).

    Attributes
    ----------
    network
        Gives logits (B, 2, I, J, K) of background and CTV from image and maps (B, 5, I, J, K).
    inferer
        Computes the logits of an image window by window.
    spacing_mm
        Voxel spacing for which it was trained.
    sha256
        Digest of the weights.
    device
        Device of the network.
    """

    network: torch.nn.Module
    inferer: Callable[..., torch.Tensor]
    spacing_mm: tuple[float, ...]
    sha256: str
    device: torch.device

    def fits(self, spacing_mm: Sequence[float]) -> bool:
        """Return whether a grid has the voxel spacing for which the network was trained, within 5 %."""
        return bool(np.allclose(spacing_mm, self.spacing_mm, rtol=0.05, atol=0))

    def log_odds(self, image: MetaTensor, maps: Array) -> Array:
        """Return the log odds (I, J, K) of the CTV, from an image (1, I, J, K) and maps (4, I, J, K)."""
        batch = torch.cat([image.as_tensor(), torch.as_tensor(maps)])[None].to(self.device)
        with torch.inference_mode():
            logits = self.inferer(batch, self._forward)[0].float().cpu().numpy()
        return np.asarray(logits[1] - logits[0])

    def _forward(self, x: torch.Tensor) -> torch.Tensor:
        with network.autocast(self.device.type):
            return torch.as_tensor(self.network(x)).float()


def load_hint_network(bundle: Path, device: torch.device) -> HintNetwork | None:
    """Load a bundle's network of hints; None if it has none. Raise BundleError if its files are damaged."""
    path, weights = bundle / FILE, bundle / WEIGHTS
    if not path.is_file():
        return None
    settings = read_json(path)
    if missing := [entry for entry in _ENTRIES if entry not in settings]:
        raise BundleError(f"{path} lacks {', '.join(missing)}; take it from the released bundle.")
    if not weights.is_file():
        raise BundleError(f"The bundle {bundle} has {FILE}, but {WEIGHTS} is missing; reinstall the bundle.")
    found = network.channels_last(build_network(settings["network_def"]))
    load_state(found, read_state(weights), str(weights))
    inferer, spacing_mm = build(settings["inferer"]), tuple(map(float, settings["spacing_mm"]))
    return HintNetwork(found.to(device).eval(), inferer, spacing_mm, sha256_of_file(weights), device)
