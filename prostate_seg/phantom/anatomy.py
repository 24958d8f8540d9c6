"""The anatomy of a phantom: implicit surfaces, and so analytic truth.

Patient millimetres with the probe's axis as origin: x to the left, y to the posterior (the probe looks to
negative y), z to the superior, 0 at mid-gland. Every structure is where its function is below 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..volume import Array


@dataclass(frozen=True)
class Anatomy:
    """Sizes of one patient in mm; see :func:`draw_anatomy` for their ranges."""

    width_mm: float
    height_mm: float
    length_mm: float
    centre_mm: tuple[float, float]
    flatness: float
    posterior_share: float
    indentation: float
    asymmetry: tuple[float, ...]
    widest_at: float
    apex_power: float
    tilt: float
    pitch: float
    transition_share: float
    urethra_radius_mm: float
    urethra_bend_mm: float
    bladder_radius_mm: float
    bladder_gap_mm: float
    vesicle_radius_mm: float
    rectal_wall_mm: float
    probe_radius_mm: float


def draw_anatomy(rng: np.random.Generator, volume_ml: float | None = None) -> Anatomy:
    """Draw a gland of 14 to 130 mL (median about 38) with its neighbours.

    Width : height : length are about 1.2 : 0.85 : 1; the gland lies 2 to 8 mm above the probe.
    """
    volume = float(np.clip(np.exp(rng.normal(3.65, 0.5)), 14, 130)) if volume_ml is None else volume_ml
    ratio = np.array([rng.normal(1.22, 0.09), rng.normal(0.84, 0.08), rng.normal(1.0, 0.09)])
    size = ratio * (volume * 1000 / (0.56 * ratio.prod())) ** (1 / 3)
    probe = rng.uniform(8.5, 12.0)
    share = rng.uniform(0.36, 0.5)
    gap = rng.uniform(2.0, 8.0)
    indentation = rng.uniform(0.0, 0.3)
    centre_y = -(probe + gap) - size[1] * share * (1 - 0.8 * indentation)
    return Anatomy(
        width_mm=float(size[0]),
        height_mm=float(size[1]),
        length_mm=float(size[2]),
        centre_mm=(float(rng.normal(0, 3.0)), float(centre_y)),
        flatness=float(rng.uniform(1.9, 2.6)),
        posterior_share=float(share),
        indentation=float(indentation),
        asymmetry=tuple(float(v) for v in rng.normal(0, [0.05, 0.03, 0.03, 0.03])),
        widest_at=float(rng.uniform(-0.05, 0.3)),
        apex_power=float(rng.uniform(1.6, 2.6)),
        tilt=float(rng.normal(0, 0.08)),
        pitch=float(rng.normal(0.12, 0.12)),
        transition_share=float(np.clip(0.35 + 0.12 * np.log(volume / 30) + rng.normal(0, 0.07), 0.2, 0.75)),
        urethra_radius_mm=float(rng.uniform(1.5, 3.8)),
        urethra_bend_mm=float(rng.uniform(-3, 5)),
        bladder_radius_mm=float(rng.uniform(12, 34)),
        bladder_gap_mm=float(rng.uniform(0, 8)),
        vesicle_radius_mm=float(rng.uniform(3.5, 7.0)),
        rectal_wall_mm=float(rng.uniform(1.5, 4.0)),
        probe_radius_mm=float(probe),
    )


def gland(anatomy: Anatomy, x: Array, y: Array, z: Array, *, scale: float = 1.0, lift_mm: float = 0.0) -> Array:
    """Below 1 inside the prostate: distance from its axis over the surface's in that direction.

    scale and lift_mm (to the anterior) give the nested shape of the transition zone.
    """
    s = np.clip(z / (0.5 * anatomy.length_mm * scale), -1.5, 1.5)
    taper = _taper(anatomy, s)
    centre_x, centre_y = anatomy.centre_mm
    x = x - centre_x
    y = y - centre_y + lift_mm + anatomy.pitch * z
    x, y = x + anatomy.tilt * y, y - anatomy.tilt * x
    angle = np.arctan2(y, x)  # 90 degrees is posterior
    behind = np.sin(angle) > 0
    half_height = anatomy.height_mm * np.where(behind, anatomy.posterior_share, 1 - anatomy.posterior_share)
    power = np.where(behind, anatomy.flatness + 0.4, anatomy.flatness)
    a, b = 0.5 * anatomy.width_mm, half_height
    radius = (np.abs(np.cos(angle) / a) ** power + np.abs(np.sin(angle) / b) ** power) ** (-1 / power)
    dent = np.exp(-(((angle - np.pi / 2) / 0.55) ** 2))
    first, second, third, fourth = anatomy.asymmetry
    bumps = (
        first * np.cos(angle)
        + second * np.sin(2 * angle)
        + third * np.cos(3 * angle)
        + fourth * np.sin(3 * angle + 2 * s)
    )
    surface = scale * radius * (1 - anatomy.indentation * dent) * (1 + bumps)
    with np.errstate(divide="ignore", invalid="ignore"):
        inside = np.hypot(x, y) / (surface * taper)
    return np.where(np.abs(s) < 1, np.where(taper > 1e-3, inside, 9.0), 9.0).clip(0, 9).astype(np.float32)


def _taper(anatomy: Anatomy, s: Array) -> Array:
    """Cross-section's size along the gland: 1 where it is widest, 0 at apex (s = -1) and base (s = 1)."""
    top = anatomy.widest_at
    down = np.clip((top - s) / (1 + top), 0, 1)
    up = np.clip((s - top) / (1 - top), 0, 1)
    return np.where(s < top, (1 - down**anatomy.apex_power) ** 0.5, (1 - up**2.4) ** 0.5)


