"""Entries of a case's manifest, and the digest that identifies a mask."""

import hashlib
from typing import Final, NotRequired, TypedDict

import numpy as np

from ..assessment.facts import Uncertainty
from ..geometry.volume import Array, Orientation, Segmentation

MANIFEST, HINTS = "manifest.json", "hints.json"  # file names in a case's folder
DIGESTS: Final = "outputs_sha256"  # entry with the SHA-256 of every other file in the folder


class Image(TypedDict):
    """The segmented image: kind of file, and SHA-256 over its files in slice order."""

    kind: str
    sha256: str


class Model(TypedDict):
    """The bundle that made the mask, with the SHA-256 of its weights and of the settings that affect masks."""

    name: str
    version: str
    sha256: str
    config_sha256: str


class AcquisitionOptions(TypedDict):
    """Acquisition values given by options; null if not given."""

    frame_spacing_mm: float | None
    frame_order: str | None
    probe_side: str | None


class Extent(TypedDict):
    """Extent of the mask in mm along the axes of the array, and of the patient if the file has directions."""

    axes: list[float | None]
    patient: dict[str, float | None] | None
    reason: NotRequired[str]


class StructureFacts(TypedDict):
    """A further structure: volume (null for a single slice), what its model was trained on, digest of its mask.

    Its model was trained on phantoms or patients, or there is none: it was drawn by hand.
    """

    volume_ml: float | None
    learnt_on: str
    sha256: str


class ThingFacts(TypedDict):
    """Needles, seeds or calcifications: how many, and what their model was trained on (as StructureFacts)."""

    count: int
    learnt_on: str


class MaskSettings(TypedDict):
    """Options that change the mask: ``--tta`` and ``--shape-model`` (null: the bundle's), and ``--no-refine``."""

    tta: str | None
    refine: bool
    shape_model_sha256: str | None


class HintFacts(TypedDict):
    """Hints that the mask obeys: how many, of which kinds in order, and what they changed.

    The distance moved is that of the surfaces of the masks without and with hints, mean and largest; it is null if
    one of them is empty. Volumes are null for a single slice. The steps are the numbers of hints after each run.
    The digest is that of the weights of the network of hints, if the bundle has one.
    """

    count: int
    kinds: list[str]
    volume_before_ml: float | None
    moved_mm: dict[str, float | None]
    network_sha256: NotRequired[str]
    steps: NotRequired[list[int]]


class MaskFacts(TypedDict):
    """Facts about a mask and its image in a manifest."""

    input: Image
    orientation: Orientation
    ctv_sha256: str
    spacing_mm: list[float]
    volume_ml: float | None
    extent_mm: Extent
    statement: str


class Manifest(MaskFacts):
    """Content of ``manifest.json``. It has no names, dates or paths. Unknown numbers are null."""

    acquisition: AcquisitionOptions
    warnings: list[str]
    versions: dict[str, str]
    bundle: NotRequired[Model]
    settings: NotRequired[MaskSettings]
    structures: NotRequired[dict[str, StructureFacts]]
    structures_sha256: NotRequired[str]
    second_look_sha256: NotRequired[str]
    things: NotRequired[dict[str, ThingFacts]]
    things_sha256: NotRequired[str]
    uncertainty: NotRequired[Uncertainty]
    hints: NotRequired[HintFacts]
    planning_sha256: NotRequired[str]
    device: NotRequired[str]
    timing_s: NotRequired[dict[str, float]]
    drawn: NotRequired[str]
    outputs: NotRequired[list[str]]
    outputs_sha256: NotRequired[dict[str, str]]


def mask_digest(segmentation: Segmentation) -> str:
    """Return the hex SHA-256 of the first structure's voxels and shape, independent of the file format."""
    return voxel_digest(segmentation.mask())


def voxel_digest(mask: Array) -> str:
    """Return the hex SHA-256 of a mask's voxels and shape."""
    return hashlib.sha256(f"{mask.shape}".encode() + np.packbits(mask).tobytes()).hexdigest()
