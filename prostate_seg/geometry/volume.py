"""Volume and Segmentation: arrays with a position in the patient.

Arrays are indexed (i, j, k). Affines are float64 and map (i, j, k, 1) to RAS millimetres, as in NIfTI: x grows to
the patient's right, y to the anterior, z to the superior. DICOM and ITK use LPS. Only this module converts between
RAS and LPS.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from ..errors import GeometryError, InputError
from .source import Source
from .structures import CTV, Structure, key, structure
from .things import Thing

Array = np.ndarray[Any, Any]
Orientation = Literal["file", "option", "assumed"]
ASSUMED = "orientation assumed"  # description in a NIfTI file if the axis directions are only assumed

_LPS_FLIP = np.diag([-1.0, -1.0, 1.0, 1.0])


@dataclass(frozen=True, eq=False, repr=False)
class Volume:
    """A gray image (i, j, k) and its affine to RAS mm. Raises GeometryError if a part is not valid.

    Attributes
    ----------
    array
        (I, J, K), finite real numbers.
    affine
        (4, 4) float64.
    orientation
        Source of the axis directions: the file (``file``), the user's options (``option``), or none (``assumed``:
        i to the left, j to the posterior, k to the superior).
    field_of_view
        Bool (I, J, K), True where the scanner shows ultrasound; None if unknown.
    warnings
        Sentences for the user.
    source
        Origin of the volume.
    """

    array: Array
    affine: Array
    orientation: Orientation = "file"
    field_of_view: Array | None = None
    warnings: tuple[str, ...] = ()
    source: Source = field(default_factory=lambda: Source("array"))

    def __post_init__(self) -> None:
        object.__setattr__(self, "affine", _checked_affine(self.affine))
        if self.array.ndim != 3:
            raise GeometryError(
                f"A volume has 3 axes, got {self.array.ndim} (shape {self.array.shape}); give one channel "
                "and one time point."
            )
        if self.field_of_view is not None and self.field_of_view.shape != self.array.shape:
            raise GeometryError(
                f"The field of view has shape {self.field_of_view.shape}, expected the image's {self.array.shape}."
            )
        if not _finite(self.array):
            raise GeometryError("A volume has finite values, got NaN or infinity; replace them.")

    def __repr__(self) -> str:
        """Return shape, data type, spacing and orientation, and nothing that identifies a patient."""
        return f"Volume({_grid_text(self.array, self.affine)}, orientation {self.orientation})"

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Distances between neighbouring voxel centres along i, j and k in mm."""
        return spacing_of(self.affine)

    def with_array(self, array: Array) -> Volume:
        """Return a copy with other values of the same shape, at the same position in the patient."""
        return replace(self, array=array)


