"""From beams to pictures: fan, compression, gain, scan conversion, marks on the screen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage

from ..volume import Array
from .acoustics import Beams


@dataclass(frozen=True)
class Scan:
    """A scanner's settings. Angles in radians from the anterior; lengths in mm; see :func:`draw_scan`."""

    spacing_mm: tuple[float, float, float]
    shape: tuple[int, int, int]
    first_z_mm: float
    depth_mm: float
    half_angle: float
    roll: float
    probe_gap_mm: float
    dynamic_range_db: float
    level: float
    gamma: float
    lateral_mm: float
    elevation_mm: float
    blur_mm: float
    cut: tuple[float, float] | None
    template_dots: bool
    text: bool


def draw_scan(
    rng: np.random.Generator,
    length_mm: float,
    *,
    shape: tuple[int, int, int] | None = None,
    spacing_mm: tuple[float, float, float] | None = None,
    kind: str = "random",
) -> Scan:
    """Draw a scanner for a gland of length_mm: a stepper (1 to 5 mm steps) or an isotropic volume."""
    isotropic = rng.random() < 0.35 if kind == "random" else kind == "isotropic"
    depth = rng.uniform(50, 80)
    half_angle = np.radians(rng.uniform(50, 88))
    low_pass = rng.random() < 0.4
    if isotropic:
        pixel = float(rng.uniform(0.7, 1.6) if low_pass else rng.uniform(0.5, 1.0))
        drawn = (pixel, pixel, pixel)
    else:
        pixel = float(rng.uniform(0.3, 0.6))
        drawn = (pixel, pixel, float(rng.choice([1, 1.5, 2, 3, 4, 5, 5])))
    spacing = drawn if spacing_mm is None else spacing_mm
    margins = (rng.uniform(2, 14), rng.uniform(2, 14))
    if shape is None:
        width = 2 * (10 + depth) * np.sin(min(half_angle, np.pi / 2)) * rng.uniform(0.85, 1.05)
        slices = max(5, round((length_mm + sum(margins)) / spacing[2]))
        shape = (
            min(240, round(width / spacing[0])),
            min(200, round((depth + 14) / spacing[1])),
            min(80, slices),
        )
    span = (shape[2] - 1) * spacing[2]
    return Scan(
        spacing_mm=spacing,
        shape=shape,
        first_z_mm=float(-span / 2 + (margins[1] - margins[0]) / 2),
        depth_mm=float(depth),
        half_angle=float(half_angle),
        roll=float(rng.normal(0, 0.06)),
        probe_gap_mm=float(rng.uniform(-2, 6)),
        dynamic_range_db=float(rng.uniform(38, 65)),
        level=float(rng.choice([rng.uniform(0.35, 0.6), rng.uniform(0.2, 0.85)], p=[0.7, 0.3])),
        gamma=float(rng.uniform(0.75, 1.4)),
        lateral_mm=float(rng.uniform(0.4, 0.9)),
        elevation_mm=float(rng.uniform(0.5, 1.3)),
        blur_mm=float(rng.uniform(0.8, 2.4)) if low_pass else float(rng.uniform(0, 0.35)),
        cut=(float(rng.uniform(-0.5, 0.5)), float(rng.uniform(0.75, 1.0))) if rng.random() < 0.2 else None,
        template_dots=bool(rng.random() < 0.2),
        text=bool(rng.random() < 0.35),
    )


def beams_of(scan: Scan, probe_radius_mm: float) -> Beams:
    """The polar grid that covers a scan's fan: about 0.25 mm along the beam, 0.45 mm across at 35 mm."""
    fine = min(scan.spacing_mm[0] / 1.5, 0.5) if scan.blur_mm > 0.6 else min(scan.spacing_mm[0] / 1.5, 0.32)
    radius = np.arange(probe_radius_mm, probe_radius_mm + scan.depth_mm, max(fine, 0.2))
    angle = np.arange(-scan.half_angle, scan.half_angle, max(fine, 0.25) * 1.6 / 35)
    z = scan.first_z_mm + scan.spacing_mm[2] * np.arange(scan.shape[2])
    return Beams(radius.astype(np.float32), angle.astype(np.float32), z.astype(np.float32))


