"""The viewer on a case's page: three planes with contours, and what belongs to them. ``case.js`` moves it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from ..geometry.volume import Array
from ..writing.view import View
from .things import ThingLayer, target

PREDICTION_COLOUR, REFERENCE_COLOUR = "#ffd600", "#00d5ff"
DOUBTFUL, DOUBTFUL_COLOUR = "Doubtful boundary", "#ff3cbe"
UNCERTAINTY_COLOUR = "#ff7a00"

_PLANES = {  # id, name, name without known directions, letters of the left and upper edge
    "stage": ("Transverse", "Slice", ("R", "A")),
    "sagittal": ("Sagittal", "Cut along the second axis", ("A", "S")),
    "coronal": ("Coronal", "Cut along the first axis", ("R", "S")),
}
_FILTER = (
    '<svg class=hidden aria-hidden=true><filter id=gray-window color-interpolation-filters="sRGB">'
    "<feComponentTransfer><feFuncR type=linear /><feFuncG type=linear /><feFuncB type=linear />"
    "</feComponentTransfer></filter></svg>"
)
_HINT = (
    "After a click on a plane the mouse wheel, arrow keys, Page up and down, Home and End change the slice, plus "
    "and minus zoom, and a drag moves the zoomed picture. On a touch screen, wipe sideways."
)
_PLANES_HINT = (
    " A click, or the arrow keys with Shift, moves the cross-hair, through which the other planes are cut."
)


@dataclass(frozen=True, eq=False)
class Layer:
    """A mask, bool (I, J, K), with its name, its colour, and whether its outline is dashed."""

    name: str
    mask: Array
    colour: str = PREDICTION_COLOUR
    dashed: bool = False


def viewer(
    view: View, layers: Sequence[Layer], things: Sequence[ThingLayer] = (), *, with_probability: bool
) -> str:
    """Return the viewer as HTML. A single slice has one plane."""
    width, height = view.extent_mm
    several = view.gray.shape[2] > 1
    depth = view.gray.shape[2] * view.gap_mm
    sizes = {"stage": (width, height), "sagittal": (height, depth), "coronal": (width, depth)}
    known = bool(view.letters[0])
    planes = [_plane(name, *sizes[name], known=known) for name in _PLANES if several or name == "stage"]
    toggles = [
        _toggle(
            f"layer{number}", f"{layer.name} contour", layer.colour, key=("C", "R")[number] if number < 2 else ""
        )
        for number, layer in enumerate(layers)
    ]
    toggles += [_toggle(target(n), one.title, one.colour, key="") for n, one in enumerate(things)]
    if with_probability:
        toggles.append(_toggle("doubtful", f"{DOUBTFUL}: check it", DOUBTFUL_COLOUR, key="D"))
        toggles.append(_toggle("uncertainty", "Uncertainty", UNCERTAINTY_COLOUR, key="U", on=False))
    if several:
        toggles.append(_toggle("cross", "Cross-hair", "#9ad0ff", key="X"))
    strip = "<div id=strip role=img aria-label='Slices, coloured by the doubtful part of their contour'></div>"
    return (
        f"<section class=viewer aria-label=Slices>{_FILTER}"
        f'<div class="planes{" single" * (not several)}">{"".join(planes)}</div>'
        f"<label class=slider>Slice <input id=slider type=range min=0 max={len(view.numbers) - 1} step=1></label>"
        f"{strip if with_probability and several else ''}"
        f"<p id=where role=status aria-live=polite></p><div class=toggles>{''.join(toggles)}</div>"
        f"{_legend() if with_probability else ''}{_windowing()}"
        f"<p class=hint>{_HINT}{_PLANES_HINT * several} Shown: {width:.0f} x {height:.0f} mm, {view.gap_mm:.2f} mm "
        "from slice to slice.</p></section>"
    )


def _plane(name: str, across_mm: float, down_mm: float, *, known: bool) -> str:
    title, plain, (left, top) = _PLANES[name]
    shown = title if known else plain
    marks = f'<span class="mark left">{left}</span><span class="mark top">{top}</span>' if known else ""
    return (
        f'<figure id={name} class=plane tabindex=0 aria-label="{shown}" '
        f'style="--ratio: {across_mm / down_mm:.4f}"><div class=picture>'
        f'<svg preserveAspectRatio=none class=outlines role=img aria-label="{shown} with contours"></svg>{marks}'
        f"<span class=scale>10 mm</span></div><figcaption>{shown} <span class=state></span></figcaption></figure>"
    )


def _toggle(target: str, text: str, colour: str, *, key: str, on: bool = True) -> str:
    hint, pressed = (f" <kbd>{key}</kbd>", f" data-key={key}") if key else ("", "")
    return (
        f"<label><input type=checkbox data-target={target}{pressed}{' checked' * on}>"
        f'<span class=swatch style="background:{colour}"></span>{escape(text)}{hint}</label>'
    )


def _legend() -> str:
    bars = (
        ("Uncertainty", "0", "1 bit", UNCERTAINTY_COLOUR),
        ("Doubtful part of a slice's contour", "0", "100 %", DOUBTFUL_COLOUR),
    )
    return "".join(
        f'<p class=legend>{text}: {low} <span class=ramp style="--colour:{colour}"></span> {high}</p>'
        for text, low, high, colour in bars
    )


def _windowing() -> str:
    zoom = "".join(
        f'<button type=button data-zoom={factor} aria-label="{name}">{sign}</button>'
        for sign, factor, name in (("+", 1.25, "Zoom in"), ("\u2212", 0.8, "Zoom out"), ("1:1", 0, "Zoom off"))
    )
    return (
        "<div class=windowing><label>Window <input id=window type=range min=16 max=255 value=255></label>"
        "<label>Level <input id=level type=range min=0 max=255 step=0.5 value=127.5></label>"
        "<span>Gray values <output id=gray-values></output></span>"
        f"<button type=button id=reset>Reset</button><span class=zoom>Zoom {zoom}</span></div>"
    )
