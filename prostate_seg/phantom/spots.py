"""Small structures in and around the gland: nodules, cysts, calcifications, vessels and nerves, needles."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ..geometry.volume import Array
from .anatomy import Anatomy
from .beams import Beams
from .implants import Piece
from .tissue import Tissue


@dataclass(frozen=True)
class Spot:
    """A Gaussian blob at (x, y, z) mm.

    Attributes
    ----------
    radius_mm
        Radius in the plane of a slice.
    half_length_mm
        Half the length along z.
    echo_db
        Echo strength above the surrounding tissue; it may be negative.
    shadow_db
        Loss behind the blob.
    structure
        Name of its structure, if it is a thing that is counted; empty otherwise.
    """

    x: float
    y: float
    z: float
    radius_mm: float
    half_length_mm: float
    echo_db: float
    shadow_db: float
    structure: str = ""

    @property
    def piece(self) -> Piece:
        """Return the blob as a piece along z."""
        low, high = (self.z + side * self.half_length_mm for side in (-1, 1))
        return Piece(self.structure, (self.x, self.y, low), (self.x, self.y, high), self.radius_mm)


def draw_spots(rng: np.random.Generator, anatomy: Anatomy, tissue: Tissue) -> list[Spot]:
    """Draw as many spots of each type as the tissue has."""
    spots = []
    for _ in range(tissue.nodules):
        radius = rng.uniform(2, 7)
        spots.append(_inside(rng, anatomy, (radius, radius), (rng.uniform(-7, 5), 0.0)))
    for _ in range(tissue.cysts):
        radius = rng.uniform(1, 3)
        spots.append(_inside(rng, anatomy, (radius, radius), (-25.0, rng.uniform(-4, 0))))
    for _ in range(tissue.calcifications):
        size = (rng.uniform(0.5, 2), rng.uniform(1.5, 6))
        spot = _inside(rng, anatomy, size, (rng.uniform(6, 18), rng.uniform(3, 22)))
        spots.append(replace(spot, structure="Calcification"))
    depth = rng.uniform(0.35, 1.0)  # insertion depth of the needles, as a share of the gland's length
    for _ in range(tissue.needles):
        size = (0.7, depth * anatomy.length_mm)
        spot = _inside(rng, anatomy, size, (rng.uniform(10, 20), rng.uniform(2, 10)))
        spots.append(Spot(spot.x, spot.y, -0.6 * anatomy.length_mm, *size, spot.echo_db, spot.shadow_db))
    for number in range(tissue.bundles):
        side = -1 if number % 2 else 1
        x = anatomy.centre_mm[0] + side * rng.uniform(0.32, 0.5) * anatomy.width_mm
        y = anatomy.centre_mm[1] + rng.uniform(0.3, 0.6) * anatomy.posterior_share * anatomy.height_mm + 4
        z = rng.uniform(-0.4, 0.4) * anatomy.length_mm
        spots.append(Spot(x, y, z, rng.uniform(0.8, 2), rng.uniform(3, 10), rng.uniform(-12, 7), 0.0))
    return spots


def add_spots(spots: list[Spot], beams: Beams, z_mm: float) -> Array:
    """Return the spots' echoes minus the shadows behind them at z_mm, in dB: (R, A) float32."""
    radius, angle = beams.radius_mm, beams.angle
    total = np.zeros((len(radius), len(angle)), np.float32)
    for spot in spots:
        along = abs((z_mm - spot.z) / spot.half_length_mm)
        at_r, at_a = float(np.hypot(spot.x, spot.y)), float(np.arctan2(spot.x, -spot.y))
        reach = np.abs(angle - at_a) * at_r < 3 * spot.radius_mm
        if along > 2 or not reach.any():
            continue
        strength = np.exp(-(along**4))
        across = np.exp(-((((angle[reach] - at_a) * at_r) / spot.radius_mm) ** 2))
        range_mm = (radius - at_r) / spot.radius_mm
        blob = spot.echo_db * np.exp(-(np.clip(range_mm, -6, 6) ** 2))
        shadow = spot.shadow_db * np.clip(range_mm / 2, 0, 1)
        total[:, reach] += (strength * (blob - shadow))[:, None] * across[None, :]
    return total


def _inside(
    rng: np.random.Generator, anatomy: Anatomy, size: tuple[float, float], decibel: tuple[float, float]
) -> Spot:
    x = anatomy.centre_mm[0] + rng.uniform(-0.36, 0.36) * anatomy.width_mm
    z = rng.uniform(-0.36, 0.36) * anatomy.length_mm
    y = anatomy.centre_mm[1] + rng.uniform(-0.38, 0.3) * anatomy.height_mm - anatomy.pitch * z
    return Spot(x, y, z, *size, *decibel)