@dataclass(frozen=True, eq=False, repr=False)
class Segmentation:
    """A label map on the grid of a volume. Raises GeometryError if a part is not valid.

    Attributes
    ----------
    labels
        (I, J, K) uint8; 0 is background.
    affine
        Voxel indices to RAS mm.
    names
        Structure name of each label, 1 to 255. "First structure" means the one with the smallest label. The default
        is the CTV: the prostate without the seminal vesicles.
    structures
        Further structures by name, bool (I, J, K). They may overlap each other and the labels.
    phantom_trained
        Names of structures whose model was trained on phantoms alone; every output marks them.
    things
        Needles, seeds and other instances.
    meanings
        Structures that the shipped table does not have, or has differently, by their keys
        (:func:`prostate_seg.geometry.structures.key`).
    probability
        Probability of the first structure, (I, J, K) in [0, 1], or None.
    orientation
        Source of the axis directions, as in :class:`Volume`.
    source_sha256
        Digest of the image on which the mask was drawn, as in :class:`Source`; empty if unknown.
    frame_of_reference
        DICOM Frame of Reference UID; empty if the file has none.
    model
        Name and version of the model that drew the mask; empty if it was read from a file.
    warnings
        Sentences for the user, from ``segment``.
    uncertainty
        How far the mask can be trusted, from ``segment``: the entries ``uncertainty`` of a case's manifest.json.
    """

    labels: Array
    affine: Array
    names: dict[int, str] = field(default_factory=lambda: {1: CTV})
    probability: Array | None = None
    orientation: Orientation = "file"
    source_sha256: str = ""
    frame_of_reference: str = ""
    model: tuple[str, str] | tuple[()] = ()
    warnings: tuple[str, ...] = ()
    uncertainty: Mapping[str, Any] = field(default_factory=dict)
    structures: Mapping[str, Array] = field(default_factory=dict)
    phantom_trained: tuple[str, ...] = ()
    things: tuple[Thing, ...] = ()
    meanings: Mapping[str, Structure] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "affine", _checked_affine(self.affine))
        if self.labels.ndim != 3 or self.labels.dtype != np.uint8:
            raise GeometryError(
                f"Labels are a uint8 array with 3 axes, got {self.labels.dtype} of shape {self.labels.shape}."
            )
        if not self.names or min(self.names) < 1 or max(self.names) > 255:
            raise GeometryError(f"Labels with names are 1 to 255, got {sorted(self.names)}.")
        if self.probability is not None and self.probability.shape != self.labels.shape:
            raise GeometryError(
                f"The probability has shape {self.probability.shape}, expected the labels' {self.labels.shape}."
            )
        taken = {key(name) for name in self.names.values()}
        for name, mask in self.structures.items():
            if mask.shape != self.labels.shape or mask.dtype != np.bool_:
                raise GeometryError(
                    f"The structure {name} is {mask.dtype} of shape {mask.shape}, expected bool of the labels' "
                    f"{self.labels.shape}."
                )
            if key(name) in taken:
                raise GeometryError(f"Two structures are called {name.strip()}; give one of them another name.")
            taken.add(key(name))

    def __repr__(self) -> str:
        """Return shape, data type, spacing and number of names; the names may come from a user."""
        return f"Segmentation({_grid_text(self.labels, self.affine)}, {len(self.names)} named labels)"

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Distances between neighbouring voxel centres along i, j and k in mm."""
        return spacing_of(self.affine)

    def mask(self, name: str | None = None) -> Array:
        """Return a structure's voxels, bool (I, J, K); the first one by default. Raise InputError if absent.

        Case and surrounding blanks of the name do not matter, and a blank inside counts as an underscore.
        """
        if name is None:
            return np.asarray(self.labels == min(self.names))
        for label, own in sorted(self.names.items()):
            if key(own) == key(name):
                return np.asarray(self.labels == label)
        for own, mask in self.structures.items():
            if key(own) == key(name):
                return mask
        there = ", ".join([*self.names.values(), *self.structures])
        raise InputError(f"The segmentation has no structure called {name}, only {there}.")

    def meaning(self, name: str) -> Structure:
        """Return codes, colour and type of a structure: its own, or those of the shipped table."""
        return self.meanings.get(key(name)) or structure(name)

    @property
    def volume_ml(self) -> float:
        """Volume of the first structure in millilitres."""
        return volume_ml(self.mask(), self.affine)


def spacing_of(affine: Array) -> tuple[float, float, float]:
    """Return the spacing along i, j and k in mm: the lengths of the affine's first three columns."""
    i, j, k = np.linalg.norm(np.asarray(affine, np.float64)[:3, :3], axis=0)
    return float(i), float(j), float(k)


def volume_ml(mask: Array, affine: Array) -> float:
    """Return the volume of a mask in millilitres: number of voxels times |det(affine)| / 1000."""
    return float(np.count_nonzero(mask) * abs(np.linalg.det(affine[:3, :3])) / 1000.0)


