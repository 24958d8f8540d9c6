"""How unsure a model is of each voxel."""

from __future__ import annotations

import numpy as np

from .volume import Array


def entropy_percent(probability: Array) -> Array:
    """The entropy of a foreground probability as percent of one bit, uint8 of the same shape; one half is 100."""
    p = np.clip(probability, 0.0, 1.0).astype(np.float32)
    percent = np.zeros(p.shape, np.uint8)
    unsure = (p > 1e-4) & (p < 1 - 1e-4)
    q = p[unsure]
    percent[unsure] = np.rint(-100 * (q * np.log2(q) + (1 - q) * np.log2(1 - q))).astype(np.uint8)
    return percent
