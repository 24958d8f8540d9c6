"""Calibration plot as SVG."""

from __future__ import annotations

import numpy as np

SIDE, EDGE, BINS = 360, 50, 5


def calibration_svg(chances: np.ndarray, wrong: np.ndarray) -> str:
    """Draw the calibration plot of the cases in five groups of increasing probability.

    Each point shows the mean probability of a group, and the fraction of wrong cases with its 95 % interval.
    """
    order = np.argsort(chances)
    parts = []
    for group in np.array_split(order, BINS):
        count, hits = len(group), int(wrong[group].sum())
        low, high = _wilson(hits, count)
        x = _at(float(chances[group].mean()))
        parts.append(f'<line x1="{x}" x2="{x}" y1="{_up(low)}" y2="{_up(high)}" stroke="#555"/>')
        parts.append(f'<circle cx="{x}" cy="{_up(hits / count)}" r="4" fill="#0a6ebd"/>')
    ticks = [
        f'<text x="{_at(t)}" y="{_up(0) + 18}" text-anchor="middle">{t:g}</text>'
        f'<text x="{EDGE - 8}" y="{_up(t) + 4}" text-anchor="end">{t:g}</text>'
        for t in (0, 0.25, 0.5, 0.75, 1)
    ]
    size = SIDE + 2 * EDGE
    middle = f'x="{size / 2}" text-anchor="middle"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size} {size}" font-family="sans-serif" '
        'font-size="12">'
        f'<rect width="{size}" height="{size}" fill="#fff"/>'
        f'<rect x="{EDGE}" y="{EDGE}" width="{SIDE}" height="{SIDE}" fill="none" stroke="#999"/>'
        f'<line x1="{_at(0)}" y1="{_up(0)}" x2="{_at(1)}" y2="{_up(1)}" stroke="#bbb" stroke-dasharray="4"/>'
        f"{''.join(parts)}{''.join(ticks)}"
        f'<text {middle} y="{size - 8}">chance of HD95 above 5 mm, as told</text>'
        f'<text transform="translate(14 {size / 2}) rotate(-90)" text-anchor="middle">share that was</text>'
        f'<text {middle} y="30">{len(chances)} cases in fifths, 95 % intervals</text></svg>\n'
    )


def _wilson(hits: int, count: int, z: float = 1.96) -> tuple[float, float]:
    middle = (hits + z * z / 2) / (count + z * z)
    half = z / (count + z * z) * np.sqrt(hits * (count - hits) / count + z * z / 4)
    return float(middle - half), float(middle + half)


def _at(value: float) -> float:
    return round(EDGE + SIDE * value, 1)


def _up(value: float) -> float:
    return round(EDGE + SIDE * (1 - value), 1)
