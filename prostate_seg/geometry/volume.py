"""Volume and Segmentation: arrays with a place in the patient.

Arrays are indexed (i, j, k); affines map (i, j, k, 1) to millimetres in RAS (x grows to the patient's
right, y to the anterior, z to the superior), float64, as in NIfTI. DICOM and ITK use LPS; this module
is the only place that converts between the two.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from ..errors import GeometryError, InputError
from .structures import CTV

Array = np.ndarray[Any, Any]
Orientation = Literal["file", "option", "assumed"]
ASSUMED = "orientation assumed"  # the description of a NIfTI file whose axes' directions are a convention

_LPS_FLIP = np.diag([-1.0, -1.0, 1.0, 1.0])


@dataclass(frozen=True, repr=False)
class FrameReference:
    """The DICOM image that a slice came from: SOP Instance UID and 1-based frame number."""

    sop_instance_uid: str
    frame_number: int

    def __repr__(self) -> str:
        """Without the UID, which identifies a patient's image."""
        return f"FrameReference(frame {self.frame_number})"


@dataclass(frozen=True, eq=False, repr=False)
class Source:
    """Where a volume came from.

    kind: ``us-multiframe``, ``us-series``, ``enhanced-us-volume``, ``nifti``, ``nrrd``, ``metaimage``
    or ``array``. sha256: hex digest over the file(s) in slice order. frames: one reference a slice
    (axis k), empty where the source is not DICOM. header: the first file's pydicom ``Dataset``
    without pixels, or None.
    """

    kind: str
    sha256: str = ""
    frames: tuple[FrameReference, ...] = ()
    header: Any = None

    def __repr__(self) -> str:
        """Without the header and the digest: they identify the patient or the file."""
        return f"Source({self.kind}, {len(self.frames)} frame references)"


@dataclass(frozen=True, eq=False, repr=False)
class Volume:
    """A gray image (i, j, k) and its affine to RAS mm.

    array: (I, J, K), real numbers, finite. affine: (4, 4) float64. orientation: who says which way
    the axes point: the file, the user's options, or nobody (``assumed``: i to the left, j to the
    posterior, k to the superior). field_of_view: bool (I, J, K), True where the scanner drew
    ultrasound; None where unknown. warnings: sentences for the user. Raises GeometryError.
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
        """Shape, type, spacing and orientation; nothing that identifies a patient."""
        return f"Volume({_grid_text(self.array, self.affine)}, orientation {self.orientation})"

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Distance between neighbouring voxel centres along i, j, k in mm."""
        return spacing_of(self.affine)

    def with_array(self, array: Array) -> Volume:
        """The same place in the patient with other values of the same shape."""
        return replace(self, array=array)


@dataclass(frozen=True, eq=False, repr=False)
class Segmentation:
    """A label map on the grid of a volume.

    Attributes
    ----------
    labels
        (I, J, K) uint8; 0 is background.
    affine
        Voxel indices to RAS mm.
    names
        What each label is. The structure of the smallest label is the first one; by default it is the CTV, the
        prostate without the seminal vesicles.
    probability
        Of the first structure, (I, J, K) in [0, 1], or None.
    orientation
        As the volume's.
    source_sha256
        Of the image that it was drawn on, as :class:`Source` has it; empty if unknown.
    frame_of_reference
        Its DICOM UID; empty if the file names none.
    """

    labels: Array
    affine: Array
    names: dict[int, str] = field(default_factory=lambda: {1: CTV})
    probability: Array | None = None
    orientation: Orientation = "file"
    source_sha256: str = ""
    frame_of_reference: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "affine", _checked_affine(self.affine))
        if self.labels.ndim != 3 or self.labels.dtype != np.uint8:
            raise GeometryError(
                f"Labels are a uint8 array with 3 axes, got {self.labels.dtype} of shape {self.labels.shape}."
            )
        if self.probability is not None and self.probability.shape != self.labels.shape:
            raise GeometryError(
                f"The probability has shape {self.probability.shape}, expected the labels' {self.labels.shape}."
            )

    def __repr__(self) -> str:
        """Shape, type, spacing and number of names; the names may be a user's."""
        return f"Segmentation({_grid_text(self.labels, self.affine)}, {len(self.names)} named labels)"

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Distance between neighbouring voxel centres along i, j, k in mm."""
        return spacing_of(self.affine)

    def mask(self, name: str | None = None) -> Array:
        """The voxels of a structure, bool (I, J, K); of the first one if no name is given. Raises InputError."""
        found = [label for label in sorted(self.names) if name in (None, self.names[label])]
        if not found:
            there = ", ".join(self.names.values())
            raise InputError(f"The segmentation has no structure called {name}, only {there or 'background'}.")
        return np.asarray(self.labels == found[0])

    @property
    def volume_ml(self) -> float:
        """Volume of the first structure in millilitres."""
        return volume_ml(self.mask(), self.affine)


def spacing_of(affine: Array) -> tuple[float, float, float]:
    """Spacing in mm along i, j, k: the lengths of the affine's first three columns."""
    i, j, k = np.linalg.norm(np.asarray(affine, np.float64)[:3, :3], axis=0)
    return float(i), float(j), float(k)


