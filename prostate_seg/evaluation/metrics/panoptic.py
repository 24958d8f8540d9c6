"""Panoptic quality (Kirillov, He, Girshick, Rother and Dollar, CVPR 2019) of structures and of slices.

A predicted segment and a reference segment match if their IoU is above 0.5. A segment can have at most one match.
PQ = SQ · RQ. The segmentation quality SQ is the mean IoU of the matches, the recognition quality RQ is their F1
score. Counts are summed over the data set before the division, so the quality is not a mean over images.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ...errors import GeometryError
from ...geometry.structures import key
from ...geometry.volume import Array
from .masks import checked_masks


@dataclass(frozen=True)
class Panoptic:
    """Counts of one structure; the counts of several images can be added.

    Attributes
    ----------
    matched
        Number of matches.
    iou
        Sum of the IoU of the matches.
    unmatched_predictions, unmatched_references
        Number of predicted segments and of reference segments without a match.
    """

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
        """PQ in [0, 1]; None if there is no segment at all."""
        found, drawn = self.segmentation_quality, self.recognition_quality
        return None if drawn is None else (found or 0.0) * drawn

    @property
    def segmentation_quality(self) -> float | None:
        """SQ, the mean IoU of the matches; None if there is no match."""
        return self.iou / self.matched if self.matched else None

    @property
    def recognition_quality(self) -> float | None:
        """RQ: matches / (matches + half of the unmatched segments); None if there is no segment at all."""
        total = self.matched + 0.5 * (self.unmatched_predictions + self.unmatched_references)
        return self.matched / total if total else None


def panoptic_counts(
    prediction: Mapping[str, Array], reference: Mapping[str, Array], *, void: Array | None = None
) -> dict[str, Panoptic]:
    """Count the matches in one image, by structure.

    Each structure is scored on its own, so structures may overlap.

    Parameters
    ----------
    prediction, reference
        Bool masks of equal shape by the name of the structure. Each mask that is not empty is one segment.
    void
        Voxels without known truth, for example outside the field of view. They do not count in any union. A
        predicted segment with more than half of its voxels in the void is not an error.

    Raises
    ------
    GeometryError
        The shapes differ.
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


def instance_counts(
    prediction: Array, reference: Array, names: tuple[Sequence[str], Sequence[str]]
) -> dict[str, Panoptic]:
    """Count the matches of the instances in one image, by the key of their structure.

    Parameters
    ----------
    prediction, reference
        Number of the instance in each voxel, from 1; 0 for none. The shapes are equal.
    names
        Structure of each predicted instance, and of each reference instance. One without voxels has no match.
    """
    kinds = [[key(name) for name in part] for part in names]
    sizes = [np.bincount(labels.ravel(), minlength=1) for labels in (prediction, reference)]
    both = (prediction > 0) & (reference > 0)
    pairs, shared = np.unique(np.stack([prediction[both], reference[both]]), axis=1, return_counts=True)
    found = dict.fromkeys([*kinds[1], *kinds[0]], Panoptic())
    for drawn, truth, count in zip(*pairs.tolist(), shared.tolist(), strict=True):
        iou = count / int(sizes[0][drawn] + sizes[1][truth] - count)
        if iou > 0.5 and (kind := kinds[0][drawn - 1]) == kinds[1][truth - 1]:
            found[kind] += Panoptic(1, iou)
    return {
        kind: one + Panoptic(0, 0.0, *(part.count(kind) - one.matched for part in kinds))
        for kind, one in found.items()
    }


def panoptic_quality(images: Iterable[Mapping[str, Panoptic]]) -> dict[str, Panoptic]:
    """Add up the counts of all images of a data set, by structure."""
    total: dict[str, Panoptic] = {}
    for image in images:
        for name, counts in image.items():
            total[name] = total.get(name, Panoptic()) + counts
    return total


def slice_presence(prediction: Array, reference: Array) -> Panoptic:
    """Count with each slice (axis k) as an image, so that RQ falls for missed and extra slices at base and apex."""
    drawn, truth = checked_masks(prediction, reference)
    total = Panoptic()
    unknown = np.zeros(drawn.shape[:2], bool)
    for k in range(drawn.shape[2]):
        total += _one(drawn[:, :, k], truth[:, :, k], unknown)
    return total


def _one(drawn: Array, truth: Array, void: Array) -> Panoptic:
    """Compare one predicted segment with one reference segment."""
    size, expected = int(np.count_nonzero(drawn)), int(np.count_nonzero(truth))
    shared, unknown = int(np.count_nonzero(drawn & truth)), int(np.count_nonzero(drawn & void))
    union = size + expected - shared - unknown
    iou = shared / union if union else 0.0
    if iou > 0.5:
        return Panoptic(1, iou)
    excused = size > 0 and unknown / size > 0.5
    return Panoptic(0, 0.0, int(size > 0 and not excused), int(expected > 0))
