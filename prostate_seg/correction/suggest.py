"""Where the next hint would help most."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..assessment.rays import Rays, sphere
from ..assessment.shape_model import blur_mm
from .kriging import Known

LEAST_LEFT = 1e-3  # share of the variance at a place that was hinted already
LEAST_MM = 1.0  # width that counts for the sharpest edge: the network can be wrong and sure


@dataclass(frozen=True)
class Suggestion:
    """A place on the boundary that a person should look at.

    Attributes
    ----------
    at_mm
        The place in RAS mm.
    slice
        1-based number of its transverse slice.
    gain
        Share of the boundary's expected squared error that a hint here would remove, 0 to 1.
    """

    at_mm: tuple[float, float, float]
    slice: int
    gain: float


def best_ray(rays: Rays, known: Known) -> tuple[int, float]:
    """Return the ray along which a hint removes most of the expected squared error, and the share removed.

    The error along a ray is expected to grow with the width of its edge. Only rays that end inside the image count.
    """
    deviation = np.maximum(blur_mm(rays), LEAST_MM)
    left = known.covariance_left(sphere())
    gains = (deviation[:, None] * left) ** 2 / np.maximum(np.diag(left), LEAST_LEFT)
    gain = gains.sum(axis=0) * rays.inside
    ray = int(gain.argmax())
    return ray, float(gain[ray] / max(float(deviation**2 @ np.diag(left)), 1e-9))
