"""The names of a run's manifest, and the digest by which it knows a mask."""

from __future__ import annotations

import hashlib

import numpy as np

from ..geometry.volume import Segmentation

MANIFEST = "manifest.json"  # its name in a case's folder
DIGESTS = "outputs_sha256"  # the entry that holds the SHA-256 of every other file there


def mask_digest(segmentation: Segmentation) -> str:
    """Hex SHA-256 of label 1 and its shape, whatever file holds it."""
    mask = segmentation.mask()
    return hashlib.sha256(f"{mask.shape}".encode() + np.packbits(mask).tobytes()).hexdigest()
