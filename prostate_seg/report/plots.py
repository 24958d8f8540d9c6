"""Plotly figures as JSON, drawn by plotly's script on the page."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np
import plotly.graph_objects as go

from ..geometry.volume import Array
from ..writing.surface import Surface

_LAYOUT = {
    "margin": {"l": 60, "r": 20, "t": 40, "b": 50},
    "paper_bgcolor": "white",
    "plot_bgcolor": "white",
    "font": {"family": "system-ui, sans-serif", "size": 14, "color": "#1a1a1a"},
}
_GRID = {"gridcolor": "#ddd", "zerolinecolor": "#999", "linecolor": "#999"}
_BLUE, _ORANGE = "#0b5fa5", "#b34700"
MANY = 3  # surfaces, so many that the first one must not hide the others


def surfaces(
    meshes: Sequence[tuple[str, str, Surface]],
    lines: Sequence[tuple[str, str, Sequence[tuple[str, Array]]]] = (),
    *,
    directions_known: bool,
) -> dict[str, Any]:
    """Return closed surfaces (name, colour, surface) in 3D, in LPS mm from the centroid of the first one.

    Each of ``lines`` has a name, a colour, and straight pieces with their names and ends (2, 3) in LPS mm. Without
    known directions, the axes are only numbered.
    """
    centre = meshes[0][2].centroid_lps_mm
    figure = go.Figure()
    opacity = (1.0, 0.35) if len(meshes) < MANY else (0.3, 0.6)
    for number, (name, colour, surface) in enumerate(meshes):
        x, y, z = (np.round(surface.points - centre, 2).astype(np.float32)).T
        i, j, k = surface.triangles.astype(np.int32).T
        figure.add_mesh3d(
            x=x, y=y, z=z, i=i, j=j, k=k, name=_literal(name), color=colour, opacity=opacity[number > 0],
            showlegend=True, flatshading=False, hoverinfo="name",
            lighting={"ambient": 0.65, "diffuse": 0.6, "specular": 0.1},
        )  # fmt: skip
    for name, colour, pieces in lines:
        gap = [None] * 3  # a line ends where a point has no coordinates
        points = [
            point
            for _, ends in pieces
            for point in [*np.round(ends - centre, 2).tolist(), gap]  # each piece by itself
        ]
        x, y, z = zip(*points, strict=True)
        figure.add_scatter3d(
            x=x, y=y, z=z, mode="lines", line={"color": colour, "width": 5}, name=_literal(name),
            text=[_literal(text) for text, _ in pieces for _ in range(3)], hoverinfo="text", showlegend=True,
        )  # fmt: skip
    names = ("left, mm", "posterior, mm", "superior, mm")
    axes = [{"title": {"text": text if directions_known else f"axis {n}, mm"}} for n, text in enumerate(names, 1)]
    figure.update_layout(
        **_LAYOUT | {"margin": {"l": 0, "r": 0, "t": 0, "b": 0}},
        height=440,
        scene={
            **dict(zip(("xaxis", "yaxis", "zaxis"), axes, strict=True)),
            "aspectmode": "data",
            "camera": {"eye": {"x": -1.5, "y": -1.7, "z": 0.9}, "center": {"x": 0, "y": 0, "z": -0.12}},
        },
        legend={"orientation": "h"},
    )
    return _plain(figure)


def boxes(title: str, groups: Mapping[str, Array], texts: Sequence[str]) -> dict[str, Any]:
    """Return a box plot for each group of values, with every case as a point.

    NaN values are left out. The parameter ``texts`` holds the names of the cases.
    """
    figure = go.Figure()
    for name, values in groups.items():
        shown = np.isfinite(values)
        figure.add_box(
            y=values[shown],
            name=name,
            text=[_literal(text) for text, here in zip(texts, shown, strict=True) if here],
            boxpoints="all",
            jitter=0.4,
            pointpos=0,
            marker={"color": _BLUE, "size": 5},
            line={"color": "#333"},
            fillcolor="rgba(11,95,165,0.15)",
            hovertemplate="%{text}: %{y:.3f}<extra></extra>",
        )
    figure.update_layout(**_LAYOUT, title={"text": title, "font": {"size": 15}}, showlegend=False, height=380)
    figure.update_yaxes(**_GRID)
    return _plain(figure)


def bland_altman(prediction_ml: Array, reference_ml: Array, texts: Sequence[str]) -> dict[str, Any]:
    """Return a Bland-Altman plot of volumes, with bias and limits of agreement (1.96 standard deviations)."""
    difference, mean = prediction_ml - reference_ml, (prediction_ml + reference_ml) / 2
    figure = _points(mean, difference, texts, "%{text}: %{y:+.1f} mL at %{x:.1f} mL")
    if len(difference) > 1:
        bias, spread = float(difference.mean()), 1.96 * float(difference.std(ddof=1))
        for value, name in ((bias, "bias"), (bias - spread, "lower limit"), (bias + spread, "upper limit")):
            dash = "solid" if name == "bias" else "dash"
            figure.add_hline(
                y=value, line={"color": _ORANGE, "dash": dash}, annotation_text=f"{name} {value:+.1f} mL"
            )
    figure.update_layout(**_LAYOUT, title={"text": "Volume, Bland-Altman"}, showlegend=False, height=380)
    figure.update_xaxes(**_GRID, title="mean of both, mL")
    figure.update_yaxes(**_GRID, title="prediction - reference, mL")
    return _plain(figure)


def scatter(
    title: str, names: tuple[str, str], values: tuple[Array, Array], texts: Sequence[str]
) -> dict[str, Any]:
    """Return a scatter plot of two evaluations with the line of equal values."""
    figure = _points(*values, texts, "%{text}: %{x:.3f} to %{y:.3f}")
    low, high = float(np.min(values)), float(np.max(values))
    figure.add_scatter(
        x=[low, high], y=[low, high], mode="lines", line={"color": "#666", "dash": "dash"}, hoverinfo="skip"
    )
    figure.update_layout(**_LAYOUT, title={"text": title, "font": {"size": 15}}, showlegend=False, height=380)
    figure.update_xaxes(**_GRID, title=_literal(names[0]))
    figure.update_yaxes(**_GRID, title=_literal(names[1]))
    return _plain(figure)


def _points(x: Array, y: Array, texts: Sequence[str], template: str) -> go.Figure:
    figure = go.Figure()
    figure.add_scatter(
        x=x, y=y, mode="markers", text=list(map(_literal, texts)),
        marker={"color": _BLUE, "size": 8, "opacity": 0.75},
        hovertemplate=f"{template}<extra></extra>",
    )  # fmt: skip
    return figure


def _literal(name: str) -> str:
    """Return a name escaped for plotly, which would otherwise show ``<a href=...>`` as a link."""
    return escape(name, quote=False)


def _plain(figure: go.Figure) -> dict[str, Any]:
    """Return data and layout without plotly's default template, which is most of a small figure's size."""
    figure.update_layout(template="none")
    found = json.loads(figure.to_json())
    return {"data": found["data"], "layout": found["layout"]}
