"""Margins in mm around a mask, one for each of six patient directions, for example from the CTV to the PTV."""

from __future__ import annotations

from dataclasses import astuple, dataclass

import numpy as np
from scipy.signal import fftconvolve

from ..errors import GeometryError, SettingsError
from .extent import bounding_box
from .volume import Array, Orientation, spacing_of, swap_ras_lps

LARGEST_MM = 30.0
DIRECTIONS = ("left", "right", "anterior", "posterior", "superior", "inferior")


@dataclass(frozen=True)
class Margin:
    """A margin around a target in mm, for each of the six directions of the patient.

    Each value is between 0 and 30 mm. Any other value raises SettingsError.
    """

    left: float
    right: float
    anterior: float
    posterior: float
    superior: float
    inferior: float

    def __post_init__(self) -> None:
        for name, value in zip(DIRECTIONS, astuple(self), strict=True):
            if not 0 <= value <= LARGEST_MM:
                raise SettingsError(f"The {name} margin is {value:g} mm, expected 0 to {LARGEST_MM:g} mm.")

    @property
    def uniform(self) -> bool:
        """Whether the margin is the same in all directions."""
        return len(set(astuple(self))) == 1

    @classmethod
    def parse(cls, text: str) -> Margin:
        """Return the margin that an option's text describes. Raise SettingsError if the text cannot be read.

        ``3`` means 3 mm in all directions. ``3,posterior=0`` means 3 mm, but 0 mm to the posterior.
        """
        first, *others = (part.strip() for part in text.split(","))
        try:
            sides = dict.fromkeys(DIRECTIONS, float(first))
            for part in others:
                name, equals, value = part.partition("=")
                if not equals or name.strip() not in DIRECTIONS:
                    raise ValueError
                sides[name.strip()] = float(value)
        except ValueError:
            raise SettingsError(
                f"The margin is {text!r}, expected mm such as 3, or 3,posterior=0; directions are "
                f"{', '.join(DIRECTIONS)}."
            ) from None
        return cls(**sides)


def touches_border(mask: Array) -> bool:
    """Return whether a mask reaches the first or last voxel of an axis with several voxels."""
    sides = (np.take(mask, at, axis=axis).any() for axis, n in enumerate(mask.shape) if n > 1 for at in (0, -1))
    return any(map(bool, sides))


def enlarged(
    mask: Array, affine: Array, margin: Margin, orientation: Orientation = "file", *, clip: bool = False
) -> Array:
    """Return a mask enlarged by a margin, bool (I, J, K).

    A voxel belongs to the result if its centre lies within the margin of a mask voxel's centre. In each octant the
    margin is an ellipsoid, as in planning systems. A margin of 0 adds nothing in its direction. The mask grows in
    whole voxels: if one voxel is longer than the margin, nothing is added along that axis.

    Parameters
    ----------
    mask
        Bool (I, J, K).
    affine
        Voxel indices to RAS mm.
    margin
        Margin in the six directions of the patient.
    orientation
        Source of the axis directions, as in :class:`.Volume`.
    clip
        Whether the enlarged mask ends at the image's border instead of being refused there.

    Raises
    ------
    GeometryError
        The enlarged mask leaves the image and ``clip`` is false, or the margin differs between directions and the
        orientation is ``assumed``.
    """
    if orientation == "assumed" and not margin.uniform:
        raise GeometryError(
            "The margin differs between directions, but the image does not say which way its axes point; give "
            "--frame-order and --probe-side, or the same margin everywhere."
        )
    if not mask.any():
        return mask.copy()
    ball = _ball(affine, margin)
    reach = [side // 2 for side in ball.shape]
    box = bounding_box(mask)
    grown = np.zeros(tuple(n + 2 * r for n, r in zip(mask.shape, reach, strict=True)), bool)
    inner = tuple(slice(s.start, s.stop + 2 * r) for s, r in zip(box, reach, strict=True))
    grown[inner] = fftconvolve(mask[box].astype(np.float32), ball.astype(np.float32)) > 0.5
    kept = grown[tuple(slice(r, r + n) for n, r in zip(mask.shape, reach, strict=True))]
    lost = int(grown.sum()) - int(kept.sum())
    if lost and not clip:
        raise GeometryError(
            f"{100 * lost / int(grown.sum()):.1f} % of the mask with its margin lies outside the image; give a "
            "smaller margin, or an image that shows more around the prostate."
        )
    return kept.copy()


def _ball(affine: Array, margin: Margin) -> Array:
    """Return the voxel offsets within a margin: bool, an odd number of voxels along each axis.

    The middle voxel is the offset (0, 0, 0).
    """
    spacing = np.array(spacing_of(affine))
    reach = np.floor(max(astuple(margin)) / spacing + 1e-6).astype(int)
    offsets = np.stack(np.meshgrid(*[np.arange(-r, r + 1) for r in reach], indexing="ij"), axis=-1)
    lps = offsets @ swap_ras_lps(affine)[:3, :3].T
    half_voxel = 0.5 * float(spacing.min())  # so that a margin of 0 excludes even the shortest step
    positive = np.array([margin.left, margin.posterior, margin.superior])
    negative = np.array([margin.right, margin.anterior, margin.inferior])
    limits = np.where(lps > 0, np.maximum(positive, 0.999 * half_voxel), np.maximum(negative, 0.999 * half_voxel))
    return ((lps / limits) ** 2).sum(axis=-1) <= 1 + 1e-6
