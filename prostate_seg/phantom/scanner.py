"""Conversion of beams to pictures: fan, compression, gain, scan conversion, and marks on the screen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage

from ..errors import SettingsError
from ..geometry.volume import Array
from .anatomy import Anatomy, gland
from .beams import Beams


@dataclass(frozen=True)
class Scan:
    """Settings of a scanner; see :func:`draw_scan`.

    Lengths are in mm. Angles are in radians from the anterior.

    Attributes
    ----------
    roll
        Direction of the fan's middle, positive to the left. The anatomy in the picture does not move with it.
    level
        Gray value, in [0, 1] before gamma, of the fan's median echo.
    smear_mm
        Smoothing by the scanner along and across the beams.
    blur_mm
        Standard deviation of the Gaussian low-pass, 0 to 2.4.
    cut
        Slope and relative height of an oblique line that cuts off the fan; None if there is no cut.
    sector
        Part of the fan that is shown, as shares of its angle.
    soft_edge
        Whether the low-pass also blurs the border of the fan. Otherwise the outside of the fan is black.
    """

    spacing_mm: tuple[float, float, float]
    shape: tuple[int, int, int]
    first_z_mm: float
    shift_mm: float
    depth_mm: float
    half_angle: float
    roll: float
    probe_gap_mm: float
    dynamic_range_db: float
    level: float
    gamma: float
    axial_mm: float
    lateral_mm: float
    elevation_mm: float
    smear_mm: float
    blur_mm: float
    cut: tuple[float, float] | None
    sector: tuple[float, float]
    soft_edge: bool
    border: bool
    template_dots: bool
    text: bool


def draw_scan(
    rng: np.random.Generator,
    anatomy: Anatomy,
    *,
    shape: tuple[int, int, int] | None = None,
    spacing_mm: tuple[float, float, float] | None = None,
    kind: str = "random",
) -> Scan:
    """Draw a scanner for a patient: a stepper (1 to 5 mm steps) or an isotropic volume; see make_phantom.

    In about three of four cases the fan contains the whole widest slice of the gland. In the others it contains
    nearly all of this slice. Raise SettingsError for an unknown kind.
    """
    if kind not in {"random", "side-fire", "isotropic"}:
        raise SettingsError(f"A phantom's kind is 'random', 'side-fire' or 'isotropic', got {kind!r}.")
    isotropic = rng.random() < 0.4 if kind == "random" else kind == "isotropic"
    low_pass = bool(rng.random() < (0.6 if isotropic else 0.2))
    roll = float(rng.normal(0, 0.05) if rng.random() < 0.85 else rng.normal(0, 0.2))
    half_angle, depth = _fan(rng, anatomy, roll)
    spacing = _spacing(rng, isotropic, low_pass) if spacing_mm is None else spacing_mm
    before, after = (rng.uniform(2, 14) if rng.random() < 0.93 else rng.uniform(-5, 2) for _ in range(2))
    reach = anatomy.probe_radius_mm + depth
    gap = float(rng.uniform(-5, 4))
    if shape is None:
        width = 2 * reach * np.sin(min(half_angle + abs(roll), np.pi / 2)) * rng.uniform(0.9, 1.05)
        wanted = width / spacing[0], (reach + gap) * rng.uniform(0.93, 1.06) / spacing[1]
        slices = (anatomy.length_mm + before + after) / spacing[2]
        shape = min(240, round(wanted[0])), min(200, round(wanted[1])), min(80, max(5, round(slices)))
    return Scan(
        spacing_mm=spacing,
        shape=shape,
        first_z_mm=float(-(shape[2] - 1) * spacing[2] / 2 + (after - before) / 2),
        shift_mm=float(rng.normal(0, 1.5)),
        depth_mm=depth,
        half_angle=half_angle,
        roll=roll,
        probe_gap_mm=gap,
        dynamic_range_db=float(rng.uniform(38, 65)),
        level=float(rng.choice([rng.uniform(0.3, 0.6), rng.uniform(0.08, 0.85)], p=[0.65, 0.35])),
        gamma=float(rng.uniform(0.75, 1.5)),
        axial_mm=float(rng.uniform(0.15, 0.3)),
        lateral_mm=float(rng.uniform(0.3, 0.75)),
        elevation_mm=float(rng.uniform(0.5, 1.5)),
        smear_mm=float(rng.choice([0.0, rng.uniform(0.2, 0.8)])),
        blur_mm=float(rng.uniform(0.8, 2.4)) if low_pass else float(rng.uniform(0, 0.4)),
        cut=(float(rng.uniform(-0.5, 0.5)), float(rng.uniform(0.8, 1.0))) if rng.random() < 0.15 else None,
        sector=(0.0, 1.0) if rng.random() < 0.92 else (float(rng.uniform(0, 0.15)), float(rng.uniform(0.85, 1))),
        soft_edge=low_pass and bool(rng.random() < 0.5),
        border=bool(rng.random() < 0.15),
        template_dots=bool(rng.random() < 0.25) and spacing[0] < 0.7,
        text=bool(rng.random() < 0.35),
    )


def _fan(rng: np.random.Generator, anatomy: Anatomy, roll: float) -> tuple[float, float]:
    """Return half the opening angle in radians, from the fan's middle, and the depth in mm."""
    radius = np.arange(anatomy.probe_radius_mm, 100, 1.0)[:, None]
    angle = np.radians(np.arange(-110, 111, 2.0))[None]
    z = np.float32(0.5 * anatomy.widest_at * anatomy.length_mm)
    found = gland(anatomy, radius * np.sin(angle), -radius * np.cos(angle), z) < 1
    half_angle, depth = np.radians(rng.uniform(48, 88)), rng.uniform(45, 75)
    if found.any():
        wide = np.abs(angle[0][found.any(0)] - roll).max()
        half_angle = max(half_angle, wide + (rng.uniform(0, 0.2) if rng.random() < 0.85 else -0.25 * rng.random()))
        far = radius[found.any(1)].max() - anatomy.probe_radius_mm
        depth = max(depth, far + (rng.uniform(0, 12) if rng.random() < 0.9 else -0.1 * far * rng.random()))
    return float(min(half_angle, np.radians(100))), float(depth)


