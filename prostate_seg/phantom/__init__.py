"""Transrectal ultrasound phantoms from a seed, with exact masks: physics enough to look like a prostate.

Anatomy is a set of implicit surfaces (:mod:`.anatomy`), images are formed in beam space with speckle,
attenuation and shadows (:mod:`.acoustics`) and brought to the screen by a scanner (:mod:`.scanner`). Every
property is drawn from the seed; the same seed and versions give the same bytes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..volume import Array, Segmentation, Source, Volume, affine_from_lps
from .acoustics import Beams, echo_db, loss_db, near_field_db, speckle
from .anatomy import Anatomy, bladder, draw_anatomy, gland, rectal_wall, urethra, vesicles
from .scanner import Scan, beams_of, display, draw_scan, finish, pixel_positions, scan_convert

__all__ = ["Anatomy", "Beams", "Phantom", "Scan", "make_phantom"]


@dataclass(frozen=True, eq=False)
class Phantom:
    """image: uint8 (I, J, K), i to the left, j to the posterior, k to the superior. truth: label 1 is the CTV.

    structures: bool (I, J, K) by name: ctv, peripheral_zone, transition_zone, urethra, bladder,
    seminal_vesicles, rectum. The zones part the ctv; the urethra runs through it.
    """

    image: Volume
    truth: Segmentation
    structures: dict[str, Array]
    anatomy: Anatomy
    scan: Scan


def make_phantom(
    seed: int,
    *,
    shape: tuple[int, int, int] | None = None,
    spacing_mm: tuple[float, float, float] | None = None,
    kind: str = "random",
    volume_ml: float | None = None,
) -> Phantom:
    """Make the phantom of a seed.

    kind: ``side-fire`` (a stepper's slices, 1 to 5 mm apart), ``isotropic`` (a 3D volume of 0.5 to 1.6 mm
    voxels) or ``random``. shape (voxels), spacing_mm and volume_ml (of the gland, 14 to 130) replace what
    the seed would draw.
    """
    streams = [np.random.default_rng(child) for child in np.random.SeedSequence((seed, 20260)).spawn(4)]
    anatomy = draw_anatomy(streams[0], volume_ml)
    scan = draw_scan(streams[1], anatomy.length_mm, shape=shape, spacing_mm=spacing_mm, kind=kind)
    beams = beams_of(scan, anatomy.probe_radius_mm)
    rng = streams[2]
    decibel = echo_db(rng, anatomy, beams) - loss_db(rng, anatomy, beams) + near_field_db(rng, beams)
    decibel += speckle(rng, beams, scan.lateral_mm, scan.elevation_mm)
    image = finish(streams[3], scan, beams, scan_convert(scan, beams, display(scan, beams, decibel)))
    affine = _affine(streams[3], scan)
    structures = _structures(anatomy, scan)
    truth = Segmentation(structures["ctv"].astype(np.uint8), affine)
    return Phantom(Volume(image, affine, source=Source("phantom")), truth, structures, anatomy, scan)


def _structures(anatomy: Anatomy, scan: Scan) -> dict[str, Array]:
    x, y = (part[..., None] for part in pixel_positions(scan))
    z = (scan.first_z_mm + scan.spacing_mm[2] * np.arange(scan.shape[2], dtype=np.float32))[None, None]
    ctv = gland(anatomy, x, y, z) < 1
    share = anatomy.transition_share ** (1 / 3)
    transition = ctv & (gland(anatomy, x, y, z, scale=share, lift_mm=0.10 * anatomy.height_mm) < 1)
    return {
        "ctv": ctv,
        "peripheral_zone": ctv & ~transition,
        "transition_zone": transition,
        "urethra": ctv & (urethra(anatomy, x, y, z) < 1),
        "bladder": (bladder(anatomy, x, y, z) < 1) & ~ctv,
        "seminal_vesicles": (vesicles(anatomy, x, y, z) < 1) & ~ctv,
        "rectum": np.broadcast_to(rectal_wall(anatomy, x, y) < 1, ctv.shape) & ~ctv,
    }


def _affine(rng: np.random.Generator, scan: Scan) -> Array:
    """A probe that is turned a little: columns to the left, rows to the posterior, slices to the superior."""
    a, b, c = rng.normal(0, 0.06, 3)
    turn_x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    turn_y = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    turn_z = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    return affine_from_lps(turn_x @ turn_y @ turn_z, np.array(scan.spacing_mm), rng.uniform(-60, 60, 3).round(2))
