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
        """Dice: 2 |P and R| / (|P| + |R|), in [0, 1]; 1 if both are empty (Dice 1945)."""
        return _share(2 * self.intersection, self.prediction + self.reference, empty=True)

    @property
    def iou(self) -> float:
        """IoU (Jaccard index): |P and R| / |P or R|, in [0, 1]; 1 if both are empty."""
        return _share(self.intersection, self.prediction + self.reference - self.intersection, empty=True)

    @property
    def precision(self) -> float:
        """Precision: |P and R| / |P|, in [0, 1].

        If P is empty, the value is 1 if R is empty too. Otherwise it is 0, so that a missed case scores no 1.
        """
        return _share(self.intersection, self.prediction, empty=not self.reference)

    @property
    def recall(self) -> float:
        """Recall: |P and R| / |R|, in [0, 1]; if R is empty, 1 if P is empty too, otherwise 0."""
        return _share(self.intersection, self.reference, empty=not self.prediction)


def overlap(prediction: Array, reference: Array) -> Overlap:
    """Count the voxels of two masks of equal shape, with any number of axes.

    Raises
    ------
    GeometryError
        The shapes differ.
    SettingsError
        A mask has another value than 0 and 1.
    """
    prediction, reference = checked_masks(prediction, reference)
    return Overlap(
        int(np.count_nonzero(prediction & reference)),
        int(np.count_nonzero(prediction)),
        int(np.count_nonzero(reference)),
    )


def _share(part: int, whole: int, *, empty: bool) -> float:
    return part / whole if whole else float(empty)
