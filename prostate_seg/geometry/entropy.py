"""Entropy of a model's foreground probability."""

from __future__ import annotations

import numpy as np

from .volume import Array


def entropy_percent(probability: Array) -> Array:
    """Return the entropy of a foreground probability in percent of one bit, uint8 of the same shape.

    The entropy is 100 where the probability is one half, and 0 where it is 0 or 1.
    """
    p = np.clip(probability, 0.0, 1.0).astype(np.float32)
    percent = np.zeros(p.shape, np.uint8)
    unsure = (p > 1e-4) & (p < 1 - 1e-4)
    q = p[unsure]
    percent[unsure] = np.rint(-100 * (q * np.log2(q) + (1 - q) * np.log2(1 - q))).astype(np.uint8)
    return percent