def urethra(anatomy: Anatomy, x: Array, y: Array, z: Array) -> Array:
    """Below 1 inside the urethra, which bends to the anterior towards the base."""
    s = np.clip(z / (0.5 * anatomy.length_mm), -1.3, 1.3)
    centre_x, centre_y = anatomy.centre_mm
    bend = anatomy.urethra_bend_mm * (s + 0.3) + 0.06 * anatomy.height_mm
    return np.hypot(x - centre_x, y - centre_y + bend + anatomy.pitch * z) / anatomy.urethra_radius_mm


def bladder(anatomy: Anatomy, x: Array, y: Array, z: Array) -> Array:
    """Below 1 inside the bladder: an ellipsoid above and before the base."""
    r = anatomy.bladder_radius_mm
    centre_y = anatomy.centre_mm[1] - 0.25 * anatomy.height_mm - 0.35 * r
    centre_z = 0.5 * anatomy.length_mm + anatomy.bladder_gap_mm + 0.55 * r
    parts = ((x - anatomy.centre_mm[0]) / (1.5 * r), (y - centre_y) / (0.9 * r), (z - centre_z) / (0.8 * r))
    return np.sqrt(parts[0] ** 2 + parts[1] ** 2 + parts[2] ** 2)


def vesicles(anatomy: Anatomy, x: Array, y: Array, z: Array) -> Array:
    """Below 1 inside the seminal vesicles: two winding tubes behind the base."""
    r = anatomy.vesicle_radius_mm
    side = np.abs(x - anatomy.centre_mm[0])
    centre_y = anatomy.centre_mm[1] + 0.5 * anatomy.posterior_share * anatomy.height_mm - anatomy.pitch * z
    centre_z = 0.5 * anatomy.length_mm + 0.6 * r + 0.15 * side
    winding = 1.2 * np.sin(side / 2.2)
    spread = np.sqrt(((y - centre_y + winding) / (0.7 * r)) ** 2 + ((z - centre_z) / r) ** 2)
    return np.maximum(spread, np.abs(side - 0.27 * anatomy.width_mm) / (0.22 * anatomy.width_mm))


def rectal_wall(anatomy: Anatomy, x: Array, y: Array) -> Array:
    """Below 1 between the probe's surface and the outside of the rectal wall."""
    radius = np.hypot(x, y)
    return np.where(
        radius < anatomy.probe_radius_mm, 2.0, (radius - anatomy.probe_radius_mm) / anatomy.rectal_wall_mm
    )
