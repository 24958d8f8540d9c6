"""Panoptic quality (Kirillov, He, Girshick, Rother and Dollar, CVPR 2019) of structures and of slices.

A predicted segment and one of the reference match where their IoU is above one half, which no second pair
can be. PQ = SQ · RQ: segmentation quality SQ is the matches' mean IoU, recognition quality RQ their F1.
Counts are added up over the data set before they are divided; it is no mean of images.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from ...errors import GeometryError
from ...geometry.volume import Array
from .masks import checked_masks


@dataclass(frozen=True)
class Panoptic:
    """Counts of one structure: matches, their IoU together, predictions and references without a match."""

    matched: int = 0
    iou: float = 0.0
    unmatched_predictions: int = 0
    unmatched_references: int = 0

    def __add__(self, other: Panoptic) -> Panoptic:
        return Panoptic(
            self.matched + other.matched,
            self.iou + other.iou,
            self.unmatched_predictions + other.unmatched_predictions,
            self.unmatched_references + other.unmatched_references,
        )

    @property
    def quality(self) -> float | None:
        """PQ in [0, 1]; None where there is no segment at all."""
        found, drawn = self.segmentation_quality, self.recognition_quality
        return None if drawn is None else (found or 0.0) * drawn

    @property
    def segmentation_quality(self) -> float | None:
        """SQ, the mean IoU of the matches; None without any."""
        return self.iou / self.matched if self.matched else None

    @property
    def recognition_quality(self) -> float | None:
        """RQ, matches over matches plus half of what is left; None where there is no segment at all."""
        total = self.matched + 0.5 * (self.unmatched_predictions + self.unmatched_references)
        return self.matched / total if total else None


def panoptic_counts(
    prediction: Mapping[str, Array], reference: Mapping[str, Array], *, void: Array | None = None
) -> dict[str, Panoptic]:
    """The counts of one image: structures by name, bool masks of one shape, each a segment where not empty.

    void: where nobody can know (outside the field of view): its voxels count in no union, and a prediction of
    which more than half is void is no error. Structures are scored one by one and may nest. Raises
    GeometryError.
    """
    names = list(dict.fromkeys([*reference, *prediction]))
    counts = {}
    for name in names:
        present = prediction.get(name), reference.get(name)
        shape = next(mask.shape for mask in present if mask is not None)
        empty = np.zeros(shape, bool)
        drawn, truth = checked_masks(*(empty if mask is None else mask for mask in present))
        unknown = np.zeros(shape, bool) if void is None else np.asarray(void, bool)
        if unknown.shape != shape:
            raise GeometryError(f"The void has shape {unknown.shape}, expected that of {name}, {shape}.")
        counts[name] = _one(drawn, truth & ~unknown, unknown)
    return counts


def panoptic_quality(images: Iterable[Mapping[str, Panoptic]]) -> dict[str, Panoptic]:
    """The counts of a data set by structure: those of its images added up."""
    total: dict[str, Panoptic] = {}
    for image in images:
        for name, counts in image.items():
            total[name] = total.get(name, Panoptic()) + counts
    return total


def slice_presence(prediction: Array, reference: Array) -> Panoptic:
    """The counts with every slice (axis k) as an image: slices too many or missed at base and apex enter RQ."""
    drawn, truth = checked_masks(prediction, reference)
    total = Panoptic()
    unknown = np.zeros(drawn.shape[:2], bool)
    for k in range(drawn.shape[2]):
        total += _one(drawn[:, :, k], truth[:, :, k], unknown)
    return total


def _one(drawn: Array, truth: Array, void: Array) -> Panoptic:
    """One segment against one."""
    size, expected = int(np.count_nonzero(drawn)), int(np.count_nonzero(truth))
    shared, unknown = int(np.count_nonzero(drawn & truth)), int(np.count_nonzero(drawn & void))
    union = size + expected - shared - unknown
    iou = shared / union if union else 0.0
    if iou > 0.5:
        return Panoptic(1, iou)
    excused = size > 0 and unknown / size > 0.5
    return Panoptic(0, 0.0, int(size > 0 and not excused), int(expected > 0))