def _spacing(rng: np.random.Generator, isotropic: bool, low_pass: bool) -> tuple[float, float, float]:
    if isotropic:
        pixel = float(rng.uniform(0.7, 1.6) if low_pass else rng.uniform(0.5, 1.1))
        return pixel, pixel, pixel
    pixel = float(rng.uniform(0.3, 0.65))
    return pixel, pixel, float(rng.choice([1, 1.5, 2, 3, 4, 5, 5]))


def beams_of(scan: Scan, probe_radius_mm: float) -> Beams:
    """Return the polar grid that covers a scan's fan, with about 1.5 points for each pixel.

    The step along the beam is 0.2 to 0.5 mm.
    """
    fine = float(np.clip(scan.spacing_mm[0] / 1.5, 0.2, 0.5 if scan.blur_mm > 0.6 else 0.32))
    radius = np.arange(probe_radius_mm, probe_radius_mm + scan.depth_mm, fine)
    angle = scan.roll + np.arange(-scan.half_angle, scan.half_angle, max(fine, 0.25) * 1.6 / 35)
    z = scan.first_z_mm + scan.spacing_mm[2] * np.arange(scan.shape[2])
    return Beams(radius.astype(np.float32), angle.astype(np.float32), z.astype(np.float32))


def pixel_positions(scan: Scan) -> tuple[Array, Array]:
    """Return x (I, 1) and y (1, J) of the pixels in mm.

    The probe's axis lies near the lower edge of the picture.
    """
    i, j, _ = scan.shape
    x = (np.arange(i) - (i - 1) / 2) * scan.spacing_mm[0] + scan.shift_mm
    y = (np.arange(j) - (j - 1)) * scan.spacing_mm[1] + scan.probe_gap_mm
    return x[:, None].astype(np.float32), y[None].astype(np.float32)


