"""How far a segmentation can be trusted: numbers for the manifest, warnings for the user."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..geometry.volume import Array, Segmentation
from .doubt import FAR_MM, Doubt, Score, doubt_of, slice_blur_mm
from .facts import Chance, Uncertainty
from .recognition import OTHER, PROSTATE, UPSIDE_DOWN, Recognition
from .shape_model import ShapeModel, moved_mm

CUT_SHARE = 0.05  # above this share of directions in which the image cuts the gland, we warn
SMALLEST, LARGEST = 0.6, 1.4  # times the shape model's smallest and largest volume; outside this range we warn
ODD_MM = 4.0  # above this mean distance from the nearest plausible shape, we warn
MOVED_MM = 3.0  # from this largest move by the shape model on, we warn
DOUBTFUL = 0.5  # from this probability of HD95 > 5 mm on, we warn
RECOGNISED = 0.9  # below this probability of an upright prostate, we warn
IN_3D = ("residual_mm", "cut", "shape_sd")  # numbers of a doubt that are undefined for a single slice
SCORE, RECOGNITION = "score.json", "recognition.npz"


@dataclass(frozen=True)
class Kinds:
    """Probability of each kind of scan, and SHA-256 of the weights that it was computed with."""

    chances: Mapping[str, float]
    weights_sha256: str


@dataclass(frozen=True, eq=False)
class Assessor:
    """Assessor of predictions.

    Attributes
    ----------
    model
        Shape model in use.
    score
        Score of doubt, or None.
    recognition
        Recognition of the kind of scan, or None.
    unscored
        Reason why there is no score.
    changed
        Whether the bundle's settings differ from those that its score was fitted with.
    """

    model: ShapeModel
    score: Score | None = None
    recognition: Recognition | None = None
    unscored: str = "not known for these weights"
    changed: bool = False

    @classmethod
    def of(
        cls, models: Path, *, weights_sha256: str, settings_sha256: str, shape_model: Path, as_fitted: bool = True
    ) -> Assessor:
        """Read score and recognition from a bundle. Use them only if they were fitted for the same weights.

        Parameters
        ----------
        models
            The bundle's folder ``models``.
        weights_sha256
            SHA-256 of the weights in use.
        settings_sha256
            Digest of the bundle's own settings. The score is used only with the settings that it was fitted with.
        shape_model
            File of the shape model in use.
        as_fitted
            Whether masks are refined in the same way as when the score was fitted. Otherwise the score is not used.
        """
        score = Score.load(models / SCORE) if (models / SCORE).is_file() else None
        recognition = Recognition.load(models / RECOGNITION) if (models / RECOGNITION).is_file() else None
        known = recognition if recognition and recognition.weights_sha256 == weights_sha256 else None
        model = ShapeModel.load(shape_model)
        of_weights = score if score and score.weights_sha256 == weights_sha256 else None
        if of_weights and of_weights.settings_sha256 not in ("", settings_sha256):
            return cls(model, None, known, "the score is fitted with other settings of the bundle", changed=True)
        if not as_fitted:
            return cls(model, None, known, "the score is fitted with the bundle's own refinement")
        if of_weights and not of_weights.settings_sha256:
            return cls(model, None, known, "the score does not say which settings it was fitted with")
        return cls(model, of_weights, known)

    def assess(
        self,
        field: Array,
        passes: Array,
        spacing_mm: Sequence[float],
        *,
        unrepaired: Array,
        kinds: Kinds | None,
        seen: Array,
    ) -> Assessment:
        """Assess a prediction on the model's grid.

        Parameters
        ----------
        field
            Foreground probability (I, J, K).
        passes
            Foreground probability of each pass (N, I, J, K).
        spacing_mm
            Voxel spacing.
        unrepaired
            Foreground probability before the shape model. It is equal to ``field`` if nothing was moved.
        kinds
            Probability of each kind of scan; None if unknown or if there is only one slice.
        seen
            Bool (I, J, K), true at voxels that show ultrasound.
        """
        doubt = doubt_of(field, passes, spacing_mm=spacing_mm, model=self.model, seen=seen)
        wrong, reason = None, "one slice" if int(seen.any((0, 1)).sum()) == 1 else ""
        if self.score is None:
            reason = reason or self.unscored
        elif self.score.passes not in (0, len(passes)):
            reason = reason or f"the score is fitted for {self.score.passes} passes, here are {len(passes)}"
        if self.score and not reason:
            wrong = self.score(doubt)
        moved = moved_mm(unrepaired, field, spacing_mm)
        return Assessment(doubt, len(passes), wrong, reason, kinds, tuple(self.model.volumes_ml[[0, -1]]), moved)


@dataclass(frozen=True)
class Assessment:
    """Assessment of one segmentation.

    Attributes
    ----------
    doubt
        Numbers that measure its uncertainty.
    passes
        Number of passes.
    wrong
        Probability that HD95 is above 5 mm, or None.
    reason
        Reason why ``wrong`` is None; otherwise empty.
    kinds
        Probability of each kind of scan, or None.
    volumes_ml
        Smallest and largest volume in the shape model.
    repaired_mm
        Distance by which the shape model moved the boundary: mean and largest of all directions.
    unknown
        Reason why spread, disagreement and repair are unknown (not finite); otherwise empty.
    """

    doubt: Doubt
    passes: int
    wrong: float | None
    reason: str
    kinds: Kinds | None
    volumes_ml: tuple[float, float]
    repaired_mm: tuple[float, float] = (0.0, 0.0)
    unknown: str = ""

    def without_passes(self, reason: str) -> Assessment:
        """Return the assessment of a mask that the passes did not draw, with the reason."""
        doubt = replace(self.doubt, spread_mm=np.nan, disagreement=np.nan)
        return replace(self, doubt=doubt, repaired_mm=(np.nan, np.nan), unknown=reason)

    def facts(self, ctv: Segmentation) -> Uncertainty:
        """Return the entries for the manifest; unknown numbers are None."""
        doubt = self.doubt
        single = ctv.labels.shape[2] == 1
        numbers = {
            name: None if single and name in IN_3D else _rounded(value) for name, value in vars(doubt).items()
        }
        blur = [] if ctv.probability is None else slice_blur_mm(ctv.probability, ctv.spacing_mm)
        wrong: Chance = {"value": _rounded(self.wrong)}
        if self.reason:
            wrong["reason"] = self.reason
        mean, largest = map(_rounded, self.repaired_mm)
        facts: Uncertainty = {
            "mean_boundary_entropy_nats": boundary_entropy_nats(ctv),
            "probability_hd95_above_5_mm": wrong,
            "passes": self.passes,
            "spread_mm": numbers["spread_mm"],
            "disagreement": numbers["disagreement"],
            "residual_mm": numbers["residual_mm"],
            "blur_mm": numbers["blur_mm"],
            "cut": numbers["cut"],
            "shape_sd": numbers["shape_sd"],
            "repaired_mm": {"mean": mean, "largest": largest},
            "slices_blur_mm": [_rounded(width, 2) for width in blur],
            "looks_like": {kind: _rounded(p) for kind, p in self.kinds.chances.items()} if self.kinds else None,
            "looks_like_weights_sha256": self.kinds.weights_sha256 if self.kinds else None,
        }
        return {**facts, "reason": self.unknown} if self.unknown else facts

    def warnings(self, ctv: Segmentation) -> list[str]:
        """Return warnings that the user should read before using the mask."""
        told = []
        chances = self.kinds.chances if self.kinds else {PROSTATE: 1.0}
        if chances[PROSTATE] < RECOGNISED:
            if chances[UPSIDE_DOWN] > chances[OTHER]:
                told.append("The scan looks upside down: give --probe-side, or correct the file's orientation.")
            else:
                told.append("The image does not look like a transrectal scan of a prostate; check the mask.")
        if not ctv.labels.any():
            return told
        if self.wrong is not None and self.wrong >= DOUBTFUL:
            likely = f"{100 * self.wrong:.0f} %"
            told.append(f"Doubtful: HD95 is above {FAR_MM:g} mm with a probability of {likely}; check the contour.")
        mean_mm, largest_mm = self.repaired_mm
        if largest_mm >= MOVED_MM:
            told.append(
                f"The shape model moved the contour by up to {largest_mm:.1f} mm ({mean_mm:.1f} mm on average), "
                "where the network was unsure; --no-refine leaves it as it was."
            )
        return told + (self._shape_warnings(ctv) if ctv.labels.shape[2] > 1 else [])

    def _shape_warnings(self, ctv: Segmentation) -> list[str]:
        told = []
        low, high = SMALLEST * self.volumes_ml[0], LARGEST * self.volumes_ml[1]
        if not low <= ctv.volume_ml <= high:
            told.append(
                f"The volume of {ctv.volume_ml:.0f} mL is not within the expected {low:.0f} to {high:.0f} mL."
            )
        if np.isfinite(self.doubt.residual_mm) and self.doubt.residual_mm > ODD_MM:
            told.append(f"The shape is unusual: {self.doubt.residual_mm:.1f} mm from the nearest plausible one.")
        if self.doubt.cut > CUT_SHARE:
            told.append(f"The image ends the gland in {100 * self.doubt.cut:.0f} % of the directions.")
        return told


def boundary_entropy_nats(ctv: Segmentation) -> float | None:
    """Return the mean entropy in nats of voxels with a probability between 1 % and 99 %; None if there are none."""
    if ctv.probability is None:
        return None
    p = ctv.probability[(ctv.probability > 0.01) & (ctv.probability < 0.99)].astype(np.float64)
    return round(float(-(p * np.log(p) + (1 - p) * np.log1p(-p)).mean()), 4) if p.size else None


def _rounded(value: float | None, digits: int = 4) -> float | None:
    return round(float(value), digits) if value is not None and np.isfinite(value) else None
