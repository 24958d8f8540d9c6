"""Where the far errors lie: the ends of the gland, before and after the repair.

    python -m benchmarks.robust.ends --data FOLDER -o RUNS [--network "segmenter, from phantoms"]

RUNS holds the folds of benchmarks.accuracy. Every case is segmented by the network that never saw its patient, with
the shape model of the other folds. Apex and base are cones of 45 degrees around the two ends; each has 15 % of all
directions. The distance of a mask beyond its reference is measured from the centroid of the mask, along the axis
from base to apex.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
from scipy import ndimage

from benchmarks.accuracy.data import Preparation, cases_of
from benchmarks.accuracy.networks import CONTENDERS
from prostate_seg.assessment.rays import Rays, cast_rays, last_crossings_mm, rays_of, sphere
from prostate_seg.assessment.shape_model import SMOOTHING, blur_mm
from prostate_seg.evaluation.metrics import Metrics

from .__main__ import Seen, seen_cases

FAR_MM, FARTHER_MM = 5.0, 10.0
CONE = 0.7
LARGEST = 6  # number of largest errors to print


@dataclass(frozen=True, eq=False)
class Ends:
    """Rays of a case and its metrics.

    Attributes
    ----------
    rays
        Rays of the mask.
    reference_mm
        Radii of the reference along the rays in mm; 0 if a ray does not cross the reference.
    metrics
        Metrics of the case.
    """

    rays: Rays
    reference_mm: np.ndarray
    metrics: Metrics

    def beyond_mm(self, axis: np.ndarray) -> float:
        """Return how far the mask extends beyond the reference along an axis.

        ``axis`` (642,) holds the cosines of the angles between the directions and the axis.
        """
        return float((self.rays.radii_mm * axis).max() - (self.reference_mm * axis).max())

    def far(self) -> np.ndarray:
        """Return the directions (642,) in which mask and reference are more than 5 mm apart."""
        return np.asarray((np.abs(self.rays.radii_mm - self.reference_mm) > FAR_MM) & (self.reference_mm > 0))


def ends_of(seen: Seen, preparation: Preparation, *, refined: bool) -> Ends:
    """Cast the rays of one network's mask of a case, repaired if ``refined``."""
    first = seen.members[0]
    field = first.passes.mean(axis=0)
    if refined:
        field = seen.model.refine(field, first.spacing_mm, first.seen)
    rays = cast_rays(field, first.spacing_mm, seen=first.seen)
    assert rays is not None
    label = preparation.load(seen.case)["label"]
    padded = preparation.pad({"image": label})["image"][0].numpy() > 0.5
    soft = ndimage.gaussian_filter(padded.astype(np.float32), SMOOTHING)
    reference = last_crossings_mm(rays_of(soft, first.spacing_mm, rays.centre_mm))
    return Ends(rays, reference, seen.score(seen.members[:1], refined=refined)[0])


def lines_of(ends: list[Ends], name: str) -> list[str]:
    """Summarise the ends of all cases in lines of text."""
    superior = sphere()[:, 2]
    hd95 = np.array([one.metrics.hd95_mm for one in ends])
    apex, base = (np.array([one.beyond_mm(axis) for one in ends]) for axis in (-superior, superior))
    width = [blur_mm(one.rays)[superior < -CONE].mean() for one in ends]
    far = np.sum([one.far() for one, mm in zip(ends, hd95, strict=True) if mm > FAR_MM], axis=0)
    shares = [far[cone].sum() / far.sum() for cone in (superior < -CONE, superior > CONE)]
    wrong, farther = hd95 > FAR_MM, hd95 > FARTHER_MM
    correlation = np.corrcoef(width, np.abs(apex))[0, 1]
    return [
        f"{name}: beyond the apex {apex.mean():+.1f} mm (standard deviation {apex.std():.1f}), "
        f"beyond the base {base.mean():+.1f} ({base.std():.1f}).",
        f"Of the directions wrong by more than 5 mm in {wrong.sum()} wrong cases {100 * shares[0]:.0f} % lie at "
        f"the apex, {100 * shares[1]:.0f} % at the base.",
        f"Width of the edge at the apex against the error there: correlation {correlation:.2f}.",
        f"HD95 over 10 mm: {farther.sum()} cases; beyond the apex "
        f"{', '.join(f'{mm:+.0f}' for mm in sorted(apex[farther], reverse=True))} mm.",
    ]


def patient_lines(metrics: Sequence[Metrics], patients: Sequence[str]) -> list[str]:
    """Return lines on the patients with the largest errors, and on the correlation of scans of the same patient."""
    hd, hd95 = (np.array([getattr(one, name) for one in metrics]) for name in ("hd_mm", "hd95_mm"))
    largest = np.argsort(-hd)[:LARGEST]
    told = (
        f"The largest HD: {', '.join(f'{mm:.1f}' for mm in hd[largest])} mm, of "
        f"{len({patients[n] for n in largest})} patients."
    )
    pairs = [pair for pair in combinations(range(len(patients)), 2) if patients[pair[0]] == patients[pair[1]]]
    if not pairs:
        return [told]
    both = np.array([(hd95[first], hd95[second]) for first, second in pairs])
    symmetric = np.concatenate([both, both[:, ::-1]])
    return [
        told,
        f"Two scans of one patient ({len(pairs)} pairs, {len({patients[first] for first, _ in pairs})} patients): "
        f"correlation of their HD95 {np.corrcoef(symmetric.T)[0, 1]:.2f}.",
    ]


def main() -> None:
    """Print the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--network", choices=CONTENDERS, default="segmenter, from phantoms")
    options = parser.parse_args()
    cases = cases_of(options.data)
    seen = seen_cases(options.output, options.network, cases)
    preparation = Preparation(CONTENDERS[options.network].window)
    for name, refined in (("One model", False), ("With the shape model", True)):
        ends = [ends_of(one, preparation, refined=refined) for one in seen]
        lines = patient_lines([one.metrics for one in ends], [case.patient for case in cases])
        print("\n".join([*lines_of(ends, name), *lines]))


if __name__ == "__main__":
    main()
