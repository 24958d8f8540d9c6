"""Colour to gray: luma 0.299 R + 0.587 G + 0.114 B (ITU-R BT.601, the Y of YBR_FULL, PS3.3 C.7.6.3.1.2)."""

import numpy as np

from ..geometry.volume import Array

LUMA_WEIGHTS = np.array([0.299, 0.587, 0.114], np.float32)


def luma(colour: Array) -> Array:
    """Gray of an RGB image (..., 3 or more) in its own type; integers are rounded, gray keeps its value."""
    gray = colour[..., :3].astype(np.float32) @ LUMA_WEIGHTS
    return gray.astype(colour.dtype) if colour.dtype.kind == "f" else np.rint(gray).astype(colour.dtype)
