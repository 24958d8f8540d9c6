"""How sure a segmentation is: maps, slices, and the probability that a case is wrong.

A pass is what one member of an ensemble, or one network, says of the image at one scale and flip. Entropies are in
bits. Entropy of the mean tells all doubt; mutual information the part of it that is the passes' disagreement
(Houlsby et al. 2011). The score of a case is a logistic regression of a few numbers, fitted on cases that no member
was trained on; it is a probability where it is used on cases like those.
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
_REQUIRED = {"names", "means", "deviations", "weights", "cases", "about"}  # entries of a score's file


@dataclass(frozen=True)
class Doubt:
    """What speaks against a segmentation; each grows with doubt.

    spread_mm: standard deviation over the passes of the boundary's distance from the centre, mean of directions;
    0 for one pass. disagreement: 1 minus the mean Dice of all pairs of passes. residual_mm: mean distance from the
    fitted shape. blur_mm: mean width of the edge. cut: share of directions in which the image's border ends the
    gland. shape_sd: how odd the fitted shape is: root mean square of its modes, in standard deviations. Where no
    gland was found all are infinite but ``cut``.
    """

    spread_mm: float
    disagreement: float
    residual_mm: float
    blur_mm: float
    cut: float
    shape_sd: float


def entropy_bits(probability: Array) -> Array:
    """Entropy of foreground probabilities, 0 to 1 bit, float32 of the same shape."""
    p = np.clip(probability.astype(np.float32), 1e-7, 1 - 1e-7)
    return np.asarray(-(p * np.log2(p) + (1 - p) * np.log2(1 - p)), np.float32)


def mutual_information_bits(passes: Array) -> Array:
    """Entropy of the mean minus mean entropy of passes (N, ...): 0 where they agree, at most 1 bit."""
    mean = entropy_bits(passes.astype(np.float32).mean(axis=0))
    within = np.mean([entropy_bits(one) for one in passes], axis=0)
    return np.maximum(mean - within, 0)


def disagreement(passes: Array) -> float:
    """1 minus the mean Dice of all pairs of passes (N, ...) cut at one half; 0 for one pass; empty ones agree."""
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
    """The doubt in a segmentation: a probability (I, J, K), the mean of passes (N, I, J, K) or that mean repaired.

    seen: bool (I, J, K), where the image shows anything.
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
    """Spread of the boundary over passes; of each pass only its largest part counts, as of the mean."""
    alone = (np.where(main_part(one)[1], 0, one) for one in passes)
    radii = [last_crossings_mm(rays_of(one, spacing_mm, rays.centre_mm)) for one in alone]
    return float(np.std(radii, axis=0).mean())


def slice_blur_mm(probability: Array, spacing_mm: Sequence[float]) -> list[float | None]:
    """Width of the edge in each slice of (I, J, K) in mm; None where the slice has no boundary.

    The slice's entropy (bits times mm^2) over its boundary's length; a ramp from 1 to 0 over L mm has 0.72 L.
    """
    i_mm, j_mm = spacing_mm[0], spacing_mm[1]
    mask = probability >= 0.5
    across, along = (np.diff(mask, axis=axis).sum((0, 1)) for axis in (0, 1))  # the boundary's two projections
    length = np.hypot(across * j_mm, along * i_mm) * np.pi / (2 * np.sqrt(2))  # exact for a circle
    area = entropy_bits(probability).sum((0, 1), dtype=float) * i_mm * j_mm
    return [None if mm == 0 else float(bits / mm) for bits, mm in zip(area, length, strict=True)]


@dataclass(frozen=True)
class Score:
    """The probability that HD95 is above 5 mm: logistic in the logarithms of a doubt's numbers.

    names: fields of :class:`Doubt`. means, deviations: of their logarithms among the fitted cases. weights: of the
    standardised ones, then the constant. cases: how many it was fitted on. about: which ones, a sentence.
    weights_sha256: the file of weights that it belongs to, empty where that is not told. passes: how many it was
    fitted with, since ``spread_mm`` grows with their number; 0 if that does not matter. settings_sha256: of the
    bundle's settings that it was fitted with (``bundle_settings.settings_digest``).
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
        """Fit by Newton's method, a ridge of 1 on the weights. wrong: of each case, whether HD95 was above 5 mm.

        Cases without a gland are left out: their chance is 1 anyway. Names whose weight would be negative are left
        out one by one, since nothing of a doubt makes a mask better.
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
        """The probability, 1 where no gland was found."""
        values = _logarithms(doubt, self.names)
        if not np.isfinite(values).all():
            return 1.0
        standard = (values - np.array(self.means)) / np.array(self.deviations)
        return float(_logistic(standard @ np.array(self.weights[:-1]) + self.weights[-1]))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write it as JSON, in place."""
        Path(path).write_text(json.dumps(asdict(self), indent=1, allow_nan=False) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Score:
        """Read what :meth:`save` wrote. Raises InputError."""
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
    """Raise ValueError unless the entries of a score are of their kinds and belong together."""
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
        raise ValueError("a number is none")
    if not len(names) == len(means) == len(deviations) == len(weights) - 1 or not all(d > 0 for d in deviations):
        raise ValueError("its numbers do not belong together")


def _logarithms(doubt: Doubt, names: Sequence[str]) -> Array:
    return np.log(np.array([getattr(doubt, name) for name in names]) + 0.01)


def _logistic(x: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-np.clip(x, -30, 30))))
