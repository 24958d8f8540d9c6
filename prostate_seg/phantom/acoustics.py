"""Image formation in beam space: echo strength, shadows and speckle on a (radius, angle, slice) grid, in dB."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from ..volume import Array
from .anatomy import Anatomy, bladder, gland, rectal_wall, urethra, vesicles


@dataclass(frozen=True)
class Beams:
    """The polar grid: radius_mm (R,) from the probe's axis, angle (A,) from the anterior direction, z_mm (K,)."""

    radius_mm: Array
    angle: Array
    z_mm: Array

    def positions(self) -> tuple[Array, Array, Array]:
        """x, y, z in mm, each broadcastable to (R, A, K)."""
        r, a = self.radius_mm[:, None, None], self.angle[None, :, None]
        return r * np.sin(a), -r * np.cos(a), self.z_mm[None, None, :]

    @property
    def shape(self) -> tuple[int, int, int]:
        """(R, A, K)."""
        return len(self.radius_mm), len(self.angle), len(self.z_mm)


def smooth_field(rng: np.random.Generator, beams: Beams, scale_mm: float) -> Array:
    """Random field of about unit variance (R, A, K) float32, correlated over scale_mm in each direction."""
    r = beams.radius_mm
    spans = (r[-1] - r[0], (beams.angle[-1] - beams.angle[0]) * r.mean(), max(np.ptp(beams.z_mm), 1.0))
    coarse = tuple(max(3, int(np.ceil(span / scale_mm)) + 2) for span in spans)
    noise = rng.standard_normal(coarse).astype(np.float32)
    for axis, size in enumerate(beams.shape):
        at = np.linspace(0.5, coarse[axis] - 1.5, size, dtype=np.float32)
        low = at.astype(int)
        weight = at - low
        weight = (weight * weight * (3 - 2 * weight)).reshape([-1 if n == axis else 1 for n in range(3)])
        noise = (
            np.take(noise, low, axis) * (1 - weight)
            + np.take(noise, np.minimum(low + 1, coarse[axis] - 1), axis) * weight
        )
    return noise * np.float32(1.6)


def speckle(rng: np.random.Generator, beams: Beams, lateral_mm: float, elevation_mm: float) -> Array:
    """Fully developed speckle in dB (R, A, K): Rayleigh envelope (mean over deviation 1.91), mean square 1.

    The point spread function is Gaussian: 0.22 mm along the beam, lateral_mm across it at 35 mm depth (it
    widens with depth because the beams diverge), elevation_mm between slices.
    """
    r = beams.radius_mm
    step = r[1] - r[0]
    pitch = 35.0 * (beams.angle[1] - beams.angle[0])
    gap = beams.z_mm[1] - beams.z_mm[0] if len(beams.z_mm) > 1 else 99.0
    sigmas = (0.22 / step, lateral_mm / pitch, elevation_mm / gap)
    power = np.zeros(beams.shape, np.float32)
    for _ in range(2):
        part = rng.standard_normal(beams.shape, dtype=np.float32)
        for axis, sigma in enumerate(sigmas):
            if sigma > 0.3:
                part = ndimage.gaussian_filter1d(
                    part, sigma, axis, mode="wrap" if axis == 1 else "reflect", truncate=3
                )
        power += part * part
    power /= power.mean()
    return 10 * np.log10(power + np.float32(1e-6))


def echo_db(rng: np.random.Generator, anatomy: Anatomy, beams: Beams) -> Array:
    """Echo strength of the tissues before attenuation and speckle, in dB (R, A, K)."""
    x, y, z = beams.positions()
    fine, coarse = smooth_field(rng, beams, 3.5), smooth_field(rng, beams, 11.0)
    outside = 3.0 * coarse + 2.0 * fine - rng.uniform(2, 18) * _far(anatomy, beams)
    surface = gland(anatomy, x, y, z)
    lift = 0.10 * anatomy.height_mm
    share = anatomy.transition_share ** (1 / 3)
    inner = gland(anatomy, x, y, z, scale=share, lift_mm=lift)
    contrast = rng.choice([-rng.uniform(3, 10), rng.uniform(2.5, 6), rng.uniform(-2, 2)], p=[0.65, 0.15, 0.2])
    peripheral = contrast + rng.uniform(-1, 3) + rng.uniform(0.5, 2) * smooth_field(rng, beams, 8.0)
    transition = contrast - rng.uniform(-1, 4) + rng.uniform(0.5, 3) * smooth_field(rng, beams, 5.0)
    db = np.where(surface < 1, np.where(inner < 1, transition, peripheral), outside)
    db += _line(inner, 0.06, rng.uniform(0, 3)) * (surface < 1)
    rim = rng.uniform(3 if abs(contrast) > 2.5 else 9, 16) * np.clip(
        0.8 + 0.8 * smooth_field(rng, beams, 9.0), 0, 1.6
    )
    side = 0.45 + 0.55 * np.clip(-(y - anatomy.centre_mm[1]) / (0.4 * anatomy.height_mm), -0.6, 1)
    shift = 1 + rng.uniform(0.0, 0.12)
    db += rim * side * _line(surface / shift, rng.uniform(0.03, 0.09), 1.0)
    db += rng.uniform(0, 9) * np.exp(-(((surface - 1.25) / 0.2) ** 2)) * np.clip(coarse, 0, 2) * side
    db = np.where(vesicles(anatomy, x, y, z) < 1, db - rng.uniform(6, 16), db)
    wet = bladder(anatomy, x, y, z)
    db = np.where((wet < 1) & (surface >= 1), -32 + 2 * fine, db)
    db += _line(wet, 0.05, rng.uniform(2, 7)) * (surface >= 1)
    wall = rectal_wall(anatomy, x, y)
    db = np.where(wall < 1, rng.uniform(-6, 8) + 5 * np.cos(2 * np.pi * wall * rng.uniform(1, 2.5)), db)
    tube = urethra(anatomy, x, y, z)
    kind = rng.choice(["none", "gel", "foley"], p=[0.5, 0.25, 0.25])
    if kind == "gel":
        db = np.where(tube < 0.8, 8 + 4 * fine, db)
    elif kind == "foley":
        db = np.where(tube < 0.75, -28.0, db) + _line(tube, 0.15, 16)
    return np.broadcast_to(db, beams.shape).astype(np.float32)


