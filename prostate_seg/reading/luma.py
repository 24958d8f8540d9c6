"""Conversion of colour to gray: luma 0.299 R + 0.587 G + 0.114 B.

This is the luma of ITU-R BT.601 and the Y of YBR_FULL (PS3.3 C.7.6.3.1.2).
"""

import numpy as np

from ..geometry.volume import Array

LUMA_WEIGHTS = np.array([0.299, 0.587, 0.114], np.float32)


def luma(colour: Array) -> Array:
    """Return the luma of an RGB image in the type of the image.

    Integers are rounded, so a gray pixel keeps its value.

    Parameters
    ----------
    colour
        (..., 3 or more): red, green, blue; further channels are ignored.
    """
    gray = colour[..., :3].astype(np.float32) @ LUMA_WEIGHTS
    return gray.astype(colour.dtype) if colour.dtype.kind == "f" else np.rint(gray).astype(colour.dtype)
