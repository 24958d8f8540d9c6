"""Calibration of probabilities (Guo et al., "On calibration of modern neural networks", ICML 2017)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...errors import SettingsError
from ...geometry.volume import Array
from .masks import checked_mask


@dataclass(frozen=True, eq=False)
class Reliability:
    """Reliability diagram with B bins of equal width over [0, 1]; the diagrams of several cases can be added.

    Attributes
    ----------
    counts
        Number of voxels in each bin, (B,).
    confidence
        Mean probability in each bin, (B,); 0 in an empty bin.
    frequency
        Fraction of voxels in each bin that belong to the reference, (B,); 0 in an empty bin.
    """

    counts: Array
    confidence: Array
    frequency: Array

    def __add__(self, other: Reliability) -> Reliability:
        counts = self.counts + other.counts
        divisor = np.maximum(counts, 1)
        confidence = (self.counts * self.confidence + other.counts * other.confidence) / divisor
        frequency = (self.counts * self.frequency + other.counts * other.frequency) / divisor
        return Reliability(counts, confidence, frequency)

    @property
    def expected_calibration_error(self) -> float:
        """Mean over voxels of the absolute difference between confidence and frequency of their bin.

        The value is in [0, 1]. It is 0 if there are no voxels.
        """
        total = self.counts.sum()
        return float((self.counts @ np.abs(self.confidence - self.frequency)) / total) if total else 0.0


def reliability(
    probability: Array, reference: Array, *, bins: int = 10, within: Array | None = None
) -> Reliability:
    """Bin the foreground probability of voxels.

    Parameters
    ----------
    probability
        Foreground probability in [0, 1].
    reference
        Reference mask of the same shape.
    bins
        Number of bins.
    within
        Bool array of the voxels to use. None: all voxels.

    Raises
    ------
    SettingsError
        The shapes differ, a probability is outside [0, 1], the reference is not a mask, or there is no bin.
    """
    p = np.asarray(probability, np.float64)
    truth = checked_mask(np.asarray(reference), "reference")
    if p.shape != truth.shape or bins < 1 or not ((p >= 0) & (p <= 1)).all():
        raise SettingsError(
            f"Calibration needs probabilities in [0, 1] of the reference's shape {truth.shape} and at least 1 bin, "
            f"got shape {p.shape} and {bins} bins."
        )
    if within is not None:
        p, truth = p[within], truth[within]
    index = np.minimum((p.ravel() * bins).astype(int), bins - 1)
    counts = np.bincount(index, minlength=bins)
    divisor = np.maximum(counts, 1)
    confidence = np.bincount(index, p.ravel(), bins) / divisor
    frequency = np.bincount(index, truth.ravel().astype(np.float64), bins) / divisor
    return Reliability(counts, confidence, frequency)


def expected_calibration_error(probability: Array, reference: Array, *, bins: int = 10) -> float:
    """Return the expected calibration error of the foreground probability over all voxels of a case."""
    return reliability(probability, reference, bins=bins).expected_calibration_error
