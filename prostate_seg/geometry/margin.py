"""Margins around a mask in mm, one for each direction in the patient: from the CTV to the PTV."""

from __future__ import annotations

from dataclasses import astuple, dataclass

import numpy as np
from scipy.signal import fftconvolve

from ..errors import GeometryError, SettingsError
from .volume import Array, Orientation, bounding_box, spacing_of, swap_ras_lps

LARGEST_MM = 30.0
DIRECTIONS = ("left", "right", "anterior", "posterior", "superior", "inferior")


@dataclass(frozen=True)
class Margin:
    """How far a target is enlarged, in mm, 0 to 30, in the six directions of the patient. Raises SettingsError."""

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
        """Whether it is the same in all directions."""
        return len(set(astuple(self))) == 1

    @classmethod
    def parse(cls, text: str) -> Margin:
        """``3`` is 3 mm everywhere; ``3,posterior=0`` 3 mm but none to the posterior. Raises SettingsError."""
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


def enlarged(mask: Array, affine: Array, margin: Margin, orientation: Orientation = "file") -> Array:
    """A mask, bool (I, J, K), grown by a margin: every voxel whose centre a mask voxel's margin reaches.

    The margin is an ellipsoid in each octant, as planning systems draw it; where it is 0 nothing is added in
    that direction. Growth in steps of whole voxels: a step longer than the margin adds nothing along it. Raises
    GeometryError where the margin has a direction but the image none (orientation ``assumed``), and where it
    leaves the image.
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
    if lost:
        raise GeometryError(
            f"{100 * lost / int(grown.sum()):.1f} % of the mask with its margin lies outside the image; give a "
            "smaller margin, or an image that shows more around the prostate."
        )
    return kept.copy()


def _ball(affine: Array, margin: Margin) -> Array:
    """The voxel offsets that a margin reaches: bool, of odd sides, the middle one is no offset."""
    spacing = np.array(spacing_of(affine))
    reach = np.floor(max(astuple(margin)) / spacing + 1e-6).astype(int)
    offsets = np.stack(np.meshgrid(*[np.arange(-r, r + 1) for r in reach], indexing="ij"), axis=-1)
    lps = offsets @ swap_ras_lps(affine)[:3, :3].T
    half_voxel = 0.5 * float(spacing.min())  # a margin of 0 forbids the shortest step
    positive = np.array([margin.left, margin.posterior, margin.superior])
    negative = np.array([margin.right, margin.anterior, margin.inferior])
    limits = np.where(lps > 0, np.maximum(positive, 0.999 * half_voxel), np.maximum(negative, 0.999 * half_voxel))
    return ((lps / limits) ** 2).sum(axis=-1) <= 1 + 1e-6