def volume_ml(mask: Array, affine: Array) -> float:
    """Volume of a mask in millilitres: voxel count times |det(affine)| / 1000."""
    return float(np.count_nonzero(mask) * abs(np.linalg.det(affine[:3, :3])) / 1000.0)


def swap_ras_lps(affine: Array) -> Array:
    """Convert an affine from RAS to LPS mm or back (the two differ in the sign of x and y)."""
    return _LPS_FLIP @ np.asarray(affine, np.float64)


def affine_from_lps(direction: Array, spacing_mm: Array, origin_lps_mm: Array) -> Array:
    """The RAS affine of a grid given as DICOM and ITK do.

    direction: (3, 3), columns are the LPS unit vectors of axes i, j, k. spacing_mm: (3,).
    origin_lps_mm: centre of voxel (0, 0, 0), (3,).
    """
    affine = np.eye(4)
    affine[:3, :3] = np.asarray(direction, np.float64) * np.asarray(spacing_mm, np.float64)
    affine[:3, 3] = origin_lps_mm
    return swap_ras_lps(affine)


def lps_from_affine(affine: Array) -> tuple[Array, Array, Array]:
    """Inverse of :func:`affine_from_lps`: direction (3, 3), spacing (3,) and origin (3,) in LPS mm."""
    lps = swap_ras_lps(affine)
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    return lps[:3, :3] / spacing, spacing, lps[:3, 3]


def rescaled_affine(affine: Array, old: Sequence[int] | Array, new: Sequence[int] | Array) -> Array:
    """The affine of a grid of shape new with the outer edges of one of shape old.

    Its voxel centre n lies at (n + 1/2) old / new - 1/2 of the old grid.
    """
    step = np.asarray(old) / np.asarray(new)
    index = np.eye(4)
    index[:3, :3] = np.diag(step)
    index[:3, 3] = (step - 1) / 2
    return affine @ index


def same_grid(a: Volume | Segmentation, b: Volume | Segmentation, tolerance_mm: float = 1e-3) -> bool:
    """Whether two images have equal shapes and every corner voxel lies within tolerance_mm."""
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
    """Whether all values are finite; without a copy, as a mask of them would be."""
    return array.dtype.kind != "f" or not array.size or bool(np.isfinite(array.min()) and np.isfinite(array.max()))


def _grid_text(array: Array, affine: Array) -> str:
    shape = " x ".join(map(str, array.shape))
    return f"{shape} {array.dtype}, {' x '.join(f'{length:.4g}' for length in spacing_of(affine))} mm"


def extent_mm(segmentation: Segmentation) -> tuple[float, float, float]:
    """Length of the first structure along i, j, k in mm: from its first voxel to its last, both included."""
    lengths = []
    mask = segmentation.mask()
    for axis, spacing in enumerate(segmentation.spacing_mm):
        others = tuple(other for other in range(3) if other != axis)
        hit = np.flatnonzero(mask.any(axis=others))
        lengths.append(float((hit[-1] - hit[0] + 1) * spacing) if hit.size else 0.0)
    return lengths[0], lengths[1], lengths[2]


def bounding_box(mask: Array) -> tuple[slice, ...]:
    """The smallest box of slices that holds all True voxels; empty slices where there is none."""
    box = [slice(None)] * mask.ndim
    for axis in range(mask.ndim):  # what is looked at gets smaller from axis to axis
        others = tuple(other for other in range(mask.ndim) if other != axis)
        hit = np.flatnonzero(mask[tuple(box)].any(axis=others))
        box[axis] = slice(int(hit[0]), int(hit[-1]) + 1) if hit.size else slice(0, 0)
    return tuple(box)
