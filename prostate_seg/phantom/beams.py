"""The grid of ultrasound beams, with its random parts: smooth tissue fields and speckle."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from ..geometry.volume import Array


@dataclass(frozen=True)
class Beams:
    """The polar grid of the beams.

    Attributes
    ----------
    radius_mm
        (R,) distance from the probe's axis.
    angle
        (A,) in radians from the anterior direction.
    z_mm
        (K,) positions of the slices.
    """

    radius_mm: Array
    angle: Array
    z_mm: Array

    def positions(self) -> tuple[Array, Array]:
        """Return x and y of the grid points in mm, each (R, A)."""
        r, a = self.radius_mm[:, None], self.angle[None, :]
        return r * np.sin(a), -r * np.cos(a)

    @property
    def shape(self) -> tuple[int, int]:
        """Number of radii and angles, (R, A)."""
        return len(self.radius_mm), len(self.angle)


class SmoothField:
    """A smooth random field with a variance of about 1.

    The parameter ``scales_mm`` holds the correlation lengths along the beam, across the beams, and across the
    slices.
    """

    def __init__(self, rng: np.random.Generator, beams: Beams, scales_mm: tuple[float, float, float]) -> None:
        r, a, z = beams.radius_mm, beams.angle, beams.z_mm
        spans = r[-1] - r[0], (a[-1] - a[0]) * float(r.mean()), float(np.ptp(z))
        counts = [int(np.ceil(span / scale)) + 3 for span, scale in zip(spans, scales_mm, strict=True)]
        self._lattice = 1.5 * rng.standard_normal(counts, dtype=np.float32)
        self._at = [np.linspace(0.5, n - 1.6, m) for n, m in zip(counts, beams.shape, strict=False)]
        self._z0, self._z_scale = float(z[0]), scales_mm[2]

    def at(self, z_mm: float) -> Array:
        """Return the field at z_mm, (R, A) float32."""
        plane = _interpolated(self._lattice, np.array([0.5 + (z_mm - self._z0) / self._z_scale]), 2)[..., 0]
        return _interpolated(_interpolated(plane, self._at[1], 1), self._at[0], 0)


def speckle(
    rng: np.random.Generator, beams: Beams, *, axial_mm: float, lateral_mm: float, elevation_mm: float
) -> Iterator[Array]:
    """Yield fully developed speckle for each z of the beams, as power (R, A) with a mean of 1.

    The envelope has a Rayleigh distribution (mean over standard deviation 1.91) and a mean square of 1. The point
    spread function is Gaussian. Across the beams it widens with depth, because the beams diverge. The slices form
    a Markov chain.

    Parameters
    ----------
    rng
        Random numbers.
    beams
        Polar grid.
    axial_mm
        Standard deviation of the point spread function along the beam.
    lateral_mm
        Standard deviation across the beam, at 35 mm from the probe's axis.
    elevation_mm
        Standard deviation across the slices.
    """
    r = beams.radius_mm
    pitch = 35.0 * (beams.angle[1] - beams.angle[0])
    gap = beams.z_mm[1] - beams.z_mm[0] if len(beams.z_mm) > 1 else 99.0
    keep = np.float32(np.exp(-((gap / (2 * elevation_mm)) ** 2)))
    sigmas = axial_mm / (r[1] - r[0]), lateral_mm / pitch
    parts: list[Array] = []
    for _ in beams.z_mm:
        new = [_filtered(rng.standard_normal(beams.shape, dtype=np.float32), sigmas) for _ in range(2)]
        mix = np.sqrt(1 - keep * keep) if parts else np.float32(1)
        parts = [keep * old + mix * part for old, part in zip(parts or new, new, strict=True)] if parts else new
        yield 0.5 * (parts[0] ** 2 + parts[1] ** 2)


def _interpolated(values: Array, at: Array, axis: int) -> Array:
    """Interpolate values along an axis at fractional indices, with smoothstep weights."""
    low = np.clip(at.astype(int), 0, values.shape[axis] - 2)
    weight = (at - low).clip(0, 1).astype(np.float32)
    weight = (weight * weight * (3 - 2 * weight)).reshape([-1 if n == axis else 1 for n in range(values.ndim)])
    first = np.take(values, low, axis)
    return first + weight * (np.take(values, low + 1, axis) - first)


def _filtered(white: Array, sigmas: tuple[float, float]) -> Array:
    """Filter white noise with a Gaussian along both axes and keep its variance at 1."""
    for axis, sigma in enumerate(sigmas):
        if sigma > 0.25:
            taps = np.exp(-0.5 * (np.arange(-int(3 * sigma + 1), int(3 * sigma + 2)) / sigma) ** 2)
            white = ndimage.correlate1d(white, taps / np.sqrt((taps**2).sum()), axis, mode="wrap")
    return white
