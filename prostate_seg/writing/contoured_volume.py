"""The data that are written: a volume with its CTV and further structures, and their author."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from importlib.metadata import version
from typing import Literal

import numpy as np
from pydicom.uid import generate_uid
from scipy import ndimage

from ..errors import GeometryError, OutputError, SettingsError
from ..geometry.extent import bounding_box
from ..geometry.structures import CTV, LONGEST_NAME, key
from ..geometry.things import check_inside
from ..geometry.volume import Array, Segmentation, Volume, same_grid

Kind = Literal["AUTOMATIC", "SEMIAUTOMATIC", "MANUAL"]
RESEARCH_ONLY = "research use only"
SOFTWARE, SOFTWARE_VERSION = "prostate-seg", version("prostate-seg")
PHANTOM_TRAINED = "phantom-trained: its model has not seen a patient"
SMALL_SHARE = 0.001  # a component below this share of the largest one is not reported


@dataclass(frozen=True)
class Author:
    """Author of the contours (PS3.3 C.8.20.4, C.8.8.5).

    Attributes
    ----------
    name
        Name of a model or program.
    version
        Version of the model or program.
    kind
        How the CTV was drawn. ``AUTOMATIC``: by a model. ``SEMIAUTOMATIC``: by a model and corrected by hand.
        ``MANUAL``: by hand.
    structures
        How all other structures were drawn, except those made from the CTV.
    """

    name: str
    version: str
    kind: Kind = "AUTOMATIC"
    structures: Kind = "MANUAL"


@dataclass(frozen=True, eq=False)
class ContouredVolume:
    """A volume with its CTV and further structures.

    Attributes
    ----------
    volume
        Image.
    ctv
        Segmentation on the volume's grid; label 1 is the CTV.
    author
        Author of the contours.
    structures
        Further structures by name, bool (I, J, K). They may overlap the CTV and each other.

    Raises
    ------
    GeometryError
        A mask has another grid than the volume, or a thing leaves it.
    SettingsError
        Two structures have the same name.
    """

    volume: Volume
    ctv: Segmentation
    author: Author
    structures: Mapping[str, Array] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not same_grid(self.volume, self.ctv):
            raise GeometryError(
                f"The mask has shape {self.ctv.labels.shape}, expected the image's grid {self.volume.array.shape} "
                "at its place in the patient; resample it to the image, or give the image it was drawn on."
            )
        seen = {key(CTV)}
        for name in self.structures:
            if key(name) in seen:
                raise SettingsError(f"Two structures are called {name.strip()}; give one of them another name.")
            seen.add(key(name))
        for name, mask in self.structures.items():
            if mask.shape != self.volume.array.shape or mask.dtype != np.bool_:
                raise GeometryError(
                    f"The structure {name} is {mask.dtype} of shape {mask.shape}, expected bool of the image's "
                    f"{self.volume.array.shape}."
                )

        check_inside(self.ctv.things, self.volume.affine, self.volume.array.shape)

    @cached_property
    def masks(self) -> dict[str, Array]:
        """All structures by name, bool (I, J, K); the CTV comes first."""
        return {CTV: self.ctv.mask(), **self.structures}

    @property
    def segmentation(self) -> Segmentation:
        """The CTV with the further structures."""
        return replace(
            self.ctv, labels=self.ctv.mask().astype(np.uint8), names={1: CTV}, structures=self.structures
        )

    def kind_of(self, name: str) -> Kind:
        """Return how a structure or its things were drawn. A PTV counts as drawn like its CTV.

        A structure of a model that somebody handed over as drawn by hand may have been corrected only.
        """
        if self.author.structures == "MANUAL" and self.remark_on(name):
            return "SEMIAUTOMATIC"
        further = name in self.structures or key(name) in {key(one.structure) for one in self.ctv.things}
        return self.author.structures if further else self.author.kind

    def remark_on(self, name: str) -> str:
        """Return what every output says of a structure whose model was trained on phantoms alone, or no text."""
        return PHANTOM_TRAINED if key(name) in map(key, self.ctv.phantom_trained) else ""

    def uid(self, role: str) -> str:
        """Return a UID that depends only on the source, masks, things and their meanings, author and role."""
        about = [self.author.name, self.author.version, self.author.kind, self.author.structures, role]
        return str(generate_uid(entropy_srcs=[self._digest, *about]))

    @cached_property
    def _digest(self) -> str:
        digest = hashlib.sha256(self.volume.source.sha256.encode())
        for name, mask in self.masks.items():
            digest.update(f"{name} {mask.shape}".encode() + np.packbits(mask).tobytes())
        digest.update((np.round(self.volume.affine, 4) + 0.0).tobytes())
        if self.ctv.things or self.ctv.meanings or self.ctv.phantom_trained:
            for one in self.ctv.things:
                digest.update(f"{one.structure} {one.radius_mm:.4f} {one.score:.4f}".encode())
                digest.update((np.round([one.start_mm, one.end_mm], 4) + 0.0).tobytes())
            digest.update(f"{sorted(self.ctv.meanings.items())} {sorted(self.ctv.phantom_trained)}".encode())
        return digest.hexdigest()


def digest_of(values: Array) -> str:
    """Return the hex SHA-256 of an array's values, for a UID role that depends on them."""
    return hashlib.sha256(np.ascontiguousarray(values).data).hexdigest()


def check_structures(contoured: ContouredVolume, what: str) -> None:
    """Raise OutputError if DICOM cannot hold a structure.

    This is the case if the structure is empty, or if its name is not a valid label: 1 to 64 printable characters
    without a backslash. The parameter ``what`` names the output in the message.
    """
    for name, mask in contoured.masks.items():
        if len(name) > LONGEST_NAME or "\\" in name or not name.isprintable() or not name.strip():
            raise OutputError(
                f"The structure {name!r} has no valid name for {what}: expected 1 to {LONGEST_NAME} printable "
                "characters without a backslash; rename it."
            )
        if not mask.any():
            raise OutputError(f"The {name} is empty, so there is nothing to put into {what}; leave it out.")


def mask_warnings(segmentation: Segmentation) -> list[str]:
    """Return warnings that a planner should read before using a CTV.

    There is a warning if the mask has several components, and one if it touches the image's border. An empty mask
    has no warnings.
    """
    mask = segmentation.mask()
    if not mask.any():
        return []
    told = []
    labels, count = ndimage.label(mask[bounding_box(mask)])
    if count > 1:
        sizes = np.sort(np.bincount(labels.ravel())[1:])[::-1]
        others = int((sizes[1:] >= SMALL_SHARE * sizes[0]).sum())
        if others:
            share = 100 * sizes[1:].sum() / sizes.sum()
            told.append(f"The CTV has {count} components; those beside the largest hold {share:.1f} % of it.")
    names = ("first column", "last column", "first row", "last row", "first slice", "last slice")
    touched = [name for index, name in enumerate(names) if np.take(mask, -(index % 2), axis=index // 2).any()]
    if touched:
        told.append(f"The CTV touches the image's {', '.join(touched)}: the gland may go on beyond it.")
    return told
