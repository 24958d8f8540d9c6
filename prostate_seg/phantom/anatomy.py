"""Anatomy of a phantom as implicit surfaces, so that the true masks are exact.

Coordinates are patient millimetres with the probe's axis as origin: x to the left, y to the posterior (the probe
looks towards negative y), z to the superior with 0 at mid-gland. A structure is the region where its function is
below 1.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ..geometry.volume import Array

Position = Array | np.float32


@dataclass(frozen=True)
class Anatomy:
    """Sizes of one patient in mm, as shares of the gland's size, or as pure numbers; see :func:`draw_anatomy`.

    The gland is the ellipsoid of volume π/6 · width · height · length under these settings: powers of 2,
    apex_power and base_power of 2, roundness of 1, and droop, dent, keystone, asymmetry, bumps, tilt, pitch and
    lean of 0.
    """

    width_mm: float
    height_mm: float
    length_mm: float
    centre_mm: tuple[float, float]
    posterior_share: float
    powers: tuple[float, float]
    droop: float
    dent: float
    dent_mm: float
    keystone: float
    asymmetry: float
    bumps: tuple[float, float, float, float]
    widest_at: float
    apex_power: float
    base_power: float
    roundness: float
    tilt: float
    pitch: float
    lean: float
    transition_share: float
    urethra_radius_mm: float
    urethra_bend_mm: float
    bladder_radius_mm: float
    bladder_start_mm: float
    vesicle_radius_mm: float
    rectal_wall_mm: float
    probe_radius_mm: float


def draw_anatomy(rng: np.random.Generator, volume_ml: float | None = None) -> Anatomy:
    """Draw a gland of 14 to 130 mL (median about 38 mL) and the structures around it.

    Width : height : length is about 1.25 : 0.82 : 1. The posterior surface bends around the rectum (droop), and
    the probe may dent this surface. The gland lies 2 to 8 mm above the probe. The volume is accurate to about 1 %.
    """
    volume = float(np.clip(np.exp(rng.normal(3.65, 0.5)), 14, 130)) if volume_ml is None else volume_ml
    ratio = np.array([rng.normal(1.25, 0.09), rng.normal(0.82, 0.08), rng.normal(1.0, 0.08)])
    width, height, length = (float(v) for v in ratio * (volume * 1000 / (0.56 * ratio.prod())) ** (1 / 3))
    probe, gap = float(rng.uniform(8.5, 11.5)), float(rng.uniform(2.0, 8.0))
    first, second, third, fourth = (float(v) for v in rng.normal(0, [0.03, 0.025, 0.02, 0.02]))
    anatomy = Anatomy(
        width_mm=width,
        height_mm=height,
        length_mm=length,
        centre_mm=(float(rng.normal(0, 2.5)), 0.0),
        posterior_share=float(rng.uniform(0.34, 0.5)),
        powers=(float(rng.uniform(1.8, 2.4)), float(rng.uniform(2.1, 3.2))),
        droop=float(rng.choice([rng.uniform(0, 0.15), rng.uniform(0.15, 0.45)])),
        dent=float(rng.choice([0.0, rng.uniform(0.05, 0.4)], p=[0.3, 0.7])),
        dent_mm=float(rng.uniform(7, 14)),
        keystone=float(rng.uniform(-0.1, 0.35)),
        asymmetry=float(rng.normal(0, 0.06)),
        bumps=(first, second, third, fourth),
        widest_at=float(rng.uniform(-0.05, 0.3)),
        apex_power=float(rng.uniform(1.5, 2.5)),
        base_power=float(rng.uniform(1.9, 3.2)),
        roundness=float(rng.uniform(0.6, 1.0)),
        tilt=float(rng.normal(0, 0.07)),
        pitch=float(rng.normal(0.08, 0.12)),
        lean=float(rng.normal(0, 0.04)),
        transition_share=float(np.clip(0.35 + 0.12 * np.log(volume / 30) + rng.normal(0, 0.07), 0.2, 0.75)),
        urethra_radius_mm=float(rng.uniform(1.5, 3.6)),
        urethra_bend_mm=float(rng.uniform(-2, 5)),
        bladder_radius_mm=float(rng.uniform(10, 36)),
        bladder_start_mm=float(rng.uniform(-14, 6)),
        vesicle_radius_mm=float(rng.uniform(3.0, 6.5)),
        rectal_wall_mm=gap * float(rng.uniform(0.55, 0.95)),
        probe_radius_mm=probe,
    )
    for _ in range(2):
        scale = (volume / gland_volume_ml(_placed(anatomy, gap))) ** (1 / 3)
        names = ("width_mm", "height_mm", "length_mm", "dent_mm")
        anatomy = replace(anatomy, **{name: scale * getattr(anatomy, name) for name in names})
    return _placed(anatomy, gap)


def gland_volume_ml(anatomy: Anatomy) -> float:
    """Return the volume of the gland in mL, accurate to about 1 %.

    It is estimated from 44 x 44 x 36 points in the gland's box.
    """
    sides = 2.2 * anatomy.width_mm, 2.4 * anatomy.height_mm, 1.0 * anatomy.length_mm
    steps = [(np.arange(n, dtype=np.float32) + 0.5) / n - 0.5 for n in (44, 44, 36)]
    z = steps[2][None, None] * sides[2]
    x = steps[0][:, None, None] * sides[0] + anatomy.centre_mm[0] + anatomy.lean * z
    y = steps[1][None, :, None] * sides[1] + anatomy.centre_mm[1] - anatomy.pitch * z
    return float((gland(anatomy, x, y, z) < 1).mean() * np.prod(sides) / 1000)


def gland(anatomy: Anatomy, x: Array, y: Array, z: Position, *, scale: float = 1.0, lift_mm: float = 0.0) -> Array:
    """Return the implicit function of the prostate: below 1 inside.

    The value is the in-plane distance from the gland's axis, divided by the distance of the surface in the same
    direction. Beyond apex and base it is 9. The parameters ``scale`` and ``lift_mm`` (to the anterior) give the
    nested shape of the transition zone.
    """
    s = np.clip(z / (0.5 * anatomy.length_mm * scale), -1.5, 1.5)
    taper = _taper(anatomy, s)
    u, v = _straight(anatomy, x, y, z)
    v = v + lift_mm
    sides = 1 + anatomy.asymmetry * np.tanh(u / (0.2 * anatomy.width_mm))
    keystone = np.clip(1 + anatomy.keystone * v / anatomy.height_mm, 0.6, 1.4)
    a = 0.5 * scale * anatomy.width_mm * sides * keystone * taper
    posterior = anatomy.posterior_share * (1 - anatomy.dent * np.exp(-((u / anatomy.dent_mm) ** 2)))
    b = scale * anatomy.height_mm * np.where(v > 0, posterior, 1 - anatomy.posterior_share)
    b = b * taper**anatomy.roundness
    angle = np.arctan2(v / anatomy.height_mm, u / anatomy.width_mm)
    first, second, third, fourth = anatomy.bumps
    bumps = first * np.sin(2 * angle) + second * np.cos(3 * angle + s) + third * np.sin(5 * angle - 2 * s)
    bumps = 1 + bumps + fourth * np.cos(4 * angle + 3 * s)
    power = np.where(v > 0, anatomy.powers[1], anatomy.powers[0])
    inside = (np.abs(u / a) ** power + np.abs(v / b) ** power) ** (1 / power) / bumps
    pressed = (anatomy.probe_radius_mm + 0.6 * anatomy.rectal_wall_mm) / np.maximum(np.hypot(x, y), 1.0)
    inside = np.maximum(inside, pressed)
    return np.where(np.abs(s) < 1, inside, 9.0).clip(0, 9).astype(np.float32)


def gland_distance_mm(anatomy: Anatomy, xy: tuple[Array, Array], z: float, surface: Array) -> Array:
    """Return the approximate distance to the gland's surface in mm, negative inside.

    The parameter ``surface`` is the value of :func:`gland` at (*xy, z).
    """
    half = 0.5 * anatomy.length_mm
    u, v = _straight(anatomy, *xy, np.float32(np.clip(z, -half, half)))
    radius = np.hypot(u, v)
    if abs(z) >= half:
        return np.hypot(radius, abs(z) - half)
    return radius - radius / np.maximum(surface, 1e-3)


def urethra_distance_mm(anatomy: Anatomy, x: Array, y: Array, z: Position) -> Array:
    """Return the in-plane distance in mm from the axis of the urethra.

    Towards the base, the axis bends to the anterior.
    """
    s = np.asarray(np.clip(z / (0.5 * anatomy.length_mm), -1.3, 1.3), np.float32)
    centre_x, centre_y = anatomy.centre_mm
    bend = anatomy.urethra_bend_mm * (s + 0.3) * 0.5 * (s > -0.3) + 0.04 * anatomy.height_mm
    v = y - centre_y + bend + anatomy.pitch * z + _droop_mm(anatomy)
    return np.hypot(x - centre_x - anatomy.lean * z, v)


def urethra(anatomy: Anatomy, x: Array, y: Array, z: Position) -> Array:
    """Return the implicit function of the urethra: below 1 inside."""
    return urethra_distance_mm(anatomy, x, y, z) / anatomy.urethra_radius_mm


def bladder(anatomy: Anatomy, x: Array, y: Array, z: Position) -> Array:
    """Return the implicit function of the bladder: below 1 inside.

    The bladder is an ellipsoid above and anterior of the base. If it is full, it also surrounds the base.
    """
    r = anatomy.bladder_radius_mm
    centre_y = anatomy.centre_mm[1] - 0.1 * anatomy.height_mm - 0.45 * r
    centre_z = 0.5 * anatomy.length_mm + anatomy.bladder_start_mm + 0.8 * r
    parts = ((x - anatomy.centre_mm[0]) / (1.4 * r), (y - centre_y) / (0.9 * r), (z - centre_z) / (0.8 * r))
    return np.sqrt(parts[0] ** 2 + parts[1] ** 2 + parts[2] ** 2)


def vesicles(anatomy: Anatomy, x: Array, y: Array, z: Position) -> Array:
    """Return the implicit function of the seminal vesicles: below 1 inside.

    They are two winding tubes behind the base that rise to the sides.
    """
    r = anatomy.vesicle_radius_mm
    side = np.abs(x - anatomy.centre_mm[0])
    behind = -anatomy.probe_radius_mm - 1.2 * anatomy.rectal_wall_mm - 0.9 * r
    centre_y = behind + 0.012 * side**2 + 0.3 * r * np.sin(side / 2.0)
    centre_z = 0.5 * anatomy.length_mm + 0.5 * r + 0.2 * side
    spread = np.sqrt(((y - centre_y) / (0.75 * r)) ** 2 + ((z - centre_z) / (1.3 * r)) ** 2)
    return np.maximum(spread, np.abs(side - 0.26 * anatomy.width_mm) / (0.23 * anatomy.width_mm))


def rectal_wall(anatomy: Anatomy, x: Array, y: Array) -> Array:
    """Return the implicit function of the rectal wall: below 1 from the probe's surface to the wall's outside."""
    radius = np.hypot(x, y)
    wall = (radius - anatomy.probe_radius_mm) / anatomy.rectal_wall_mm
    return np.where(radius < anatomy.probe_radius_mm, 2.0, wall)


def resized(anatomy: Anatomy, *, width: float, height: float, length: float) -> Anatomy:
    """Return the anatomy with the gland's sizes multiplied by factors; its gap to the probe stays."""
    behind = anatomy.height_mm * anatomy.posterior_share * (1 - anatomy.dent)
    gap = _droop_mm(anatomy) - anatomy.centre_mm[1] - anatomy.probe_radius_mm - behind
    changed = replace(
        anatomy,
        width_mm=anatomy.width_mm * width,
        height_mm=anatomy.height_mm * height,
        length_mm=anatomy.length_mm * length,
    )
    return _placed(changed, gap)


