"""Whether a probability means what it says (Guo et al., "On calibration of modern neural networks", ICML 2017)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...errors import SettingsError
from ...geometry.volume import Array
from .masks import checked_mask


@dataclass(frozen=True, eq=False)
class Reliability:
    """Bins of equal width over [0, 1]: counts (B,), mean probability (B,) and share of the reference (B,).

    Empty bins hold 0. Reliabilities of several cases add up.
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
        """Mean over voxels of the gap between a bin's probability and its frequency, in [0, 1]; 0 without any."""
        total = self.counts.sum()
        return float((self.counts @ np.abs(self.confidence - self.frequency)) / total) if total else 0.0


def reliability(
    probability: Array, reference: Array, *, bins: int = 10, within: Array | None = None
) -> Reliability:
    """Bin the foreground probability of voxels. within: bool, which voxels count (None: all). SettingsError."""
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
    """The expected calibration error of one case's foreground probability, over all its voxels."""
    return reliability(probability, reference, bins=bins).expected_calibration_error
