"""Measures of a mask that show how it was drawn: pieces, holes, missing slices, and parts where none should be."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from ...assessment.rays import cast_rays
from ...assessment.shape_model import FAINT, SMOOTHING, ShapeModel
from ...geometry.volume import Array, volume_ml
from .appearance import Upright

_TOUCHING = np.ones((3, 3, 3), bool)


@dataclass(frozen=True)
class Part:
    """A part of a mask: its volume, and the slice (axis k) that holds most of it; None if there is none."""

    ml: float = 0.0
    slice: int | None = None


@dataclass(frozen=True)
class MaskFacts:
    """Measures of one mask on the grid of its image.

    Attributes
    ----------
    ml
        Volume.
    islands
        Parts beside the largest connected one (voxels that share a corner are connected).
    pieces
        Number of connected parts.
    holes
        Background that a slice of the mask encloses.
    gaps
        Slices without the mask between its first and its last one.
    unseen
        Part outside the field of view.
    beyond
        Part outside the structure that contains this one; None if that has no mask.
    ends
        Faces of the image that the mask touches, such as ``first slice``.
    """

    ml: float
    islands: Part = Part()
    pieces: int = 0
    holes: Part = Part()
    gaps: tuple[int, ...] = ()
    unseen: Part = Part()
    beyond: Part | None = None
    ends: tuple[str, ...] = ()


def mask_facts(mask: Array, affine: Array, seen: Array, parent: Array | None) -> MaskFacts:
    """Measure a mask. All arrays are bool (I, J, K)."""
    if not mask.any():
        return MaskFacts(0.0)
    pieces, count = ndimage.label(mask, _TOUCHING)
    main = np.bincount(pieces.ravel())[1:].argmax() + 1
    slices = np.flatnonzero(mask.any(axis=(0, 1)))
    filled = np.stack([ndimage.binary_fill_holes(mask[:, :, k]) for k in range(mask.shape[2])], axis=2)
    return MaskFacts(
        volume_ml(mask, affine),
        _part((pieces != main) & mask, affine),
        count,
        _part(filled & ~mask, affine),
        tuple(sorted(set(range(slices[0], slices[-1] + 1)) - set(slices.tolist()))),
        _part(mask & ~seen, affine),
        None if parent is None else _part(mask & ~parent, affine),
        _ends(mask),
    )


def _part(part: Array, affine: Array) -> Part:
    if not part.any():
        return Part()
    return Part(volume_ml(part, affine), int(part.sum(axis=(0, 1)).argmax()))


def _ends(mask: Array) -> tuple[str, ...]:
    faces = {
        f"{end} {what}": mask.take(index, axis).any()
        for axis, what in enumerate(("column", "row", "slice"))
        for end, index in (("first", 0), ("last", -1))
        if mask.shape[axis] > 1
    }
    return tuple(name for name, touched in faces.items() if touched)


def shape_residual_mm(image: Upright, model: ShapeModel) -> float | None:
    """Return the mean distance of a gland's contour from the nearest plausible shape, as ``segment`` measures it.

    Directions in which the image ends first do not count. The result is None without a gland.
    """
    if image.gland is None:
        return None
    rays = cast_rays(
        ndimage.gaussian_filter(image.gland, SMOOTHING), image.spacing_mm.tolist(), seen=image.seen > 0.5
    )
    if rays is None or not rays.inside.any():
        return None
    fitted, _ = model.fit(rays.radii_mm, np.maximum(rays.inside * 1.0, FAINT))
    return float(np.abs(fitted - rays.radii_mm)[rays.inside].mean())