def loss_db(rng: np.random.Generator, anatomy: Anatomy, beams: Beams) -> Array:
    """What the beams lose on their way: attenuation against time gain, shadows, in dB (R, A, K), >= 0 mostly."""
    r, a = beams.radius_mm[:, None, None], beams.angle[None, :, None]
    depth = r - r.min()
    x, y, z = beams.positions()
    loss = rng.uniform(-0.05, 0.32) * depth + rng.uniform(0, 4) * np.sin(
        depth / rng.uniform(6, 14) + rng.uniform(0, 6)
    )
    tube = urethra(anatomy, x, y, z)
    strength = rng.choice([0.0, rng.uniform(2, 22)], p=[0.4, 0.6])
    loss = loss + _behind(np.exp(-(tube**2)) * (np.abs(z) < 0.55 * anatomy.length_mm), strength)
    for _ in range(rng.poisson(1.2)):  # calcifications
        where = (
            rng.uniform(-0.35, 0.35) * anatomy.width_mm,
            anatomy.centre_mm[1] + rng.uniform(-0.3, 0.25) * anatomy.height_mm,
        )
        radius = rng.uniform(0.6, 2.5)
        at_z = rng.uniform(-0.35, 0.35) * anatomy.length_mm
        spot = np.exp(
            -(((x - where[0]) ** 2 + (y - where[1]) ** 2) / radius**2 + ((z - at_z) / rng.uniform(2, 6)) ** 2)
        )
        loss = loss + _behind(spot, rng.uniform(6, 25)) - rng.uniform(6, 18) * spot
    if rng.random() < 0.5:  # edge shadows of the gland's flanks
        edge = _line(gland(anatomy, x, y, z), 0.08, 1.0) * (
            np.abs(x - anatomy.centre_mm[0]) > 0.4 * anatomy.width_mm
        )
        loss = loss + _behind(edge, rng.uniform(2, 10))
    if rng.random() < 0.25:  # pubic arch before the apex
        arch = (
            (np.abs(np.abs(a) - rng.uniform(0.5, 0.8)) < 0.3)
            & (r > anatomy.probe_radius_mm + rng.uniform(30, 40))
            & (z < 0)
        )
        loss = loss + np.where(arch, 25.0, 0.0)
    for _ in range(rng.poisson(0.6)):  # air or faeces between probe and wall
        at, width = rng.uniform(beams.angle[0], beams.angle[-1]), rng.uniform(0.03, 0.15)
        span = np.exp(-(((z - rng.uniform(z.min(), z.max())) / rng.uniform(5, 40)) ** 2))
        loss = loss + rng.uniform(8, 30) * np.exp(-(((a - at) / width) ** 2)) * span
    if rng.random() < 0.12:  # needles of an implant
        for _ in range(rng.integers(1, 12)):
            px, py = (
                rng.uniform(-0.4, 0.4) * anatomy.width_mm,
                anatomy.centre_mm[1] + rng.uniform(-0.4, 0.3) * anatomy.height_mm,
            )
            spot = np.exp(-((x - px) ** 2 + (y - py) ** 2) / 0.8**2) * (
                z < rng.uniform(-0.2, 0.5) * anatomy.length_mm
            )
            loss = loss + _behind(spot, rng.uniform(2, 10)) - rng.uniform(10, 20) * spot
    return np.broadcast_to(loss, beams.shape).astype(np.float32)


def near_field_db(rng: np.random.Generator, beams: Beams) -> Array:
    """The bright near field and the rings around the probe, in dB (R, 1, 1)."""
    depth = (beams.radius_mm - beams.radius_mm.min())[:, None, None]
    glow = rng.uniform(0, 16) * np.exp(-depth / rng.uniform(2, 11))
    rings = (
        rng.uniform(0, 8) * np.cos(2 * np.pi * depth / rng.uniform(1.5, 4.5)) * np.exp(-depth / rng.uniform(3, 9))
    )
    return (glow + rings).astype(np.float32)


def _line(distance: Array, width: float, height: float) -> Array:
    return height * np.exp(-(((distance - 1) / width) ** 2))


def _behind(obstacle: Array, loss: float) -> Array:
    """The loss in dB behind an obstacle of about unit height: it adds up along the beam (axis 0), to ``loss``."""
    if not loss:
        return np.zeros(1, np.float32)
    total = np.cumsum(
        np.broadcast_to(obstacle, np.broadcast_shapes(obstacle.shape, (1, 1, 1))).astype(np.float32), axis=0
    )
    return loss * np.clip(total / 8.0, 0, 1)


def _far(anatomy: Anatomy, beams: Beams) -> Array:
    """0 around the gland to 1 in the far field before and beside it."""
    x, y, _ = beams.positions()
    ahead = np.hypot((x - anatomy.centre_mm[0]) / anatomy.width_mm, (y - anatomy.centre_mm[1]) / anatomy.height_mm)
    return np.clip((ahead - 0.55) / 0.6, 0, 1)
