"""What a bundle segments beside the CTV, if it is asked for: further structures, and things."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from monai.data import MetaTensor

from ..errors import BundleError, SettingsError
from ..geometry.structures import CTV, key
from ..geometry.volume import Segmentation, Volume
from .bundle_info import BundleInfo
from .second_look import SecondLook, load_second_look
from .structure_network import FILE, StructureNetwork, load_structure_network, structures_of_bundle
from .thing_network import ThingNetwork, load_thing_network, things_of_bundle

ALL = "all"


@dataclass(frozen=True, eq=False)
class Further:
    """Networks of a bundle's further structures and things; None for what is not asked for, or not there."""

    structures: StructureNetwork | None
    things: ThingNetwork | None
    second: SecondLook | None = None

    def __call__(
        self, segmentation: Segmentation, batch: torch.Tensor, image: MetaTensor, volume: Volume
    ) -> Segmentation:
        """Return the segmentation with further structures and things.

        Parameters
        ----------
        segmentation
            CTV on the volume's grid.
        batch
            Input of the CTV's network on its device, (1, 1, I', J', K').
        image
            The same with metadata, (1, I', J', K').
        volume
            Volume that was segmented.
        """
        if self.structures is not None:
            ctv = segmentation.mask()
            masks = self.structures(batch, image, ctv)
            if self.second is not None:
                masks[self.second.structure] = self.second(volume, ctv, masks[self.second.structure])
            segmentation = replace(
                segmentation,
                structures=masks,
                phantom_trained=self.structures.phantom_trained,
                meanings=self.structures.meanings,
            )
        if self.things is not None:
            segmentation = replace(
                segmentation,
                things=self.things(volume, segmentation),
                phantom_trained=(*segmentation.phantom_trained, *self.things.phantom_trained),
            )
        return segmentation

    def described(self, info: BundleInfo) -> BundleInfo:
        """Return the identity of a bundle with the names and digests of its further structures and things."""
        if self.structures is not None:
            names = tuple(one.name for one in self.structures.wanted)
            info = replace(info, structures=names, structures_sha256=self.structures.sha256)
        if self.second is not None:
            info = replace(info, second_look_sha256=self.second.sha256)
        if self.things is not None:
            info = replace(info, things=self.things.wanted, things_sha256=self.things.sha256)
        return info


def load_further(
    bundle: Path,
    names: Sequence[str] | str,
    settings: dict[str, Any],
    device: torch.device,
    *,
    one_pass: bool = False,
) -> Further | None:
    """Load what is asked for beside the CTV; None if nothing is.

    Parameters
    ----------
    bundle
        Folder of the bundle.
    names
        Names of structures and things; ``all`` are all structures, but no things: needles and seeds are there only
        in some scans, and are looked for only if they are named.
    settings
        Settings of the bundle's inference.json, for the inferer.
    device
        Device of the networks.
    one_pass
        Look for things in the image alone, not in its mirror image, whatever the bundle says.

    Raises
    ------
    BundleError
        The bundle segments the CTV alone, or its files are damaged.
    SettingsError
        The bundle has no structure of a name.
    """
    wanted = {key(name): name for name in ([names] if isinstance(names, str) else names) if key(name) != key(CTV)}
    if not wanted:
        return None
    structures, things = structures_of_bundle(bundle), things_of_bundle(bundle)
    known = (*structures, *things)
    every = ALL in wanted
    if not known or (every and not structures):
        raise BundleError(f"The bundle {bundle} segments the CTV alone: it has no {FILE}; leave --structures out.")
    if unknown := set(wanted) - {ALL, *map(key, known)}:
        raise SettingsError(
            f"There is no structure {', '.join(sorted(wanted[one] for one in unknown))}; expected all, or some of "
            f"{', '.join([CTV, *known])}."
        )
    regions = tuple(name for name in structures if every or key(name) in wanted)
    counted = tuple(name for name in things if key(name) in wanted)
    first = load_structure_network(bundle, regions, settings, device) if regions else None
    finder = load_thing_network(bundle, counted, device) if counted else None
    if finder is not None and one_pass:
        finder = replace(finder, mirrored=False)
    return Further(
        first,
        finder,
        load_second_look(bundle, first, device) if first is not None else None,
    )
