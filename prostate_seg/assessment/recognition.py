"""Recognition of the kind of scan: an upright scan of a prostate, an upside-down one, or another image.

It is a logistic regression with three classes. Its features are the mean of the encoder's tokens and the size of
the segmented region, so no label is needed. The features are computed for the scan and for the scan turned upside
down: turning makes an upside-down scan upright. A recognition is valid only for the network weights that it was
fitted with.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.optimize import minimize

from ..errors import InputError, SettingsError
from ..geometry.volume import Array
from ..system.checked_files import read_arrays

PROSTATE, UPSIDE_DOWN, OTHER = KINDS = ("prostate", "upside-down", "other")
RIDGE = 0.001


@dataclass(frozen=True, eq=False)
class Recognition:
    """Logistic regression that gives the probability of each kind of scan.

    Attributes
    ----------
    mean
        Means of the fitted features (D,).
    deviation
        Standard deviations of the fitted features (D,).
    weights
        Weights of the standardised features, and the constant term: (3, D + 1).
    weights_sha256
        SHA-256 of the network's weights that the recognition belongs to.
    """

    mean: Array
    deviation: Array
    weights: Array
    weights_sha256: str = ""

    @classmethod
    def fit(cls, features: Array, kinds: Sequence[str], *, weights_sha256: str = "") -> Recognition:
        """Fit the regression to features (n, D) of n scans and their kinds. All kinds have the same total weight.

        SettingsError is raised if there is no scan of some kind.
        """
        missing = set(KINDS) - set(kinds)
        if missing:
            raise SettingsError(f"Recognition is fitted on scans of each kind; there is no {sorted(missing)}.")
        mean, deviation = features.mean(axis=0), features.std(axis=0) + 1e-6
        design = _standard(features, mean, deviation)  # (n, D + 1)
        target = np.array([[kind == name for name in KINDS] for kind in kinds], float)  # (n, 3)
        share = (target / target.sum(axis=0)).sum(axis=1) / len(KINDS)  # weight of each scan, sum 1

        def loss(flat: Array) -> tuple[float, Array]:
            weights = flat.reshape(len(KINDS), -1)
            logits = design @ weights.T
            logits -= logits.max(axis=1, keepdims=True)
            logarithms = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
            shrunk = RIDGE * weights * (np.arange(weights.shape[1]) < weights.shape[1] - 1)
            slope = ((np.exp(logarithms) - target) * share[:, None]).T @ design + shrunk
            value = -(share[:, None] * target * logarithms).sum() + 0.5 * (shrunk * weights).sum()
            return float(value), slope.ravel()

        start = np.zeros(len(KINDS) * design.shape[1])
        found = minimize(loss, start, jac=True, method="L-BFGS-B").x
        return cls(mean, deviation, found.reshape(len(KINDS), -1), weights_sha256)

    def __call__(self, features: Array, turned: Array | None = None) -> dict[str, float]:
        """Return the probability of each kind of scan.

        The two sets of features are combined as if they were independent.

        Parameters
        ----------
        features
            Features (D,) of the scan.
        turned
            Features (D,) of the scan turned upside down.
        """
        logarithms = self._logarithms(features)
        if turned is not None:
            logarithms = logarithms + self._logarithms(turned)[[1, 0, 2]]
        odds = np.exp(logarithms - logarithms.max())
        return {kind: float(p) for kind, p in zip(KINDS, odds / odds.sum(), strict=True)}

    def _logarithms(self, features: Array) -> Array:
        logits = (_standard(features[None], self.mean, self.deviation) @ self.weights.T)[0]
        return np.asarray(logits - np.logaddexp.reduce(logits))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the recognition as ``.npz``. The file is overwritten in place."""
        mean, deviation, weights = (x.astype(np.float32) for x in (self.mean, self.deviation, self.weights))
        with Path(path).open("wb") as stream:
            np.savez_compressed(
                stream, mean=mean, deviation=deviation, weights=weights, weights_sha256=self.weights_sha256
            )

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Recognition:
        """Read a recognition written by :meth:`save`. Raise InputError if the file is missing or invalid."""
        try:
            *arrays, digest = read_arrays(path, ("mean", "deviation", "weights", "weights_sha256"))
            mean, deviation, weights = (np.asarray(array, float) for array in arrays)
            _check_parts(mean, deviation, weights)
            return cls(mean, deviation, weights, str(digest))
        except (OSError, ValueError, TypeError) as error:
            why = error.strerror if isinstance(error, OSError) else str(error)
            raise InputError(f"{path} holds no recognition of scans ({why}); take the bundle's file.") from error


def _check_parts(mean: Array, deviation: Array, weights: Array) -> None:
    """Raise ValueError if the shapes of mean, deviations and weights do not agree, or if a number is invalid."""
    if mean.ndim != 1 or deviation.shape != mean.shape or weights.shape != (len(KINDS), len(mean) + 1):
        raise ValueError("its arrays have other shapes")
    if not all(np.isfinite(part).all() for part in (mean, deviation, weights)) or (deviation <= 0).any():
        raise ValueError("its numbers are not finite, or a deviation is not above 0")


def scan_features(tokens: Array, foreground: Array) -> Array:
    """Return the features (D + 3,) of a scan.

    The three additional features are logarithms: of the foreground's size, of the number of unsure voxels
    (probability between 0.1 and 0.9), and of their ratio.

    Parameters
    ----------
    tokens
        Mean of the encoder's tokens (D,).
    foreground
        Foreground probabilities.
    """
    found, unsure = float(foreground.sum()), float(((foreground > 0.1) & (foreground < 0.9)).sum())
    size = [np.log(found + 1), np.log(unsure + 1), np.log((unsure + 1) / (found + 1))]
    return np.concatenate([tokens, size])


def _standard(features: Array, mean: Array, deviation: Array) -> Array:
    scaled = np.clip((features - mean) / deviation, -10, 10)
    return np.column_stack([scaled, np.ones(len(scaled))])
