"""Metrics of things: which were found within a distance, and how far off.

Needles are compared by their tips, everything else by its centre. Predictions and references are matched one to one
with the smallest sum of distances (Hungarian method); pairs further apart than the limit are no match. RQ is the F1
score of the matches, as in panoptic quality (Kirillov et al. 2019), with the distance in place of the IoU.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from ...geometry.structures import key
from ...geometry.things import Thing

LIMITS_MM = (1.0, 2.0, 3.0)
BY_TIP = ("needle",)  # keys of structures whose tip counts


@dataclass(frozen=True)
class ThingMatches:
    """Matches of the things of one structure within a limit; the counts of several images can be added.

    Attributes
    ----------
    limit_mm
        Largest distance of a match.
    errors_mm
        Distance of each match.
    angles_deg
        Angle of each match between things of known direction.
    missed
        Number of references without a match.
    invented
        Number of predictions without a match.
    """

    limit_mm: float
    errors_mm: tuple[float, ...] = ()
    angles_deg: tuple[float, ...] = ()
    missed: int = 0
    invented: int = 0

    def __add__(self, other: ThingMatches) -> ThingMatches:
        return ThingMatches(
            self.limit_mm,
            self.errors_mm + other.errors_mm,
            self.angles_deg + other.angles_deg,
            self.missed + other.missed,
            self.invented + other.invented,
        )

    @property
    def recognition_quality(self) -> float | None:
        """F1 of finding things; None if there is none on either side."""
        total = len(self.errors_mm) + 0.5 * (self.missed + self.invented)
        return len(self.errors_mm) / total if total else None

    @property
    def median_error_mm(self) -> float | None:
        """Median distance of the matches; None without one."""
        return float(np.median(self.errors_mm)) if self.errors_mm else None

    @property
    def median_angle_deg(self) -> float | None:
        """Median angle of the matches; None if no direction is known."""
        return float(np.median(self.angles_deg)) if self.angles_deg else None


def match_things(
    prediction: Sequence[Thing], reference: Sequence[Thing], limits_mm: Sequence[float] = LIMITS_MM
) -> list[ThingMatches]:
    """Match the things of one structure in one image, once for each limit."""
    places = [np.array([_place(one) for one in things]).reshape(-1, 3) for things in (prediction, reference)]
    far = cdist(*places)
    return [_matches(prediction, reference, far, limit) for limit in limits_mm]


def _place(thing: Thing) -> tuple[float, float, float]:
    return thing.end_mm if key(thing.structure) in BY_TIP else thing.centre_mm


def _matches(
    prediction: Sequence[Thing], reference: Sequence[Thing], far: np.ndarray, limit: float
) -> ThingMatches:
    cost = np.where(far <= limit, far, 1e6)  # so that no allowed match is given up for a shorter sum
    pairs = [(a, b) for a, b in zip(*linear_sum_assignment(cost), strict=True) if far[a, b] <= limit]
    angles = [prediction[a].angle_to_deg(reference[b]) for a, b in pairs]
    return ThingMatches(
        limit,
        tuple(float(far[a, b]) for a, b in pairs),
        tuple(angle for angle in angles if angle is not None),
        len(reference) - len(pairs),
        len(prediction) - len(pairs),
    )