def pixel_positions(scan: Scan) -> tuple[Array, Array]:
    """x (I, 1) and y (1, J) of the pixels in mm; the probe's surface lies near the lower edge."""
    i, j, _ = scan.shape
    x = (np.arange(i) - (i - 1) / 2) * scan.spacing_mm[0]
    y = (np.arange(j) - (j - 1)) * scan.spacing_mm[1] - scan.probe_gap_mm
    return x[:, None].astype(np.float32), y[None].astype(np.float32)


def fan_mask(scan: Scan, beams: Beams) -> Array:
    """Bool (I, J): which pixels the fan covers."""
    x, y = pixel_positions(scan)
    radius, angle = np.hypot(x, y), np.arctan2(x, -y) - scan.roll
    drawn = (radius >= beams.radius_mm[0]) & (radius <= beams.radius_mm[-1]) & (np.abs(angle) <= beams.angle[-1])
    if scan.cut is not None:
        slope, share = scan.cut
        drawn &= -y + slope * x < share * (beams.radius_mm[-1] * 0.98)
    return drawn


def scan_convert(scan: Scan, beams: Beams, values: Array) -> Array:
    """Bilinear from the polar grid (R, A, K) to pixels (I, J, K); 0 outside the fan."""
    x, y = pixel_positions(scan)
    drawn = fan_mask(scan, beams)
    r = ((np.hypot(x, y) - beams.radius_mm[0]) / (beams.radius_mm[1] - beams.radius_mm[0]))[drawn]
    a = ((np.arctan2(x, -y) - scan.roll - beams.angle[0]) / (beams.angle[1] - beams.angle[0]))[drawn]
    r0, a0 = np.clip(r.astype(int), 0, beams.shape[0] - 2), np.clip(a.astype(int), 0, beams.shape[1] - 2)
    wr, wa = (r - r0)[:, None].astype(np.float32), (a - a0)[:, None].astype(np.float32)
    near = values[r0, a0] * (1 - wa) + values[r0, a0 + 1] * wa
    far = values[r0 + 1, a0] * (1 - wa) + values[r0 + 1, a0 + 1] * wa
    image = np.zeros(scan.shape, np.float32)
    image[drawn] = near * (1 - wr) + far * wr
    return image


def display(scan: Scan, beams: Beams, decibel: Array) -> Array:
    """Log-compressed echoes as uint8 gray levels (R, A, K): the dynamic range around the median is shown."""
    middle = np.median(decibel[::4, ::4])
    gray = np.clip((decibel - middle) / scan.dynamic_range_db + scan.level, 0, 1)
    return (gray ** np.float32(scan.gamma) * 255).astype(np.float32)


def finish(rng: np.random.Generator, scan: Scan, beams: Beams, image: Array) -> Array:
    """Low-pass, then marks: template dots in the fan, text and a ruler beside it; uint8 (I, J, K)."""
    if scan.blur_mm > 0.1:
        sigmas = [scan.blur_mm / s for s in scan.spacing_mm]
        sigmas[2] *= float(scan.spacing_mm[2] < 2)
        drawn = fan_mask(scan, beams)
        weight = ndimage.gaussian_filter(drawn.astype(np.float32), sigmas[:2]).clip(1e-3)
        image = ndimage.gaussian_filter(image, sigmas) / weight[..., None] * drawn[..., None]
    image = image.clip(0, 255)
    if scan.template_dots:
        x, y = pixel_positions(scan)
        for dot_x in np.arange(-30, 31, 5.0):
            for dot_y in np.arange(-70, -10, 5.0):
                near = np.hypot(x - dot_x, y - dot_y) < 0.7 * scan.spacing_mm[0]
                image[near & fan_mask(scan, beams)] = 220
    if scan.text:
        page = Image.new("L", scan.shape[:2])
        pen = ImageDraw.Draw(page)
        pen.text((2, 2), f"{rng.integers(5, 12)} MHz {rng.integers(50, 99)}%", fill=230)
        for mark in range(4, scan.shape[1], max(4, round(10 / scan.spacing_mm[1]))):
            pen.line((scan.shape[0] - 4, mark, scan.shape[0] - 1, mark), fill=200)
        marks = np.asarray(page).T
        outside = (marks > 0) & ~fan_mask(scan, beams)
        image[outside] = marks[outside][:, None]
    return np.rint(image).astype(np.uint8)
