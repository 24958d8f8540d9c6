"""A wider variety of phantoms for training: often a scanner or a patient that is never drawn otherwise."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from . import PhantomSettings, draw_settings
from .anatomy import Anatomy, resized
from .scanner import Scan
from .tissue import Tissue

UNCHANGED = 0.3  # share of seeds whose settings are those of draw_settings
CHANGED = 0.25  # chance of each change in the other seeds


def varied_settings(seed: int) -> PhantomSettings:
    """Draw the settings of a seed and move groups of them beyond their usual ranges.

    Three of ten seeds stay as they are. In the others, each of seven groups (edge, speckle, darkness, shadows,
    shape, brightness of the rim, fan) is moved with a chance of a quarter, so that four of ten stay in all.
    """
    drawn = draw_settings(seed)
    rng = np.random.default_rng((seed, 20261))
    if rng.random() < UNCHANGED:
        return drawn
    anatomy, tissue, scan = drawn.anatomy, drawn.tissue, drawn.scan
    chances = rng.random(7) < CHANGED
    if chances[0]:
        tissue = _faint(tissue, rng)
    if chances[1]:
        scan = _speckled(scan, rng)
    if chances[2]:
        tissue, scan = _dark(tissue, scan, rng)
    if chances[3]:
        tissue = _shadowed(tissue, rng)
    if chances[4]:
        anatomy = _odd(anatomy, rng)
    if chances[5]:
        tissue = _bright_rim(tissue, rng)
    if chances[6]:
        scan = _other_fan(scan, rng)
    return PhantomSettings(anatomy, tissue, scan)


def _faint(tissue: Tissue, rng: np.random.Generator) -> Tissue:
    """Let the gland be nearly as bright as its surroundings, with a faint rim."""
    return replace(
        tissue,
        gland_db=float(rng.uniform(-2.5, 2.5)),
        rim_db=float(rng.uniform(0.5, 6)),
        fat_db=float(rng.uniform(-2, 3)),
    )


def _speckled(scan: Scan, rng: np.random.Generator) -> Scan:
    """Set the coarse speckle of a low frequency, 1.6 to 2.5 times wider across the beam than along it."""
    axial = float(rng.uniform(0.3, 0.6))
    return replace(scan, axial_mm=axial, lateral_mm=axial * float(rng.uniform(1.6, 2.5)))


def _dark(tissue: Tissue, scan: Scan, rng: np.random.Generator) -> tuple[Tissue, Scan]:
    """Set a dark picture of small dynamic range, with noise just below the echoes."""
    scan = replace(scan, level=float(rng.uniform(0.02, 0.12)), dynamic_range_db=float(rng.uniform(30, 42)))
    return replace(tissue, noise_db=float(rng.uniform(-18, -7))), scan


def _shadowed(tissue: Tissue, rng: np.random.Generator) -> Tissue:
    """Set many losses of contact, shadows of calcifications and of the urethra, and loss at the sides."""
    return replace(
        tissue,
        contact_losses=int(rng.integers(2, 8)),
        calcifications=int(rng.integers(3, 12)),
        side_loss_db=float(rng.uniform(5, 30)),
        edge_shadow_db=float(rng.uniform(6, 20)),
        urethra_shadow_db=float(rng.uniform(5, 25)),
    )


def _odd(anatomy: Anatomy, rng: np.random.Generator) -> Anatomy:
    """Change bumps, asymmetry, and the ratio of width, height and length."""
    more = float(rng.uniform(1.5, 3.5))
    first, second, third, fourth = (more * bump for bump in anatomy.bumps)
    wider, longer = float(rng.uniform(0.8, 1.25)), float(rng.uniform(0.85, 1.2))
    odd = replace(anatomy, bumps=(first, second, third, fourth), asymmetry=more * anatomy.asymmetry)
    return resized(odd, width=wider, height=(wider * longer) ** -0.5, length=longer)


def _bright_rim(tissue: Tissue, rng: np.random.Generator) -> Tissue:
    """Let an outer rim of the gland be brighter than its core, as in real slices (1.1 to 2.7 times in gray)."""
    return replace(
        tissue,
        peripheral_db=float(rng.uniform(3, 9)),
        transition_db=float(rng.uniform(-7, -1)),
        transition_texture_db=float(rng.uniform(2, 4.5)),
    )


def _other_fan(scan: Scan, rng: np.random.Generator) -> Scan:
    """Turn the fan, open it to more than a half circle (with a higher picture), or cut it off; change the gamma."""
    if rng.random() < 0.6:
        opened = float(np.radians(rng.uniform(90, 125)))
        below = max(0.0, -np.cos(opened)) * (scan.depth_mm + 10)
        rows = min(200, scan.shape[1] + round(below / scan.spacing_mm[1]))
        lower = (rows - scan.shape[1]) * scan.spacing_mm[1]
        shape = (scan.shape[0], rows, scan.shape[2])
        scan = replace(scan, half_angle=opened, probe_gap_mm=scan.probe_gap_mm + lower, shape=shape)
    return replace(
        scan,
        roll=float(rng.normal(0, 0.15)),
        cut=(float(rng.uniform(-0.5, 0.5)), float(rng.uniform(0.75, 1.0))) if rng.random() < 0.3 else scan.cut,
        gamma=float(rng.uniform(0.6, 1.8)),
    )