def swap_ras_lps(affine: Array) -> Array:
    """Convert an affine from RAS to LPS mm or back. The two differ in the signs of x and y."""
    return _LPS_FLIP @ np.asarray(affine, np.float64)


def affine_from_lps(direction: Array, spacing_mm: Array, origin_lps_mm: Array) -> Array:
    """Return the RAS affine of a grid that is given in LPS, as in DICOM and ITK.

    Parameters
    ----------
    direction
        (3, 3); the columns are the LPS unit vectors of the axes i, j, k.
    spacing_mm
        (3,) along i, j, k.
    origin_lps_mm
        (3,), centre of voxel (0, 0, 0) in LPS mm.
    """
    affine = np.eye(4)
    affine[:3, :3] = np.asarray(direction, np.float64) * np.asarray(spacing_mm, np.float64)
    affine[:3, 3] = origin_lps_mm
    return swap_ras_lps(affine)


def lps_from_affine(affine: Array) -> tuple[Array, Array, Array]:
    """Return direction (3, 3), spacing (3,) and origin (3,) in LPS mm: the inverse of affine_from_lps."""
    lps = swap_ras_lps(affine)
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    return lps[:3, :3] / spacing, spacing, lps[:3, 3]


def rescaled_affine(affine: Array, old: Sequence[int] | Array, new: Sequence[int] | Array) -> Array:
    """Return the affine of a grid of shape ``new`` with the outer edges of a grid of shape ``old``.

    The centre of voxel n of the new grid lies at index (n + 1/2) old / new - 1/2 of the old grid.
    """
    step = np.asarray(old) / np.asarray(new)
    return reindexed(affine, scale=step, shift=(step - 1) / 2)


def reindexed(
    affine: Array, *, shift: Sequence[float] | Array, scale: Sequence[float] | Array = (1, 1, 1)
) -> Array:
    """Return the affine of a new grid with voxel n at index ``scale * n + shift`` of the given grid."""
    index = np.diag([*scale, 1.0])
    index[:3, 3] = shift
    return affine @ index


def same_grid(a: Volume | Segmentation, b: Volume | Segmentation, tolerance_mm: float = 1e-3) -> bool:
    """Return whether two images have equal shapes and their corner voxels agree within tolerance_mm."""
    shape_a = a.array.shape if isinstance(a, Volume) else a.labels.shape
    shape_b = b.array.shape if isinstance(b, Volume) else b.labels.shape
    if shape_a != shape_b:
        return False
    corners = np.stack(np.meshgrid(*[(0, n - 1) for n in shape_a], [1.0], indexing="ij"), -1).reshape(-1, 4)
    return bool(np.abs(corners @ (a.affine - b.affine).T).max() <= tolerance_mm)


def _checked_affine(affine: Array) -> Array:
    affine = np.array(affine, np.float64)
    if affine.shape != (4, 4) or not np.isfinite(affine).all():
        raise GeometryError(f"An affine is a finite 4x4 matrix in mm, got shape {affine.shape}: {affine.tolist()}.")
    with np.errstate(over="ignore", invalid="ignore"):
        scale = float(np.prod(np.linalg.norm(affine[:3, :3], axis=0)))
        flat = not abs(np.linalg.det(affine[:3, :3])) >= 1e-3 * scale > 0
    if flat or not np.isfinite(scale):
        raise GeometryError(
            f"The affine {affine[:3, :3].tolist()} maps the grid onto a plane; check the file's axes."
        )
    affine.setflags(write=False)
    return affine


def _finite(array: Array) -> bool:
    """Return whether all values are finite, without the memory of a Boolean array."""
    return array.dtype.kind != "f" or not array.size or bool(np.isfinite(array.min()) and np.isfinite(array.max()))


def _grid_text(array: Array, affine: Array) -> str:
    shape = " x ".join(map(str, array.shape))
    return f"{shape} {array.dtype}, {' x '.join(f'{length:.4g}' for length in spacing_of(affine))} mm"
