"""Overlap of two masks, counted in voxels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...geometry.volume import Array
from .masks import checked_masks


@dataclass(frozen=True)
class Overlap:
    """Voxel counts of two masks."""

    intersection: int
    prediction: int
    reference: int

    @property
    def dice(self) -> float:
        """2 |P and R| / (|P| + |R|), in [0, 1]; 1 where both are empty (Dice 1945)."""
        return _share(2 * self.intersection, self.prediction + self.reference, empty=True)

    @property
    def iou(self) -> float:
        """|P and R| / |P or R|, in [0, 1]; 1 where both are empty (Jaccard)."""
        return _share(self.intersection, self.prediction + self.reference - self.intersection, empty=True)

    @property
    def precision(self) -> float:
        """|P and R| / |P|, in [0, 1]; where P is empty 1 if R is too, else 0: a miss is no perfect answer."""
        return _share(self.intersection, self.prediction, empty=not self.reference)

    @property
    def recall(self) -> float:
        """|P and R| / |R|, in [0, 1]; where R is empty 1 if P is too, else 0."""
        return _share(self.intersection, self.reference, empty=not self.prediction)


def overlap(prediction: Array, reference: Array) -> Overlap:
    """Count voxels of two masks of equal shape (any number of axes). GeometryError if they differ."""
    prediction, reference = checked_masks(prediction, reference)
    return Overlap(
        int(np.count_nonzero(prediction & reference)),
        int(np.count_nonzero(prediction)),
        int(np.count_nonzero(reference)),
    )


def _share(part: int, whole: int, *, empty: bool) -> float:
    return part / whole if whole else float(empty)
