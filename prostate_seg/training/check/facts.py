"""Reading of one case, and the few numbers of it that the checks compare."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...assessment.shape_model import ShapeModel
from ...errors import ProstateSegError
from ...geometry.structures import CTV, KNOWN, key
from ...geometry.volume import Array, Segmentation, Volume, same_grid
from ...reading.cases import read
from ...reading.masks import read_mask
from ..datalist import READING
from .appearance import Picture, Upright, edges, gland_picture, upright, whole_picture
from .findings import Finding
from .masks import MaskFacts, mask_facts, shape_residual_mm

SAME_GRID_MM = 0.05  # as training allows
AXES = ("left-right", "front-back", "apex-base")


@dataclass(frozen=True)
class Entry:
    """A case of a datalist: a name that no other case has, its section, and its entries."""

    name: str
    section: str
    case: Mapping[str, Any]

    @property
    def patient(self) -> str | None:
        """The patient as text; None if the case names none."""
        patient = self.case.get("patient")
        return None if patient is None else str(patient)

    @property
    def origin_sha256(self) -> str | None:
        """Digest of the image from which ``prepare`` or ``collect`` made the case; None if unknown."""
        return self.provenance.get("input_sha256")

    @property
    def provenance(self) -> Mapping[str, Any]:
        """Origin of the case by ``prepare`` or ``collect``; empty if unknown."""
        provenance = self.case.get("provenance")
        return provenance if isinstance(provenance, Mapping) else {}


@dataclass(frozen=True, eq=False)
class CaseFacts:
    """What the checks know of a case.

    Attributes
    ----------
    entry
        The case.
    found
        What reading it has found.
    shape
        Voxels (I, J, K); None if the image cannot be read. Then the further entries are empty.
    spacing_mm
        Voxel spacing along i, j, k.
    assumed
        Whether the directions of the axes are only assumed.
    kind
        Kind of the image's files, see :class:`.source.Source`.
    voxels_sha256
        Digest of the image's gray values.
    whole, gland
        Small pictures of the field of view and of the gland; None without a mask of the CTV.
    masks
        Measures of each mask by the name of its structure.
    edges
        Gray along the contour of the CTV: as it is, and with the mask reversed along each axis; empty if unknown.
    residual_mm
        Distance of the CTV from the nearest plausible shape.
    """

    entry: Entry
    found: tuple[Finding, ...] = ()
    shape: tuple[int, ...] | None = None
    spacing_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)
    assumed: bool = False
    kind: str = ""
    voxels_sha256: str = ""
    whole: Picture | None = None
    gland: Picture | None = None
    masks: Mapping[str, MaskFacts] | None = None
    edges: tuple[Array, ...] = ()
    residual_mm: float | None = None

    @property
    def is_sheet(self) -> bool:
        """Whether the image is one slice of a sweep, by its provenance, and not meant to be a volume."""
        return "slice" in self.entry.provenance and self.shape is not None and self.shape[2] == 1

    @property
    def ctv(self) -> MaskFacts | None:
        """Measures of the CTV; None if there is no such mask on the image's grid."""
        return (self.masks or {}).get(CTV)


def case_facts(entry: Entry, model: ShapeModel) -> CaseFacts:
    """Read a case and measure it. What cannot be read becomes a finding."""
    try:
        return _case_facts(entry, model)
    except ProstateSegError as error:
        return unreadable(entry, str(error))
    except Exception as error:  # any error of a library: the other cases must still be checked
        return unreadable(entry, f"unexpected {type(error).__name__} in its files.")


def unreadable(entry: Entry, why: str) -> CaseFacts:
    """Return the facts of a case that cannot be read, with the reason."""
    sentence = f"the case cannot be read ({why.rstrip('.')}); correct its files, or leave it out."
    return CaseFacts(entry, (Finding("unreadable", (entry.name,), sentence, "error"),))


