"""Simple kriging of the boundary's error on the sphere of directions.

The error of the radius along a direction is a random field with mean 0 and the exponential covariance
exp(-angle / 35 degrees). The field conditioned on a few known errors is its best linear estimate elsewhere
(Rasmussen and Williams, "Gaussian Processes for Machine Learning", 2006, equations 2.25 and 2.26). No amplitude is
needed: without noise the estimate does not depend on it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from ..geometry.volume import Array

RANGE_DEG = 35.0
JITTER = 1e-6  # keeps two hints in one direction solvable


def covariance(one: Array, other: Array) -> Array:
    """Return the covariance (n, m) of the error along unit vectors (n, 3) and (m, 3), 1 for equal ones."""
    angle = np.degrees(np.arccos(np.clip(one @ other.T, -1, 1)))
    return np.asarray(np.exp(-angle / RANGE_DEG))


@dataclass(frozen=True, eq=False)
class Known:
    """Directions with a known error.

    Attributes
    ----------
    directions
        Unit vectors (n, 3).
    noise
        Variance of each known error (n,), relative to the variance of the error itself.
    """

    directions: Array
    noise: Array

    def _solved(self, right: Array) -> Array:
        if not len(self.directions):
            return np.zeros_like(right)
        matrix = covariance(self.directions, self.directions) + np.diag(self.noise + JITTER)
        return np.asarray(cho_solve(cho_factor(matrix), right))

    def weights(self, errors: Array) -> Array:
        """Return the weights (n,) of errors (n,); ``covariance(at, directions) @ weights`` is the estimate."""
        return self._solved(errors)

    def left(self, at: Array) -> Array:
        """Return the share of the variance (m,) that is left at unit vectors (m, 3), 0 to 1."""
        cross = covariance(self.directions, at)
        return np.asarray(np.clip(1 - (cross * self._solved(cross)).sum(axis=0), 0, 1))

    def covariance_left(self, at: Array) -> Array:
        """Return the covariance (m, m) that is left between unit vectors (m, 3)."""
        cross = covariance(self.directions, at)
        return np.asarray(covariance(at, at) - cross.T @ self._solved(cross))


NOTHING_KNOWN = Known(np.empty((0, 3)), np.empty(0))