def _placed(anatomy: Anatomy, gap_mm: float) -> Anatomy:
    """Return the anatomy with the gland moved to gap_mm from the probe on the mid-line."""
    behind = anatomy.height_mm * anatomy.posterior_share * (1 - anatomy.dent)
    centre_y = -anatomy.probe_radius_mm - gap_mm - behind + _droop_mm(anatomy)
    return replace(anatomy, centre_mm=(anatomy.centre_mm[0], centre_y))


def _droop_mm(anatomy: Anatomy) -> float:
    return 0.25 * anatomy.droop * anatomy.width_mm / 3


def _straight(anatomy: Anatomy, x: Array, y: Array, z: Position) -> tuple[Array, Array]:
    """Return in-plane coordinates in mm from the gland's axis, with the bend around the rectum removed.

    Removing the bend preserves areas.
    """
    u = x - anatomy.centre_mm[0] - anatomy.lean * z
    v = y - anatomy.centre_mm[1] + anatomy.pitch * z
    u, v = u + anatomy.tilt * v, v - anatomy.tilt * u
    return u, v - anatomy.droop * u * u / anatomy.width_mm + _droop_mm(anatomy)


def _taper(anatomy: Anatomy, s: Array) -> Array:
    """Return the relative size of the cross-section along the gland.

    It is 1 at the widest position and 0 at the apex (s = -1) and the base (s = 1).
    """
    top = anatomy.widest_at
    down = np.clip((top - s) / (1 + top), 0, 1)
    up = np.clip((s - top) / (1 - top), 0, 1)
    size = np.where(s < top, 1 - down**anatomy.apex_power, 1 - up**anatomy.base_power)
    return np.maximum(size, 1e-6) ** 0.5
