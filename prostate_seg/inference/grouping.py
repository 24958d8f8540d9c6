"""Things from maps of their cross-sections: needles as lines, seeds and calcifications as spots.

A map gives for each voxel the probability that the axis of a needle, seed or calcification crosses the slice there.
Needles are found first: what lies beside a needle belongs to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..geometry.structures import key
from ..geometry.things import Thing
from ..geometry.volume import spacing_of
from .lines import Line, from_entry, lines_in
from .spots import Blob, Spot, blobs_in, spots_in

Array = np.ndarray[Any, Any]

SEED_LENGTH_MM = 4.5  # of the usual seeds for brachytherapy (AAPM TG-43)
KINDS: dict[str, Line | Spot | Blob] = {  # by the key of the structure
    "needle": Line(radius_mm=0.65, peak=0.45, score=0.6, shortest_mm=10.0),
    "seed": Spot(radius_mm=0.4, fit=0.5, score=0.4, length_mm=SEED_LENGTH_MM),
    "calcification": Blob(radius_mm=1.0, score=0.5, edge=0.3),
}


def things_in(probability: Array, affine: Array, names: Sequence[str]) -> list[Thing]:
    """Return the needles, seeds and calcifications that maps show, the most certain of each first.

    Parameters
    ----------
    probability
        Map of each structure, (S, I, J, K), 0 to 1.
    affine
        Affine of the grid in RAS mm.
    names
        Names of the S structures.

    Returns
    -------
    list of Thing
        Needles run from their entry to their tip. The entry is at the end of the image that the needles come nearer
        to; if both are as near, at the inferior end. A seed is oriented if its cross-sections alone span most of
        its length, a calcification never.
    """
    probability = np.nan_to_num(np.asarray(probability, np.float32))
    spacing = np.array(spacing_of(affine))
    fields = {key(name): (name, field) for name, field in zip(names, probability, strict=True)}
    lines: list[Array] = []  # ends (2, 3) of each needle
    found: list[Thing] = []
    for kind, how in KINDS.items():
        if kind not in fields:
            continue
        name, field = fields[kind]
        if isinstance(how, Line):
            pieces = lines_in(field, probability.max(axis=0), spacing, how)
            pieces = from_entry(pieces, (field.shape[2] - 1) * spacing[2], low_first=bool(affine[2, 2] >= 0))
            lines += [one.ends for one in pieces]
        elif isinstance(how, Spot):
            pieces = spots_in(field, spacing, how, lines)
        else:
            pieces = blobs_in(field, spacing, how, lines)
        for one in pieces:
            (x, y, z), (u, v, w) = (one.ends / spacing @ affine[:3, :3].T + affine[:3, 3]).tolist()
            found.append(Thing(name, (x, y, z), (u, v, w), how.radius_mm, round(one.score, 3), one.oriented))
    return found