def _case_facts(entry: Entry, model: ShapeModel) -> CaseFacts:
    image = image_of(entry)
    seen = np.ones(image.array.shape, bool) if image.field_of_view is None else image.field_of_view
    masks, found = _masks(entry, image)
    by_key = {key(name): mask for name, mask in masks.items()}
    ctv = masks.get(CTV)
    small = upright(image.affine, image.array, seen, ctv)
    return CaseFacts(
        entry,
        tuple(found),
        image.array.shape,
        image.spacing_mm,
        image.orientation == "assumed",
        image.source.kind,
        _digest(image.array),
        whole_picture(small),
        gland_picture(small),
        {
            name: mask_facts(mask, image.affine, seen, by_key.get(key(_parent(name))))
            for name, mask in masks.items()
        },
        _edges(small),
        shape_residual_mm(small, model),
    )


def image_of(entry: Entry) -> Volume:
    """Read the image of a case with its own options."""
    return read(entry.case["image"], **{name: entry.case[name] for name in READING if name in entry.case})


def image_and_ctv(entry: Entry) -> tuple[Volume, Array | None]:
    """Read the image of a case, and its mask of the CTV if that lies on the same grid."""
    image = image_of(entry)
    return image, _masks(entry, image)[0].get(CTV)


def _edges(image: Upright) -> tuple[Array, ...]:
    """Return the edges along the CTV as it is and reversed along each axis; empty if they are not known.

    A reversed mask that lies where the image shows nothing has no edges: 0.
    """
    own = edges(image)
    if own is None:
        return ()
    reversed_ = (edges(image, axis) for axis in range(len(AXES)))
    return (own, *(np.zeros_like(own) if one is None else one for one in reversed_))


def _parent(name: str) -> str:
    known = KNOWN.get(key(name))
    return known.parent or "" if known else ""


def _digest(array: Array) -> str:
    """Return the SHA-256 of gray values, which does not depend on their type in the file."""
    digest = hashlib.sha256(str(array.shape).encode())
    for k in range(array.shape[2]):
        digest.update(np.ascontiguousarray(array[:, :, k], np.float32).tobytes())
    return digest.hexdigest()


def _masks(entry: Entry, image: Volume) -> tuple[dict[str, Array], list[Finding]]:
    """Return the masks of a case that lie on the grid of its image, and what is wrong with the others."""
    files = {CTV: (entry.case["label"], ())} if "label" in entry.case else {}
    files |= {name: (file, (name,)) for name, file in entry.case.get("structures", {}).items()}
    masks, found = {}, []
    for name, (file, structure) in files.items():
        try:
            mask = read_mask(Path(file), structure=structure)
        except ProstateSegError as error:
            sentence = f"the mask of {name} cannot be read ({str(error).rstrip('.')}); correct its file."
            found.append(Finding("unreadable", (entry.name,), sentence, "error", structures=(name,)))
            continue
        known = {image.source.sha256, entry.origin_sha256}
        if mask.source_sha256 and mask.source_sha256 not in known:
            sentence = _other_image(name, mask)
            found.append(Finding("other_image", (entry.name,), sentence, "error", structures=(name,)))
        if same_grid(image, mask, tolerance_mm=SAME_GRID_MM):
            masks[name] = mask.mask()
        else:
            sentence = _other_grid(name, mask, image)
            found.append(Finding("grid", (entry.name,), sentence, "error", structures=(name,)))
    return masks, found


def _other_image(name: str, mask: Segmentation) -> str:
    return (
        f"the mask of {name} was drawn on another image (its file holds the SHA-256 {mask.source_sha256[:12]}..., "
        "which is not that of this image); give the image that it was drawn on, or draw it on this one."
    )


def _other_grid(name: str, mask: Segmentation, image: Volume) -> str:
    if mask.labels.shape != image.array.shape:
        sizes = [" x ".join(map(str, shape)) for shape in (mask.labels.shape, image.array.shape)]
        what = f"has {sizes[0]} voxels, its image {sizes[1]}"
    else:
        ends = np.array([[0, 0, 0, 1], [*(n - 1 for n in image.array.shape), 1]])
        apart = np.linalg.norm((ends @ (mask.affine - image.affine).T)[:, :3], axis=1).max()
        what = f"has the size of its image, but lies up to {apart:.1f} mm away from it"
    return f"the mask of {name} {what}; resample the mask onto its image, training refuses it."
