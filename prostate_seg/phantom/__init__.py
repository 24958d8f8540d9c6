"""Synthetic ultrasound with exact masks.

The anatomy is a set of implicit surfaces (:mod:`.anatomy`) with echo levels (:mod:`.tissue`). Images are formed in
beam space with speckle, attenuation and shadows (:mod:`.acoustics`, :mod:`.beams`, :mod:`.spots`), and then
converted to the screen by a scanner (:mod:`.scanner`). Every property is drawn from the seed. The same seed and
the same library versions give the same bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

from ..errors import SettingsError
from ..geometry.source import Source
from ..geometry.things import Thing
from ..geometry.volume import Array, Segmentation, Volume, affine_from_lps
from .acoustics import Scene
from .anatomy import Anatomy, bladder, draw_anatomy, gland, rectal_wall, urethra, vesicles
from .beams import speckle
from .implants import Implant, Piece, draw_implants
from .scanner import Scan, beams_of, compressed, converter, draw_scan, finish, pixel_positions
from .spots import Spot
from .tissue import Tissue, draw_tissue

__all__ = [
    "Anatomy",
    "Phantom",
    "PhantomSettings",
    "Scan",
    "Tissue",
    "draw_settings",
    "make_phantom",
    "with_implants",
    "without_prostate",
]


@dataclass(frozen=True)
class PhantomSettings:
    """All properties that are drawn from a seed, except the random textures.

    Use ``dataclasses.replace`` to set single properties.
    """

    anatomy: Anatomy
    tissue: Tissue
    scan: Scan
    implants: tuple[Implant, ...] = ()


@dataclass(frozen=True, eq=False)
class Phantom:
    """A synthetic image with its exact masks.

    Attributes
    ----------
    image
        uint8 (I, J, K): i to the left, j to the posterior, k to the superior.
    truth
        Label map on the image's grid; label 1 is the CTV.
    structures
        Masks by name, bool (I, J, K): ctv, peripheral_zone, transition_zone, urethra, bladder, seminal_vesicles
        and rectal_wall. The two zones together are the ctv; the urethra runs through the ctv. The masks also
        continue outside the ultrasound fan.
    settings
        Settings from which the image was made.
    things
        Needles, seeds and calcifications in RAS mm, cut off at the first and last slice.
    """

    image: Volume
    truth: Segmentation
    structures: dict[str, Array]
    settings: PhantomSettings
    things: tuple[Thing, ...] = ()


def draw_settings(
    seed: int,
    *,
    shape: tuple[int, int, int] | None = None,
    spacing_mm: tuple[float, float, float] | None = None,
    kind: str = "random",
    volume_ml: float | None = None,
) -> PhantomSettings:
    """Draw a patient and a scanner from a seed; the parameters are those of :func:`make_phantom`."""
    if volume_ml is not None and not 14 <= volume_ml <= 130:
        raise SettingsError(f"A phantom's gland has 14 to 130 mL, got volume_ml={volume_ml}.")
    if (shape is not None and min(shape) < 1) or (spacing_mm is not None and not min(spacing_mm) > 0):
        raise SettingsError(f"A phantom's shape and spacing are positive, got {shape} voxels of {spacing_mm} mm.")
    streams = _streams(seed)
    anatomy = draw_anatomy(streams[0], volume_ml)
    scan = draw_scan(streams[1], anatomy, shape=shape, spacing_mm=spacing_mm, kind=kind)
    return PhantomSettings(anatomy, draw_tissue(streams[2]), scan)


def make_phantom(
    seed: int,
    *,
    shape: tuple[int, int, int] | None = None,
    spacing_mm: tuple[float, float, float] | None = None,
    kind: str = "random",
    volume_ml: float | None = None,
    settings: PhantomSettings | None = None,
) -> Phantom:
    """Make the phantom of a seed.

    Parameters
    ----------
    seed
        Seed of all random numbers.
    shape
        Number of voxels (I, J, K), instead of a drawn one.
    spacing_mm
        Voxel spacing along i, j, k, instead of a drawn one.
    kind
        ``side-fire`` (slices of a stepper, 1 to 5 mm apart), ``isotropic`` (a 3D volume with voxels of 0.5 to 1.6
        mm) or ``random``.
    volume_ml
        Volume of the gland, 14 to 130 mL, instead of a drawn one.
    settings
        Settings that replace all of the above; the seed then gives only the textures, the marks and the pose.

    Raises
    ------
    SettingsError
        A value is out of range.
    """
    if settings is None:
        settings = draw_settings(seed, shape=shape, spacing_mm=spacing_mm, kind=kind, volume_ml=volume_ml)
    texture, marks = _streams(seed)[3:]
    affine = _affine(marks, settings.scan)
    image, spots = _render(texture, marks, settings)
    structures = _structures(settings.anatomy, settings.scan)
    truth = Segmentation(structures["ctv"].astype(np.uint8), affine)
    counted = [one.piece for one in spots if one.structure]
    things = _things((*settings.implants, *counted), settings.scan, affine)
    return Phantom(Volume(image, affine, source=Source("phantom")), truth, structures, settings, things)


def with_implants(seed: int, *, needles: int | None = None, seeds: int | None = None) -> PhantomSettings:
    """Return the settings of a seed with implants: the numbers given, or 1 to 25 needles, 60 to 120 seeds, or both.

    A small gland has no room for so many. The needles that a usual phantom may have, which no truth names, are left
    out. So is the low-pass of volumes that were published as such: implants are seen by a scanner, with at most
    0.4 mm of blur.
    """
    rng = np.random.default_rng((seed, 20262))
    drawn = draw_settings(seed)
    kind = rng.integers(3)
    counts = (int(rng.integers(1, 26)), int(rng.integers(60, 121)))
    given = needles is not None or seeds is not None
    several = (needles or 0) if given else counts[0] * int(kind != 1)
    many = (seeds or 0) if given else counts[1] * int(kind != 0)
    implants = draw_implants(rng, drawn.anatomy, needles=several, seeds=many)
    scan = replace(drawn.scan, blur_mm=min(drawn.scan.blur_mm, 0.4))
    return PhantomSettings(drawn.anatomy, replace(drawn.tissue, needles=0), scan, implants)


def _things(pieces: Sequence[Piece], scan: Scan, affine: Array) -> tuple[Thing, ...]:
    """Return the pieces in RAS mm, cut off at the first and last slice.

    A seed or a calcification of less than half is left out.
    """
    found = []
    x, y = pixel_positions(scan)
    corner = np.array([x[0, 0], y[0, 0], scan.first_z_mm])
    last = scan.first_z_mm + scan.spacing_mm[2] * (scan.shape[2] - 1)
    for one in pieces:
        ends = np.array([one.start, one.end], float)
        share = np.clip((np.array([scan.first_z_mm, last]) - ends[0, 2]) / (ends[1, 2] - ends[0, 2]), 0, 1)
        if share[0] >= share[1] or (one.structure != "Needle" and share[1] - share[0] < 0.5):
            continue
        cut = ends[0] + share[:, None] * (ends[1] - ends[0])
        index = (cut - corner) / np.array(scan.spacing_mm)
        start, end = (tuple(map(float, at)) for at in index @ affine[:3, :3].T + affine[:3, 3])
        found.append(Thing(one.structure, start, end, one.radius_mm))  # type: ignore[arg-type]
    return tuple(found)


def without_prostate(seed: int) -> PhantomSettings:
    """Return the settings of a seed with a gland of only 1 mm.

    Bladder, urethra and rectum are still there.
    """
    drawn = draw_settings(seed)
    return replace(drawn, anatomy=replace(drawn.anatomy, width_mm=1.0, height_mm=1.0, length_mm=1.0))


def _streams(seed: int) -> list[np.random.Generator]:
    """Return independent random streams for: anatomy; scan; tissue; texture; marks and pose."""
    return [np.random.default_rng(child) for child in np.random.SeedSequence((seed, 20260)).spawn(5)]


def _render(
    texture: np.random.Generator, marks: np.random.Generator, settings: PhantomSettings
) -> tuple[Array, list[Spot]]:
    """Return the image, uint8 (I, J, K), computed slice by slice, and the spots in it."""
    scan, tissue = settings.scan, settings.tissue
    beams = beams_of(scan, settings.anatomy.probe_radius_mm)
    scene = Scene(texture, settings.anatomy, tissue, beams, implants=settings.implants)
    at, drawn = converter(scan, beams)
    echoes = [scene.slice_db(float(z)) for z in beams.z_mm]
    middle_db = float(np.median(np.stack([echo[::4, ::4] for echo in echoes])))
    floor = np.float32(10 ** ((middle_db + tissue.noise_db) / 10))
    waves = speckle(
        texture,
        beams,
        axial_mm=scan.axial_mm,
        lateral_mm=scan.lateral_mm,
        elevation_mm=scan.elevation_mm,
    )
    image = np.zeros(scan.shape, np.float32)
    smear = scan.smear_mm / float(beams.radius_mm[1] - beams.radius_mm[0])
    for k, (echo, wave) in enumerate(zip(echoes, waves, strict=True)):
        speckled = (wave + np.float32(1e-4)) ** np.float32(tissue.speckle_share)
        mirrored = scene.reflected_share(float(beams.z_mm[k]))
        power = 10 ** (echo / 10) * (speckled if mirrored is None else speckled + mirrored)
        noise = texture.standard_exponential(beams.shape, dtype=np.float32)
        decibel = 10 * np.log10(power + floor * noise + np.float32(1e-9))
        gray = compressed(scan, decibel, middle_db)
        if smear > 0.3:
            gray = ndimage.gaussian_filter(gray, (0.5 * smear, smear), mode="nearest", truncate=2.5)
        image[drawn, k] = ndimage.map_coordinates(gray, at, order=1, mode="nearest")
    return finish(marks, scan, drawn, image), scene.spots


def _structures(anatomy: Anatomy, scan: Scan) -> dict[str, Array]:
    x, y = (part[..., None] for part in pixel_positions(scan))
    z = (scan.first_z_mm + scan.spacing_mm[2] * np.arange(scan.shape[2], dtype=np.float32))[None, None]
    ctv = gland(anatomy, x, y, z) < 1
    share = anatomy.transition_share ** (1 / 3)
    transition = ctv & (gland(anatomy, x, y, z, scale=share, lift_mm=0.10 * anatomy.height_mm) < 1)
    tubes = (vesicles(anatomy, x, y, z) < 1) & ~ctv
    return {
        "ctv": ctv,
        "peripheral_zone": ctv & ~transition,
        "transition_zone": transition,
        "urethra": ctv & (urethra(anatomy, x, y, z) < 1),
        "bladder": (bladder(anatomy, x, y, z) < 1) & ~ctv & ~tubes,
        "seminal_vesicles": tubes,
        "rectal_wall": np.broadcast_to(rectal_wall(anatomy, x, y) < 1, ctv.shape) & ~ctv & ~tubes,
    }


def _affine(rng: np.random.Generator, scan: Scan) -> Array:
    """Return the affine of a slightly rotated probe at a random origin.

    Before the rotation, columns run to the left, rows to the posterior, and slices to the superior.
    """
    a, b, c = rng.normal(0, 0.06, 3)
    turn_x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    turn_y = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    turn_z = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    return affine_from_lps(turn_x @ turn_y @ turn_z, np.array(scan.spacing_mm), rng.uniform(-60, 60, 3).round(2))
