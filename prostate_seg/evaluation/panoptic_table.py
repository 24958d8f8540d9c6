"""The table of panoptic quality: regions and instances by their IoU, instances also by their distance.

PQ is that of Kirillov, He, Girshick, Rother and Dollar (CVPR 2019). The counts of a structure are summed over all
cases before the division, and the quality over all is the mean over the structures that have a segment. As in the
authors' code, a structure without a match has an SQ of 0 in this mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from .metrics import Panoptic
from .metrics.things import ThingMatches
from .structures import StructureResults
from .tables import qualities

BY_IOU = "IoU 0.5"


@dataclass(frozen=True)
class PanopticRow:
    """A row of the table.

    Attributes
    ----------
    structure
        Name of the structure, or of the group over which the row is the mean.
    kind
        ``region``: one segment in a case. ``thing``: its instances. ``mean``: a mean over structures.
    match
        What counts as a match: an IoU above 0.5, or a distance in mm.
    matched, missed, invented
        Numbers of true positives, false negatives and false positives; None for a mean.
    panoptic_quality, segmentation_quality, recognition_quality
        PQ, SQ and RQ; None if there is nothing to match. A match by distance has RQ alone.
    median_error_mm, median_angle_deg
        Of matches by distance: distance of the tips of needles, or of the centres of others, and angle.
    """

    structure: str
    kind: Literal["region", "thing", "mean"]
    match: str
    matched: int | None = None
    missed: int | None = None
    invented: int | None = None
    panoptic_quality: float | None = None
    segmentation_quality: float | None = None
    recognition_quality: float | None = None
    median_error_mm: float | None = None
    median_angle_deg: float | None = None


def panoptic_rows(found: StructureResults) -> list[PanopticRow]:
    """Return the rows of regions, of things, and the means over both and over all, if there are several."""
    regions = [_by_iou(name, "region", found.panoptic(name)) for name in found.results]
    things: list[PanopticRow] = []
    for name in dict.fromkeys([*found.things.panoptic, *found.things.matches]):
        if name in found.things.panoptic:
            things.append(_by_iou(name, "thing", found.things.panoptic[name]))
        things += [_by_distance(name, one) for one in found.things.matches.get(name, [])]
    counted = [row for row in things if row.match == BY_IOU]
    groups = {"over regions": regions, "over things": counted} if regions and counted else {}
    means = [_mean(name, rows) for name, rows in {**groups, "over all structures": [*regions, *counted]}.items()]
    return [*regions, *things, *(means if regions or counted else [])]


def over_all(found: StructureResults) -> dict[str, float | None]:
    """Return PQ, SQ and RQ over all structures."""
    last = panoptic_rows(found)[-1:]
    row = last[0] if last and last[0].kind == "mean" else _mean("", [])
    return {name: getattr(row, name) for name in qualities(Panoptic())}


def _by_iou(name: str, kind: Literal["region", "thing"], counts: Panoptic) -> PanopticRow:
    numbers = counts.matched, counts.unmatched_references, counts.unmatched_predictions
    return PanopticRow(name, kind, BY_IOU, *numbers, *qualities(counts).values())


def _by_distance(name: str, one: ThingMatches) -> PanopticRow:
    return PanopticRow(
        name,
        "thing",
        f"{one.limit_mm:g} mm",
        len(one.errors_mm),
        one.missed,
        one.invented,
        recognition_quality=one.recognition_quality,
        median_error_mm=one.median_error_mm,
        median_angle_deg=one.median_angle_deg,
    )


def _mean(name: str, rows: Sequence[PanopticRow]) -> PanopticRow:
    known = [row for row in rows if row.recognition_quality is not None]
    means = [
        sum(getattr(row, part) or 0.0 for row in known) / len(known) if known else None
        for part in qualities(Panoptic())
    ]
    return PanopticRow(name, "mean", BY_IOU, None, None, None, *means)
