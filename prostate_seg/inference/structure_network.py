"""Further structures of a bundle: their network, and their masks on the grid of the image.

A bundle with further structures has configs/structures.json and models/structures.pt. They are used only if
structures are asked for. Their network is one of its own, so that the CTV stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor
from scipy import ndimage

from .. import network
from ..errors import BundleError, SettingsError
from ..geometry.extent import bounding_box
from ..geometry.structures import CTV, KNOWN, Structure, key, structures_of
from ..geometry.volume import reindexed
from ..reading.field_of_view import field_of_view
from ..system.digests import sha256_of_file
from .resampling import resample_axes
from .settings import build, build_network, read_json, with_ensembling
from .weights import load_state, read_state

FILE, WEIGHTS = "configs/structures.json", "models/structures.pt"
LEARNT_ON = ("phantoms", "patients")
SMALL_SHARE = 0.1  # of the largest component; smaller islands of a structure are removed
_ENTRIES = ("network_def", "structures", "learnt_on")


@dataclass(frozen=True, eq=False)
class StructureNetwork:
    """Network of a bundle's further structures.

    Attributes
    ----------
    network
        Network of the CTV and all structures of the bundle; its CTV is not used.
    inferer
        Computes the probabilities of one pass.
    structures
        These structures, in the order of the network's channels after background and CTV.
    wanted
        Those of them whose masks are wanted.
    learnt_on
        What the weights were trained on, by the name of the structure: ``phantoms`` or ``patients``.
    sha256
        Digest of the weights.
    """

    network: torch.nn.Module
    inferer: Callable[..., torch.Tensor]
    structures: tuple[Structure, ...]
    wanted: tuple[Structure, ...]
    learnt_on: Mapping[str, str]
    sha256: str

    @property
    def meanings(self) -> dict[str, Structure]:
        """The wanted structures that are not rows of the shipped table, by key."""
        return {key(one.name): one for one in self.wanted if KNOWN.get(key(one.name)) != one}

    def __call__(self, batch: torch.Tensor, image: MetaTensor, ctv: np.ndarray) -> dict[str, np.ndarray]:
        """Return :meth:`masks` of a batch of one image (1, 1, I', J', K') on the network's device."""
        with torch.inference_mode():
            probability = self.inferer(batch, self.network)[0, network.CLASSES :].float().cpu()
        return self.masks(probability, image, ctv)

    @property
    def phantom_trained(self) -> tuple[str, ...]:
        """Names of the wanted structures that were learnt on phantoms alone."""
        return tuple(one.name for one in self.wanted if self.learnt_on[one.name] == "phantoms")

    def masks(self, probability: torch.Tensor, image: MetaTensor, ctv: np.ndarray) -> dict[str, np.ndarray]:
        """Return the masks of the wanted structures by name, bool (I, J, K) on the grid of the source.

        A structure lies inside its parent. Structures of a group exclude each other; where they have a parent, each
        of its voxels belongs to the most probable of them. Structures of the CTV's group lie outside the CTV. Of
        other organs, islands below a tenth of the largest component are removed.

        Parameters
        ----------
        probability
            (S, I', J', K') on the model's grid.
        image
            Input of the network, (1, I', J', K'); its metadata hold the grid of the source.
        ctv
            Mask of the CTV on the grid of the source, bool (I, J, K).
        """
        drawn = torch.as_tensor(field_of_view(image.as_tensor()[0].cpu().numpy()))[..., None]  # (I', J', 1)
        fields = {one.name: part * drawn for one, part in zip(self.structures, probability, strict=True)}
        masks: dict[str, np.ndarray] = {}
        for group in _groups(self.structures):
            needed = _with_parents(self.wanted, self.structures)
            if not {key(one.name) for one in group} & needed:
                continue
            first = group[0]
            region = ctv if first.parent is not None and key(first.parent) == key(CTV) else None
            if first.parent is not None and region is None:
                region = next((mask for name, mask in masks.items() if key(name) == key(first.parent)), None)
            outside = ctv if region is None and first.group == KNOWN[key(CTV)].group else None
            parts = {one.name: fields[one.name] for one in group}
            targets = {one.name for one in group if one.rt_type not in ("", "ORGAN")}
            masks |= _group_masks(parts, image, ctv.shape, region=region, outside=outside, several=targets)
        return {one.name: masks[one.name] for one in self.wanted}


def structures_of_bundle(bundle: Path) -> tuple[str, ...]:
    """Return the names of a bundle's further structures; none without configs/structures.json.

    BundleError is raised if the file is damaged.
    """
    return tuple(one.name for one in _rows(bundle / FILE)[0]) if (bundle / FILE).is_file() else ()


def load_structure_network(
    bundle: Path, names: Sequence[str], settings: dict[str, Any], device: torch.device
) -> StructureNetwork:
    """Load the network of a bundle's further structures.

    Parameters
    ----------
    bundle
        Folder of the bundle.
    names
        Names of the wanted structures, some of :func:`structures_of_bundle`.
    settings
        Settings of the bundle's inference.json, for the inferer.
    device
        Device of the network.

    Raises
    ------
    BundleError
        The files of the bundle's structures are missing or damaged.
    """
    path, weights = bundle / FILE, bundle / WEIGHTS
    rows, content = _rows(path)
    learnt_on = content["learnt_on"]
    made = build_network(content["network_def"])
    classes = getattr(getattr(made, "decoder", None), "num_classes", None)
    if not isinstance(made, network.MultiLabelSegmenter) or classes != network.CLASSES + len(rows):
        raise BundleError(
            f"The network_def of {path} is no MultiLabelSegmenter of {network.CLASSES + len(rows)} classes: "
            "background, CTV and these structures; correct it."
        )
    asked = {key(name) for name in names}
    wanted = tuple(one for one in rows if key(one.name) in asked)
    if not weights.is_file():
        raise BundleError(
            f"The bundle {bundle} has no weights of its structures: {weights} is missing; reinstall the package, "
            "or leave --structures out."
        )
    load_state(made, read_state(weights), str(weights))
    inferer = build(with_ensembling(settings, "none")["inferer"])
    ready = network.channels_last(made).to(device).eval()
    return StructureNetwork(ready, inferer, rows, wanted, learnt_on, sha256_of_file(weights))


def _rows(path: Path) -> tuple[tuple[Structure, ...], dict[str, Any]]:
    """Return the structures of a configuration, and its content. Raise BundleError if it is damaged."""
    content = read_json(path)
    if missing := [entry for entry in _ENTRIES if entry not in content]:
        raise BundleError(f"{path} lacks {', '.join(missing)}.")
    try:
        rows = structures_of(content["structures"], str(path), known=KNOWN.values())
    except SettingsError as error:
        raise BundleError(str(error)) from error
    learnt_on = content["learnt_on"]
    if not isinstance(learnt_on, dict) or not all(learnt_on.get(one.name) in LEARNT_ON for one in rows):
        raise BundleError(f"{path} does not say of each structure whether it was learnt on phantoms or patients.")
    return rows, content


def _groups(rows: Sequence[Structure]) -> list[list[Structure]]:
    """Return the structures by group and parent, parents first; a structure without a group is one of its own."""
    groups: dict[tuple[str, str | None], list[Structure]] = {}
    for one in sorted(rows, key=lambda one: _depth(one, rows)):
        groups.setdefault((one.group or f"alone: {one.name}", one.parent), []).append(one)
    return list(groups.values())


def _depth(one: Structure, rows: Sequence[Structure]) -> int:
    """Return how many of the structures contain this one."""
    above = next((other for other in rows if one.parent is not None and key(other.name) == key(one.parent)), None)
    return 0 if above is None else 1 + _depth(above, rows)


def _with_parents(wanted: Sequence[Structure], rows: Sequence[Structure]) -> set[str]:
    """Return the keys of structures and of all that contain them."""
    found = {key(one.name) for one in wanted}
    for _ in rows:
        found |= {key(one.parent) for one in rows if key(one.name) in found and one.parent is not None}
    return found


def _group_masks(
    fields: Mapping[str, torch.Tensor],
    image: MetaTensor,
    shape: tuple[int, ...],
    *,
    region: np.ndarray | None = None,
    outside: np.ndarray | None = None,
    several: Container[str] = (),
) -> dict[str, np.ndarray]:
    """Return the masks of structures that exclude each other.

    Parameters
    ----------
    fields
        Probability of each structure, (I', J', K').
    image
        Input of the network.
    shape
        Shape of the grid of the source.
    region
        Mask that contains them on the grid of the source; several of them fill it.
    outside
        Mask that they do not enter.
    several
        Names of those that may have small parts beside a large one.
    """
    masks = {name: np.zeros(shape, bool) for name in fields}
    stacked = torch.stack(list(fields.values()))  # (S, I', J', K')
    fill = region if len(fields) > 1 else None
    box = _source_box(stacked.amax(dim=0) >= 0.5, image, shape) if fill is None else _box(fill)
    if box is None:
        return masks
    affine = reindexed(np.asarray(image.meta["original_affine"], float), shift=[part.start for part in box])
    size = tuple(part.stop - part.start for part in box)
    placed = torch.stack([resample_axes(one, np.asarray(image.affine, float), affine, size) for one in stacked])
    best, largest = placed.max(dim=0)
    inside = (best >= 0.5).numpy() if fill is None else fill[box]
    if fill is None and region is not None:
        inside &= region[box]
    if outside is not None:
        inside &= ~outside[box]
    for number, name in enumerate(fields):
        found = inside & (largest == number).numpy()
        masks[name][box] = found if fill is not None or name in several else without_islands(found)
    return masks


def without_islands(mask: np.ndarray) -> np.ndarray:
    """Return a mask without the components that have less than a tenth of the voxels of the largest one."""
    labels, count = ndimage.label(mask, np.ones((3, 3, 3)))
    if count < 2:
        return mask
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return (sizes >= SMALL_SHARE * sizes.max())[labels] & mask


Box = tuple[slice, ...]


def _box(mask: np.ndarray) -> Box | None:
    return tuple(bounding_box(mask)) if mask.any() else None


def _source_box(occupied: torch.Tensor, image: MetaTensor, shape: tuple[int, ...]) -> Box | None:
    """Return the box on the source's grid around the occupied voxels of the model's grid and their neighbours."""
    mask = occupied.numpy()
    if not mask.any():
        return None
    low, high = np.array([[part.start - 1, part.stop] for part in bounding_box(mask)]).T
    corners = np.array(np.meshgrid(*zip(low, high, strict=True), indexing="ij")).reshape(3, -1)
    source = np.linalg.inv(np.asarray(image.meta["original_affine"], float)) @ np.asarray(image.affine, float)
    at = source[:3, :3] @ corners + source[:3, 3:]
    first = np.clip(np.floor(at.min(axis=1)).astype(int), 0, shape)
    last = np.clip(np.ceil(at.max(axis=1)).astype(int) + 1, 0, shape)
    if (last <= first).any():
        return None
    return tuple(slice(int(a), int(b)) for a, b in zip(first, last, strict=True))
