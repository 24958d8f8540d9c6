"""The HTML page of one case: slices with contours, surface, results and provenance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import numpy as np

from ..geometry.volume import Array, Segmentation, Volume
from ..writing.surface import surface_of
from ..writing.view import View, view_of
from . import plots
from .page import facts, listed, section, write_page
from .slices import doubtful, paths, pictures, uncertainty

PREDICTION_COLOUR, REFERENCE_COLOUR = "#ffd600", "#00d5ff"
DOUBTFUL, DOUBTFUL_COLOUR = "Doubtful boundary", "#ff3cbe"
_SOLID = {PREDICTION_COLOUR: "#d9a400", REFERENCE_COLOUR: "#0aa3c2"}  # colours of surfaces, on a white background


@dataclass(frozen=True, eq=False)
class Layer:
    """A mask, bool (I, J, K), with its name, its colour, and whether its outline is dashed."""

    name: str
    mask: Array
    colour: str = PREDICTION_COLOUR
    dashed: bool = False


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
    if report.probability is not None:
        stretches = doubtful(view, report.layers[0].mask, report.probability)
        lines = [shown | ({DOUBTFUL: path} if path else {}) for shown, path in zip(lines, stretches, strict=True)]
    known = report.volume.orientation != "assumed"
    data = {
        "slices": pictures(view),
        "paths": lines,
        "uncertainty": None if report.probability is None else uncertainty(view, report.probability),
        "numbers": view.numbers,
        "first": _middle(view.of(report.layers[0].mask)),
        "surface": plots.surfaces(meshes, directions_known=known) if meshes else None,
    }
    back = [f'<p><a href="{escape(place)}">{escape(text)}</a></p>' for text, place in report.back]
    surface = "<p>There is none: the mask is empty or one slice.</p>"
    if meshes:
        surface = '<div id=surface role=img aria-label="Surface in 3D, turned by dragging"></div>'
    body = [
        *back,
        "<div class=columns>",
        f"<div>{_viewer(view, report)}{section('Surface', surface)}</div><div>",
        section("Result", facts(report.results)),
        section("Warnings", listed(report.warnings)) if report.warnings else "",
        "</div></div>",
        section("How it came about", facts(report.provenance)),
    ]
    write_page(Path(path), report.title, body, data=data, scripts=["plotly", "case.js"] if meshes else ["case.js"])


def _viewer(view: View, report: CaseReport) -> str:
    width, height = view.extent_mm
    left, top = view.letters
    lines = "".join(
        f'<path class="layer layer{number}{" dashed" * layer.dashed}" data-name="{escape(layer.name)}" '
        f'stroke="{layer.colour}"/>'
        for number, layer in reversed(list(enumerate(report.layers)))
    )
    toggles = [
        _toggle(f"layer{number}", f"{layer.name} contour", layer.colour, key="C" if number == 0 else "R")
        for number, layer in enumerate(report.layers[:2])
    ]
    if report.probability is not None:
        toggles.append(_toggle("uncertainty", "Uncertainty", "#ff3cbe", key="U", on=False))
        toggles.append(_toggle("doubtful", f"{DOUBTFUL}: check it", DOUBTFUL_COLOUR, key="D"))
        lines += f'<path class="layer doubtful" data-name="{DOUBTFUL}" stroke="{DOUBTFUL_COLOUR}"/>'
    marks = f'<span class="mark left">{left}</span><span class="mark top">{top}</span>' if left else ""
    keys = "Mouse wheel, arrow keys, Page up and down, Home and End change the slice."
    return (
        '<section class=viewer aria-label="Slices"><div id=stage tabindex=0 role=group '
        f'aria-label="Slice with contours" style="aspect-ratio: {width:.3f} / {height:.3f}">'
        '<img id=slice alt="Ultrasound slice"><img id=uncertainty alt="" hidden>'
        f'<svg viewBox="0 0 {width:.3f} {height:.3f}" preserveAspectRatio=none class=outlines aria-hidden=true>'
        f"{lines}</svg>{marks}</div>"
        f"<label class=slider>Slice <input id=slider type=range min=0 max={len(view.numbers) - 1} step=1></label>"
        f"<p id=where role=status aria-live=polite></p><div class=toggles>{''.join(toggles)}</div>"
        f"<p class=hint>{keys} Shown {width:.0f} x {height:.0f} mm, {view.gap_mm:.2f} mm from slice to slice.</p>"
        "</section>"
    )


def _toggle(target: str, text: str, colour: str, *, key: str, on: bool = True) -> str:
    return (
        f"<label><input type=checkbox data-target={target} data-key={key} {'checked' if on else ''}>"
        f'<span class=swatch style="background:{colour}"></span>{escape(text)} <kbd>{key}</kbd></label>'
    )


def _segmentation(volume: Volume, mask: Array) -> Segmentation:
    return Segmentation(mask.astype(np.uint8), volume.affine)


def _middle(mask: Array) -> int:
    """Return the slice (third axis) on which the mask is largest; the middle slice if the mask is empty."""
    areas = mask.sum(axis=(0, 1))
    return int(areas.argmax()) if areas.any() else mask.shape[2] // 2
