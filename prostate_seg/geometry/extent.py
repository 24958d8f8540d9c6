"""Extents of a structure: its lengths in mm, and the box that holds it."""

from __future__ import annotations

import numpy as np

from .volume import Array, Segmentation


def extent_mm(segmentation: Segmentation) -> tuple[float, float, float]:
    """Return the lengths of the first structure along i, j, k in mm, end voxels included; 0 if it is empty."""
    lengths = []
    mask = segmentation.mask()
    for axis, spacing in enumerate(segmentation.spacing_mm):
        others = tuple(other for other in range(3) if other != axis)
        hit = np.flatnonzero(mask.any(axis=others))
        lengths.append(float((hit[-1] - hit[0] + 1) * spacing) if hit.size else 0.0)
    return lengths[0], lengths[1], lengths[2]


def bounding_box(mask: Array) -> tuple[slice, ...]:
    """Return the smallest box of slices that holds all True voxels; empty slices if there are none."""
    box = [slice(None)] * mask.ndim
    for axis in range(mask.ndim):  # each axis searches only the box that the axes before left
        others = tuple(other for other in range(mask.ndim) if other != axis)
        hit = np.flatnonzero(mask[tuple(box)].any(axis=others))
        box[axis] = slice(int(hit[0]), int(hit[-1]) + 1) if hit.size else slice(0, 0)
    return tuple(box)
