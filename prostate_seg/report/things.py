"""Needles, seeds and calcifications on a case's page: where they cross each slice, and as lines in 3D."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from nibabel.orientations import inv_ornt_aff

from ..geometry.structures import key
from ..geometry.things import Thing
from ..geometry.volume import Array, Volume, swap_ras_lps
from ..writing.view import View

NUMBERED = ("needle",)  # keys of structures whose numbers are shown on the slices


@dataclass(frozen=True)
class ThingLayer:
    """The things of one structure, with its name on the page and its colour. They are numbered from 1."""

    name: str
    colour: str
    things: tuple[Thing, ...]

    @property
    def title(self) -> str:
        """Name and number of things."""
        return f"{self.name}: {len(self.things)}"


def target(number: int) -> str:
    """Return the name of a layer of things in the page's script."""
    return f"things{number}"


def marks(view: View, volume: Volume, layers: Sequence[ThingLayer]) -> list[list[dict[str, Any]]]:
    """Return, for each slice, where things cross it: x and y in mm from the corner of the slice, layer, number.

    Needles have a number, other things none. A thing that lies between two slices is shown on the nearer one.
    """
    found: list[list[dict[str, Any]]] = [[] for _ in view.numbers]
    for number, layer in enumerate(layers):
        for count, thing in enumerate(layer.things, 1):
            text = str(count) if key(thing.structure) in NUMBERED else ""
            for slice_number, x, y in _crossings(view, volume, thing):
                mark = {"x": round(x, 2), "y": round(y, 2), "target": target(number), "text": text}
                found[slice_number].append(mark)
    return found


def _crossings(view: View, volume: Volume, thing: Thing) -> list[tuple[int, float, float]]:
    start, end = _displayed(view, volume, np.array([thing.start_mm, thing.end_mm]))
    low, high = sorted((float(start[2]), float(end[2])))
    slices = list(range(int(np.ceil(low)), int(np.floor(high)) + 1)) or [round((low + high) / 2)]
    found = []
    for index in slices:
        if not 0 <= index < len(view.numbers):
            continue
        share = 0.5 if start[2] == end[2] else float(np.clip((index - start[2]) / (end[2] - start[2]), 0, 1))
        x, y = (start + share * (end - start))[:2] + 0.5
        found.append((index, float(x) * view.pixel_mm[0], float(y) * view.pixel_mm[1]))
    return found


def _displayed(view: View, volume: Volume, points_mm: Array) -> Array:
    """Return points (N, 3) in RAS mm as indices of the displayed slices."""
    index = np.linalg.inv(volume.affine)
    if view.turn is not None:
        index = np.linalg.inv(inv_ornt_aff(view.turn, volume.array.shape)) @ index
    at = points_mm @ index[:3, :3].T + index[:3, 3]
    return np.asarray(at - [view.box[0].start or 0, view.box[1].start or 0, 0])


def lines_lps_mm(layer: ThingLayer) -> list[tuple[str, Array]]:
    """Return the name of each thing of a layer, and its ends (2, 3) in LPS mm."""
    flip = swap_ras_lps(np.eye(4))[:3, :3]
    return [
        (f"{layer.name} {count}", np.array([one.start_mm, one.end_mm]) @ flip)
        for count, one in enumerate(layer.things, 1)
    ]
