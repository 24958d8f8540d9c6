"""Score of doubt of a trained bundle: the probability of a large error, fitted on cases that were not learnt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..assessment.assessor import SCORE
from ..assessment.doubt import FAR_MM, Doubt, Score
from ..evaluation.metrics import evaluate_masks, orthogonal_spacing_mm
from ..inference.predictor import load_bundle
from ..inference.settings import read_settings, settings_digest
from ..reading.cases import read
from ..reading.masks import read_mask
from ..system.atomic import replacing
from ..system.digests import sha256_of_file
from .datalist import READING

FEWEST_OF_EACH = 5  # fewest cases with HD95 above 5 mm, and fewest others, for which a score is fitted
NAMES = ("residual_mm", "cut", "shape_sd")  # numbers that are comparable for one member and for the ensemble's mean


def fitted_score(held: Sequence[tuple[Path, Sequence[Mapping[str, Any]]]]) -> Score | None:
    """Fit a score on segmentations of cases that chose the epochs of their bundles, but were not learnt.

    Cases without a found gland do not count, nor do those without a label.

    Parameters
    ----------
    held
        Folders of bundles, and the cases that were held back from each.

    Returns
    -------
    Score or None
        None if fewer than 5 cases have an HD95 above 5 mm, or fewer than 5 have not.
    """
    doubts: list[Doubt] = []
    wrong: list[bool] = []
    cases = [(bundle, [case for case in part if "label" in case]) for bundle, part in held]
    if sum(len(part) for _, part in cases) < 2 * FEWEST_OF_EACH:
        return None
    for bundle, part in cases:
        predictor = load_bundle(bundle, ensembling="flip")
        for case in part:
            options = {name: case.get(name) for name in READING}
            volume, reference = read(case["image"], **options), read_mask(Path(case["label"]))
            ctv, assessment = predictor.assess(volume, recognise=False)
            if assessment is None:
                return None
            truth = reference.mask()
            hd95 = evaluate_masks(ctv.mask(), truth, orthogonal_spacing_mm(ctv.affine)).hd95_mm
            doubts.append(assessment.doubt)
            wrong.append(hd95 > FAR_MM)
    counted = [far for far, doubt in zip(wrong, doubts, strict=True) if np.isfinite(doubt.residual_mm)]
    if min(sum(counted), len(counted) - sum(counted)) < FEWEST_OF_EACH:
        return None
    count = len(held)
    who = f"{count} members, which chose their epochs; each member by itself" if count > 1 else "its own training"
    return Score.fit(doubts, wrong, NAMES, f"held-out cases of {who}")


def write_score(score: Score, bundle: Path) -> None:
    """Write the score of a bundle; it counts only with the bundle's weights and settings of now."""
    whose = sha256_of_file(bundle / "models" / "model.pt")
    how = settings_digest(read_settings(bundle))
    with replacing(bundle / "models" / SCORE) as temporary:
        replace(score, weights_sha256=whose, settings_sha256=how).save(temporary)