def fan_mask(scan: Scan, beams: Beams) -> Array:
    """Return the pixels that the fan covers, bool (I, J)."""
    x, y = pixel_positions(scan)
    radius, angle = np.hypot(x, y), np.arctan2(x, -y)
    share = (angle - beams.angle[0]) / (beams.angle[-1] - beams.angle[0])
    drawn = (radius >= beams.radius_mm[0]) & (radius <= beams.radius_mm[-1])
    drawn &= (share >= scan.sector[0]) & (share <= scan.sector[1])
    if scan.cut is not None:
        slope, height = scan.cut
        drawn &= -y + slope * x < height * beams.radius_mm[-1]
    return drawn


def converter(scan: Scan, beams: Beams) -> tuple[Array, Array]:
    """Return the data for scan conversion.

    Returns
    -------
    indices
        (2, N), fractional indices into (radius, angle) of the pixels in the fan.
    fan
        Bool (I, J), the pixels in the fan.
    """
    x, y = pixel_positions(scan)
    drawn = fan_mask(scan, beams)
    r = (np.hypot(x, y) - beams.radius_mm[0]) / (beams.radius_mm[1] - beams.radius_mm[0])
    a = (np.arctan2(x, -y) - beams.angle[0]) / (beams.angle[1] - beams.angle[0])
    return np.stack([r[drawn], a[drawn]]), drawn


def compressed(scan: Scan, decibel: Array, middle_db: float) -> Array:
    """Return log-compressed echoes as gray levels from 0 to 255.

    The gray levels span the scan's dynamic range. An echo of ``middle_db`` has the gray level ``scan.level``,
    before gamma.
    """
    gray = np.clip((decibel - np.float32(middle_db)) / scan.dynamic_range_db + scan.level, 0, 1)
    return gray ** np.float32(scan.gamma) * np.float32(255)


def finish(rng: np.random.Generator, scan: Scan, drawn: Array, image: Array) -> Array:
    """Return the finished picture, uint8 (I, J, K), after the low-pass and with marks.

    The marks are the border and the template dots in the fan, and a text and a ruler outside the fan.
    """
    if scan.blur_mm > 0.1:
        sigmas = [scan.blur_mm / s for s in scan.spacing_mm]
        weight = ndimage.gaussian_filter(drawn.astype(np.float32), sigmas[:2], mode="constant").clip(1e-3)
        for axis, sigma in enumerate(sigmas):
            mode = "nearest" if axis == 2 else "constant"
            image = ndimage.gaussian_filter1d(image, sigma, axis, mode=mode) if sigma > 0.3 else image
        if not scan.soft_edge:
            image = image / weight[..., None] * drawn[..., None]
    image = image.clip(0, 255)
    if scan.border:
        image[drawn & ~ndimage.binary_erosion(drawn, border_value=1)] = rng.uniform(120, 255)
    if scan.template_dots:
        x, y = pixel_positions(scan)
        off_x, off_y = (np.abs((part + 2.5) % 5.0 - 2.5) for part in (x, y))
        dots = (np.hypot(off_x, off_y) < 0.7 * scan.spacing_mm[0]) & (np.abs(x) < 32) & (y < -12) & (y > -72)
        image[dots & drawn] = rng.uniform(140, 255)
    if scan.text:
        marks = _marks(rng, scan)
        outside = (marks > 0) & ~drawn
        image[outside] = marks[outside][:, None]
    return np.rint(image).astype(np.uint8)


def _marks(rng: np.random.Generator, scan: Scan) -> Array:
    """Return a line of text and a ruler with 10 mm marks, uint8 (I, J)."""
    page = Image.new("L", scan.shape[:2])
    pen = ImageDraw.Draw(page)
    pen.text((2, 2), f"{rng.integers(5, 12)} MHz {rng.integers(50, 99)}%", fill=230)
    for mark in range(4, scan.shape[1], max(4, round(10 / scan.spacing_mm[1]))):
        pen.line((scan.shape[0] - 4, mark, scan.shape[0] - 1, mark), fill=200)
    return np.asarray(page).T
