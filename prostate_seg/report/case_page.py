"""The HTML page of one case: warnings, slices with contours, results, surface and provenance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from ..geometry.volume import Array, Segmentation, Volume
from ..writing.surface import Surface, surface_of
from ..writing.view import View, view_of
from . import plots
from .page import facts, listed, section, write_page
from .slices import doubtful, paths, pictures, uncertainty
from .things import ThingLayer, lines_lps_mm, marks, target
from .viewer import DOUBTFUL, DOUBTFUL_COLOUR, PREDICTION_COLOUR, REFERENCE_COLOUR, Layer, viewer

_ON_WHITE = {"#ffffff": "#555555", "#00ccff": "#0a7fa0"}  # colours of things, on a white background
_SOLID = {PREDICTION_COLOUR: "#d9a400", REFERENCE_COLOUR: "#0aa3c2"}  # colours of surfaces, on a white background


@dataclass(frozen=True, eq=False)
class CaseReport:
    """Content of a case's page.

    Attributes
    ----------
    title
        Title of the page.
    volume
        Image beneath the contours.
    layers
        Masks, at least one. The first is drawn in front.
    probability
        Probability of the first layer on the volume's grid, or None.
    results
        Names and values.
    warnings
        Sentences.
    provenance
        Names and values.
    things
        Needles, seeds and calcifications by structure.
    back
        Links to other pages as (text, target).
    """

    title: str
    volume: Volume
    layers: Sequence[Layer]
    probability: Array | None = None
    results: Sequence[tuple[str, str]] = ()
    warnings: Sequence[str] = ()
    provenance: Sequence[tuple[str, str]] = ()
    things: Sequence[ThingLayer] = ()
    back: Sequence[tuple[str, str]] = ()


def write_case_page(path: str | Path, report: CaseReport) -> None:
    """Write the page of a case. Raise OutputError if it cannot be written.

    It shows slices, contours, uncertainty and surface without a network connection.
    """
    view = view_of(report.volume, [layer.mask for layer in report.layers])
    meshes = [
        (layer.name, _SOLID.get(layer.colour, layer.colour), surface_of(_segmentation(report.volume, layer.mask)))
        for layer in report.layers
        if layer.mask.any() and min(layer.mask.shape) > 1
    ]
    lines = paths(view, {layer.name: layer.mask for layer in report.layers})
    shares: list[int | None] = []
    if report.probability is not None:
        stretches = doubtful(view, report.layers[0].mask, report.probability)
        lines = [
            shown | ({DOUBTFUL: path} if path else {}) for shown, (path, _) in zip(lines, stretches, strict=True)
        ]
        shares = [share for _, share in stretches]
    first = view.of(report.layers[0].mask)
    known = report.volume.orientation != "assumed"
    data = {
        "slices": pictures(view),
        "paths": lines,
        "layers": _layers(report),
        "things": [{"target": target(n), "colour": one.colour} for n, one in enumerate(report.things)],
        "marks": marks(view, report.volume, report.things),
        "open": DOUBTFUL,
        "geometry": {
            "extent": view.extent_mm,
            "gap": view.gap_mm,
            "pixels": view.gray.shape[:2],
            "centre": _centre(view, first),
        },
        "uncertainty": None if report.probability is None else uncertainty(view, report.probability),
        "doubtful": shares,
        "numbers": view.numbers,
        "first": _middle(first),
        "surface": _surface(meshes, report.things, known=known) if meshes else None,
    }
    back = [f'<p><a href="{escape(place)}">{escape(text)}</a></p>' for text, place in report.back]
    surface = "<p>There is none: the mask is empty or one slice.</p>"
    if meshes:
        surface = '<div id=surface role=img aria-label="Surface in 3D, turned by dragging"></div>'
    body = [
        *back,
        listed(report.warnings) if report.warnings else "",
        viewer(view, report.layers, report.things, with_probability=report.probability is not None),
        "<div class=columns>",
        f"<div>{section('Result', facts(report.results))}</div><div>{section('Surface', surface)}</div></div>",
        section("How it came about", facts(report.provenance)),
    ]
    write_page(Path(path), report.title, body, data=data, scripts=["plotly", "case.js"] if meshes else ["case.js"])


def _layers(report: CaseReport) -> list[dict[str, Any]]:
    """Return what is drawn on each plane, in front first: the doubtful stretches, then the masks."""
    masks = [
        {"name": layer.name, "target": f"layer{number}", "colour": layer.colour, "dashed": layer.dashed}
        for number, layer in enumerate(report.layers)
    ]
    if report.probability is None:
        return masks
    return [{"name": DOUBTFUL, "target": "doubtful", "colour": DOUBTFUL_COLOUR, "dashed": False}, *masks]


def _surface(meshes: Sequence[tuple[str, str, Surface]], things: Sequence[ThingLayer], *, known: bool) -> Any:
    lines = [(one.title, _ON_WHITE.get(one.colour, one.colour), lines_lps_mm(one)) for one in things if one.things]
    return plots.surfaces(meshes, lines, directions_known=known)


def _segmentation(volume: Volume, mask: Array) -> Segmentation:
    return Segmentation(mask.astype(np.uint8), volume.affine)


def _middle(mask: Array) -> int:
    """Return the slice (third axis) on which the mask is largest; the middle slice if the mask is empty."""
    areas = mask.sum(axis=(0, 1))
    return int(areas.argmax()) if areas.any() else mask.shape[2] // 2


def _centre(view: View, mask: Array) -> tuple[float, float]:
    """Return the centre of a mask in the plane in mm, where the cross-hair begins; that of the plane if empty."""
    hits = np.argwhere(mask.any(axis=2))
    if not hits.size:
        return view.extent_mm[0] / 2, view.extent_mm[1] / 2
    across, down = (hits.min(axis=0) + hits.max(axis=0) + 1) / 2 * view.pixel_mm
    return round(float(across), 2), round(float(down), 2)
