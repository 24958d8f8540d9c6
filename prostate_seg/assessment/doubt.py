"""Uncertainty of a segmentation: maps, numbers for each slice, and the probability that a case is wrong.

A pass is the output of one network, or of one member of an ensemble, for the image at one scale and flip. Entropies
are in bits. The entropy of the mean probability is the total uncertainty. The mutual information is the part that
comes from disagreement between the passes (Houlsby et al. 2011).

The score of a case is a logistic regression on a few numbers. It is fitted on cases that no member was trained on.
It is a calibrated probability only for cases similar to the fitted ones.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from ..geometry.volume import Array
from ..system.checked_files import read_json
from .rays import Rays, cast_rays, last_crossings_mm, main_part, rays_of
from .shape_model import FAINT, ShapeModel, blur_mm, certainty

FAR_MM = 5.0  # an HD95 above this counts as wrong
RIDGE = 1.0
STEPS = 50
_REQUIRED = {"names", "means", "deviations", "weights", "cases", "about"}  # entries of a score file


@dataclass(frozen=True)
class Doubt:
    """Numbers that measure the uncertainty of a segmentation. A larger number means more doubt.

    If no gland was found, ``cut`` is 0 and all others are infinite.

    Attributes
    ----------
    spread_mm
        Standard deviation, over the passes, of the boundary's distance from the centre; mean over the directions.
        0 for one pass.
    disagreement
        1 minus the mean Dice of all pairs of passes.
    residual_mm
        Mean distance of the boundary from the fitted shape.
    blur_mm
        Mean width of the edge.
    cut
        Share of the directions in which the image ends before the gland does.
    shape_sd
        Deviation of the fitted shape from the mean shape: root mean square of its modes, in standard deviations.
    """

    spread_mm: float
    disagreement: float
    residual_mm: float
    blur_mm: float
    cut: float
    shape_sd: float


def entropy_bits(probability: Array) -> Array:
    """Return the entropy of foreground probabilities, 0 to 1 bit, as float32 of the same shape."""
    p = np.clip(probability.astype(np.float32), 1e-7, 1 - 1e-7)
    return np.asarray(-(p * np.log2(p) + (1 - p) * np.log2(1 - p)), np.float32)


def mutual_information_bits(passes: Array) -> Array:
    """Return the entropy of the mean minus the mean entropy of passes (N, ...), in bits.

    The result is 0 at voxels where the passes agree, and at most 1.
    """
    mean = entropy_bits(passes.astype(np.float32).mean(axis=0))
    within = np.mean([entropy_bits(one) for one in passes], axis=0)
    return np.maximum(mean - within, 0)


def disagreement(passes: Array) -> float:
    """Return 1 minus the mean Dice of all pairs of passes (N, ...), thresholded at one half.

    The Dice of two empty masks is 1. The result is 0 for one pass.
    """
    masks = [one >= 0.5 for one in passes]
    sizes = [int(mask.sum()) for mask in masks]
    overlaps = [
        2 * int((masks[a] & masks[b]).sum()) / (sizes[a] + sizes[b]) if sizes[a] + sizes[b] else 1.0
        for a, b in combinations(range(len(masks)), 2)
    ]
    return float(1 - np.mean(overlaps)) if overlaps else 0.0


def doubt_of(
    field: Array, passes: Array, *, spacing_mm: Sequence[float], model: ShapeModel, seen: Array | None = None
) -> Doubt:
    """Compute the doubt of a segmentation.

    Parameters
    ----------
    field
        Foreground probability (I, J, K): the mean of the passes, or this mean after the shape model.
    passes
        Foreground probability of each pass (N, I, J, K).
    spacing_mm
        Voxel spacing.
    model
        Shape model that is fitted to the segmentation.
    seen
        Bool (I, J, K), true at voxels that show ultrasound. None: true everywhere.
    """
    rays = cast_rays(field, spacing_mm, seen=seen)
    if rays is None:
        return Doubt(np.inf, np.inf, np.inf, np.inf, 0.0, np.inf)
    fitted, modes = model.fit(rays.radii_mm, np.maximum(certainty(rays) * rays.inside, FAINT))
    return Doubt(
        _spread_mm(rays, passes, spacing_mm),
        disagreement(passes),
        float(np.abs(fitted - rays.radii_mm).mean()),
        float(blur_mm(rays).mean()),
        float(1 - rays.inside.mean()),
        float(np.sqrt(np.mean(np.square(modes)))),
    )


def _spread_mm(rays: Rays, passes: Array, spacing_mm: Sequence[float]) -> float:
    """Return ``spread_mm``. In each pass only the largest connected part counts, as in the mean."""
    alone = (np.where(main_part(one)[1], 0, one) for one in passes)
    radii = [last_crossings_mm(rays_of(one, spacing_mm, rays.centre_mm)) for one in alone]
    return float(np.std(radii, axis=0).mean())


def slice_blur_mm(probability: Array, spacing_mm: Sequence[float]) -> list[float | None]:
    """Return the width of the edge in each slice of (I, J, K) in mm; None for a slice without a boundary.

    The width is the slice's entropy (bits times mm^2) divided by the length of its boundary. For a linear ramp from
    1 to 0 over L mm the result is 0.72 L.
    """
    i_mm, j_mm = spacing_mm[0], spacing_mm[1]
    mask = probability >= 0.5
    across, along = (np.diff(mask, axis=axis).sum((0, 1)) for axis in (0, 1))  # the boundary's two projections
    length = np.hypot(across * j_mm, along * i_mm) * np.pi / (2 * np.sqrt(2))  # exact for a circle
    area = np.sum([entropy_bits(plane).sum(0, dtype=float) for plane in probability], axis=0) * i_mm * j_mm
    return [None if mm == 0 else float(bits / mm) for bits, mm in zip(area, length, strict=True)]


@dataclass(frozen=True)
class Score:
    """Probability that HD95 is above 5 mm, from a logistic regression on the logarithms of a doubt's numbers.

    Attributes
    ----------
    names
        Fields of :class:`Doubt` that are used.
    means
        Means of their logarithms over the fitted cases.
    deviations
        Standard deviations of their logarithms over the fitted cases.
    weights
        Weights of the standardised logarithms, followed by the constant term.
    cases
        Number of fitted cases.
    about
        Sentence that describes the fitted cases.
    weights_sha256
        SHA-256 of the network's weights that the score belongs to; empty if unknown.
    passes
        Number of passes of the fitted cases, because ``spread_mm`` grows with it; 0 if it does not matter.
    settings_sha256
        Digest of the bundle's settings that the score was fitted with (``inference.settings.settings_digest``);
        empty if unknown.
    """

    names: tuple[str, ...]
    means: tuple[float, ...]
    deviations: tuple[float, ...]
    weights: tuple[float, ...]
    cases: int
    about: str
    weights_sha256: str = ""
    passes: int = 0
    settings_sha256: str = ""

    @classmethod
    def fit(cls, doubts: Sequence[Doubt], wrong: Sequence[bool], names: Sequence[str], about: str) -> Score:
        """Fit the regression by Newton's method, with a ridge penalty of 1 on the weights.

        Cases without a gland are left out, because their probability is always 1. If a weight is negative, the
        number with the most negative weight is left out and the fit is repeated, because more doubt cannot make a
        mask better.

        Parameters
        ----------
        doubts
            Doubt of each case.
        wrong
            Whether HD95 is above 5 mm, for each case.
        names
            Fields of :class:`Doubt` to use.
        about
            Sentence that describes the cases.
        """
        table = np.array([_logarithms(doubt, names) for doubt in doubts])
        found = np.isfinite(table).all(axis=1)
        table, target = table[found], np.asarray(wrong, float)[found]
        means, deviations = table.mean(axis=0), np.maximum(table.std(axis=0), 1e-6)
        design = np.column_stack([(table - means) / deviations, np.ones(len(table))])
        ridge = np.diag([RIDGE] * len(names) + [1e-6])
        weights = np.zeros(design.shape[1])
        for _ in range(STEPS):
            p = _logistic(design @ weights)
            slope = design.T @ (target - p) - ridge @ weights
            weights = weights + np.linalg.solve(design.T @ (design * (p * (1 - p))[:, None]) + ridge, slope)
        if len(names) and weights[:-1].min() < 0:
            kept = [name for n, name in enumerate(names) if n != weights[:-1].argmin()]
            return cls.fit(doubts, wrong, kept, about)
        return cls(tuple(names), tuple(means), tuple(deviations), tuple(weights), len(table), about)

    def __call__(self, doubt: Doubt) -> float:
        """Return the probability that HD95 is above 5 mm; 1 if no gland was found."""
        values = _logarithms(doubt, self.names)
        if not np.isfinite(values).all():
            return 1.0
        standard = (values - np.array(self.means)) / np.array(self.deviations)
        return float(_logistic(standard @ np.array(self.weights[:-1]) + self.weights[-1]))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the score as JSON. The file is overwritten in place."""
        Path(path).write_text(json.dumps(asdict(self), indent=1, allow_nan=False) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Score:
        """Read a score written by :meth:`save`. Raise InputError if the file is missing or invalid."""
        try:
            content = read_json(path)
            if not isinstance(content, dict) or not _REQUIRED <= set(content) <= {f.name for f in fields(cls)}:
                raise ValueError("it has other entries")
            _check_parts(content)
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else str(error)
            raise InputError(f"{path} holds no score of doubt ({why}); take the bundle's file.") from error
        parts: dict[str, Any] = {name: tuple(p) if isinstance(p, list) else p for name, p in content.items()}
        return cls(**parts)


def _check_parts(content: Mapping[str, Any]) -> None:
    """Raise ValueError if an entry of a score has a wrong type or range, or if their lengths do not agree."""
    lists = [content[name] for name in ("names", "means", "deviations", "weights")]
    texts = [content.get(name, "") for name in ("about", "weights_sha256", "settings_sha256")]
    counts = [content.get(name, 0) for name in ("cases", "passes")]
    if not all(isinstance(part, list) for part in lists) or not all(isinstance(text, str) for text in texts):
        raise ValueError("an entry is of another kind")
    if not all(type(count) is int and count >= 0 for count in counts):
        raise ValueError("a count is no whole number from 0")
    names, means, deviations, weights = lists
    known = {part.name for part in fields(Doubt)}
    if not all(isinstance(name, str) and name in known for name in names):
        raise ValueError("a name is none of a doubt's numbers")
    if not all(type(part) in (int, float) for part in (*means, *deviations, *weights)):
        raise ValueError("an entry is not a number")
    if not len(names) == len(means) == len(deviations) == len(weights) - 1 or not all(d > 0 for d in deviations):
        raise ValueError("its numbers do not belong together")


def _logarithms(doubt: Doubt, names: Sequence[str]) -> Array:
    return np.log(np.array([getattr(doubt, name) for name in names]) + 0.01)


def _logistic(x: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-np.clip(x, -30, 30))))
