"""Needles and seeds of a phantom: their exact places, and their echoes.

Coordinates are those of :mod:`.anatomy`. A needle runs from below the apex to its tip. Its near wall is bright,
with echoes of reverberation behind it (a comet tail) and a shadow. A seed is a short bright piece; the more it is
tilted, the fainter it is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..geometry.volume import Array
from .anatomy import Anatomy, gland
from .beams import Beams

NEEDLE_RADIUS_MM, SEED_RADIUS_MM, SEED_LENGTH_MM = 0.65, 0.4, 4.5
GRID_MM = 5.0  # of a template
TRIES = 8  # places that are tried for each seed
WIDTH_MM, DEPTH_MM = 0.9, 0.6  # smallest width and depth of an echo: that of the pulse


@dataclass(frozen=True)
class Piece:
    """A straight piece: both ends (x, y, z) in mm, radius in mm."""

    structure: str
    start: tuple[float, float, float]
    end: tuple[float, float, float]
    radius_mm: float


@dataclass(frozen=True)
class Implant(Piece):
    """A needle or a seed, and how it looks.

    Attributes
    ----------
    echo_db
        Echo above the surrounding tissue.
    shadow_db
        Loss behind it.
    tail_db
        First echo of reverberation relative to the wall's; 0 for none.
    """

    echo_db: float
    shadow_db: float
    tail_db: float = 0.0


def draw_implants(rng: np.random.Generator, anatomy: Anatomy, *, needles: int, seeds: int) -> tuple[Implant, ...]:
    """Draw needles on the grid of a template, and seeds along needle tracks, all inside the gland.

    Needles lean away from the grid by about a degree and end between mid-gland and base. Seeds are tilted by some
    degrees, and lie 3 mm apart across or a seed's length along. Fewer than asked are drawn if there is no room.
    """
    tracks = _tracks(rng, anatomy)
    half = 0.5 * anatomy.length_mm
    drawn: list[Implant] = []
    for x, y in tracks:
        tip = float(rng.uniform(0.0, 0.85)) * half
        if len(drawn) < needles and _inside(anatomy, x, y, tip):
            drawn.append(_needle(rng, (x, y, tip), -half - 8.0))
    free = [track for track in tracks if all(track != one.end[:2] for one in drawn)]
    found: list[Implant] = []
    for number in range(TRIES * seeds if free else 0):
        x, y = free[number % len(free)]
        z = float(rng.uniform(-0.85, 0.85)) * half
        x, y = x + float(rng.normal(0, 0.7)), y + float(rng.normal(0, 0.7))
        if len(found) < seeds and _inside(anatomy, x, y, z) and all(_apart(x, y, z, one) for one in found):
            found.append(_seed(rng, np.array([x, y, z])))
    return (*drawn, *found)


def _needle(rng: np.random.Generator, tip: tuple[float, float, float], low_z: float) -> Implant:
    lean = rng.normal(0, 0.015, 2) * (tip[2] - low_z)
    start = (tip[0] - float(lean[0]), tip[1] - float(lean[1]), low_z)
    looks = [float(rng.uniform(*pair)) for pair in ((18, 32), (2, 12), (-12, -4))]
    return Implant("Needle", start, tip, NEEDLE_RADIUS_MM, *looks)


def _seed(rng: np.random.Generator, centre: Array) -> Implant:
    tilt = rng.normal(0, 0.1, 2)
    axis = np.array([tilt[0], tilt[1], 1.0])
    axis *= 0.5 * SEED_LENGTH_MM / np.linalg.norm(axis)
    echo = float(rng.uniform(14, 27)) * float(np.exp(-20 * (tilt @ tilt)))
    start, end = ((float(x), float(y), float(z)) for x, y, z in (centre - axis, centre + axis))
    return Implant("Seed", start, end, SEED_RADIUS_MM, echo, float(rng.uniform(0, 5)), float(rng.uniform(-16, -8)))


def _tracks(rng: np.random.Generator, anatomy: Anatomy) -> list[tuple[float, float]]:
    """Return the positions of a template's grid inside the gland at mid-gland, shuffled."""
    reach = int(anatomy.width_mm / GRID_MM) + 1
    shift = rng.uniform(0, GRID_MM, 2)
    grid = [
        (n * GRID_MM + shift[0], m * GRID_MM + shift[1]) for n in range(-reach, reach) for m in range(-reach, reach)
    ]
    places = [(x + anatomy.centre_mm[0], y + anatomy.centre_mm[1]) for x, y in grid]
    inside = [place for place in places if _inside(anatomy, *place, 0.0)]
    return [inside[n] for n in rng.permutation(len(inside))]


def _inside(anatomy: Anatomy, x: float, y: float, z: float) -> bool:
    at = (np.array([[x]], np.float32), np.array([[y]], np.float32), np.float32(z))
    return bool(gland(anatomy, *at)[0, 0] < 0.9)


def _apart(x: float, y: float, z: float, one: Implant) -> bool:
    """Return whether a seed at (x, y, z) leaves 3 mm across, or a seed's length along, to another one."""
    middle = np.add(one.start, one.end) / 2
    return bool(np.hypot(x - middle[0], y - middle[1]) > 3.0 or abs(z - middle[2]) > SEED_LENGTH_MM + 1.0)


def reflected(implants: tuple[Implant, ...], beams: Beams, z_mm: float) -> tuple[Array, Array]:
    """Return the echoes of implants at z_mm above the surrounding tissue, and the losses behind them.

    Both are (R, A) float32 in dB. Metal reflects like a mirror: its echo has no speckle.
    """
    radius, angle = beams.radius_mm, beams.angle
    echoes, losses = (np.zeros((len(radius), len(angle)), np.float32) for _ in range(2))
    for one in implants:
        low, high = sorted((one.start[2], one.end[2]))
        if not low - 0.5 <= z_mm <= high + 0.5:
            continue
        share = np.clip((z_mm - one.start[2]) / (one.end[2] - one.start[2]), 0, 1)
        x, y = (a + share * (b - a) for a, b in zip(one.start[:2], one.end[:2], strict=True))
        at_r, at_a = float(np.hypot(x, y)), float(np.arctan2(x, -y))
        reach = np.abs(angle - at_a) * at_r < 4 * WIDTH_MM
        if not reach.any():
            continue
        edge = 1.0 if low <= z_mm <= high else 0.5  # the slice is thicker than the end of a tip
        across = np.exp(-((((angle[reach] - at_a) * at_r) / max(WIDTH_MM, one.radius_mm)) ** 2))
        behind = radius - at_r
        echo = one.echo_db * np.exp(-((behind / max(DEPTH_MM, 0.8 * one.radius_mm)) ** 2))
        if one.tail_db:
            for number in range(1, 5):
                strength = max(0.0, one.echo_db + number * one.tail_db)
                echo += strength * np.exp(-(((behind - number * 1.6) / 0.5) ** 2))
        shadow = one.shadow_db * np.clip(behind / (3 * one.radius_mm), 0, 1)
        echoes[:, reach] += (edge * echo)[:, None] * across[None, :]
        losses[:, reach] += (edge * shadow)[:, None] * across[None, :]
    return echoes, losses
