"""Training of the network that looks at the urethra a second time: phantoms as the first networks see them."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms import Transform

from ..geometry.structures import key, structure
from ..inference.further import Further
from ..inference.predictor import Predictor, load_bundle
from ..inference.reader import metatensor_of
from ..inference.released import released_bundle
from ..inference.settings import read_settings
from ..inference.structure_network import load_structure_network
from ..phantom import draw_settings, make_phantom
from ..phantom.variety import varied_settings
from .data import as_read


class LoadFirstLook(Transform):
    """Loader of a phantom and of what the first networks find in it: ``{"phantom": seed}``.

    A phantom with ``"varied": True`` has the settings of :func:`prostate_seg.phantom.variety.varied_settings`. With
    ``"urethra": "gel"`` or ``"foley"`` its urethra holds gel or a catheter if the drawn one holds neither.

    The result has ``case``, ``image``, ``ctv`` and ``found``, the masks of the CTV and of the structure as the
    released networks draw them, and ``label``, its true mask. All are MetaTensors (1, I, J, K) on one grid. If
    nothing is found, the true mask is in its place.

    Parameters
    ----------
    name
        Name of the structure.
    bundle
        Folder of the bundle with the first networks; None for the released one.
    """

    def __init__(self, name: str = "urethra", bundle: str | None = None) -> None:
        self.name, self.bundle = name, bundle
        self._first: Predictor | None = None

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Make one phantom and segment it."""
        if self._first is None:
            self._first = _first_networks(self.bundle, self.name)
        seed = int(data["phantom"])
        settings = varied_settings(seed) if data.get("varied") else draw_settings(seed)
        if data.get("urethra") and settings.tissue.urethra_kind == "none":
            settings = replace(settings, tissue=replace(settings.tissue, urethra_kind=str(data["urethra"])))
        phantom = make_phantom(seed, settings=settings)
        image, true = as_read(phantom.image), phantom.structures[key(self.name)]
        seen = self._first(image)
        found = seen.structures[structure(self.name).name]
        given = {"ctv": seen.mask(), "found": found if found.any() else true, "label": true}
        return {"case": str(data.get("case", "")), "image": metatensor_of(image)} | {
            name: _as_tensor(mask, image.affine) for name, mask in given.items()
        }


def _first_networks(bundle: str | None, name: str) -> Predictor:
    """Return the networks of the CTV and of a structure, without a second look."""
    place = released_bundle() if bundle is None else Path(bundle)
    predictor = load_bundle(place, ensembling="none")
    network = load_structure_network(place, [name], read_settings(place), predictor.device)
    predictor.further = Further(network, None)
    return predictor


def _as_tensor(mask: np.ndarray, affine: np.ndarray) -> MetaTensor:
    return MetaTensor(torch.as_tensor(mask[None].astype(np.float32)), affine=torch.as_tensor(np.array(affine)))
