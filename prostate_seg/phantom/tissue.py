"""Echo strengths of a phantom's tissues, and disturbances of the beams: decibels drawn from the seed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Tissue:
    """Echo levels in dB relative to the tissue around the gland, lengths in mm, and counts.

    Attributes
    ----------
    side_loss_db
        Loss at both sides of the fan; it falls to 0 in the middle.
    pubic_mm
        Distance from the gland's anterior surface to the pubic arch.
    urethra_kind
        ``none``, ``gel`` (bright) or ``foley`` (bright double wall, black lumen).

    See Also
    --------
    draw_tissue
    """

    gland_db: float
    peripheral_db: float
    transition_db: float
    peripheral_texture_db: float
    transition_texture_db: float
    edge_mm: float
    rim_db: float
    rim_mm: float
    rim_power: float
    surgical_capsule_db: float
    fat_db: float
    fat_mm: float
    muscle_db: float
    streak_db: float
    patches_db: float
    sphincter_db: float
    vesicle_db: float
    bladder_db: float
    wall_db: float
    wall_layers: float
    urethra_kind: str
    urethra_shadow_db: float
    pubic_mm: float
    nodules: int
    cysts: int
    calcifications: int
    bundles: int
    needles: int
    contact_losses: int
    attenuation_db_per_mm: float
    time_gain_db: float
    noise_db: float
    side_loss_db: float
    glow_db: float
    glow_mm: float
    ring_db: float
    ring_mm: float
    edge_shadow_db: float
    speckle_share: float


def draw_tissue(rng: np.random.Generator) -> Tissue:
    """Draw the tissues of a phantom.

    Compared with the surrounding tissue, the gland is darker (50 %), about equally bright (28 %) or brighter (22
    %).
    """
    gland = rng.choice([rng.uniform(-11, -3), rng.uniform(2.5, 7), rng.uniform(-3, 2.5)], p=[0.5, 0.22, 0.28])
    rim = rng.uniform(2, 17) if abs(gland) > 3 else rng.uniform(7, 17)
    return Tissue(
        gland_db=float(gland),
        peripheral_db=float(rng.uniform(-1, 5)),
        transition_db=float(rng.uniform(-5, 1)),
        peripheral_texture_db=float(rng.uniform(0.3, 1.6)),
        transition_texture_db=float(rng.uniform(0.5, 3.2)),
        edge_mm=float(rng.uniform(0.2, 2.0)),
        rim_db=float(rim),
        rim_mm=float(rng.uniform(0.5, 1.6)),
        rim_power=float(rng.uniform(0.3, 2.0)),
        surgical_capsule_db=float(rng.choice([0.0, rng.uniform(1, 6)])),
        fat_db=float(rng.choice([rng.uniform(-2, 3), rng.uniform(3, 13)])),
        fat_mm=float(rng.uniform(2.5, 12)),
        muscle_db=float(rng.uniform(-18, -1)),
        streak_db=float(rng.uniform(0.5, 4)),
        patches_db=float(rng.uniform(1.5, 4.5)),
        sphincter_db=float(rng.uniform(0, 10)),
        vesicle_db=float(rng.uniform(-16, -4)),
        bladder_db=float(rng.uniform(-40, -14)),
        wall_db=float(rng.uniform(-5, 7)),
        wall_layers=float(rng.uniform(0.7, 2.5)),
        urethra_kind=str(rng.choice(["none", "gel", "foley"], p=[0.6, 0.2, 0.2])),
        urethra_shadow_db=float(rng.choice([0.0, rng.uniform(1, 18)], p=[0.4, 0.6])),
        pubic_mm=float(rng.choice([200.0, rng.uniform(2, 16)], p=[0.65, 0.35])),
        nodules=int(rng.poisson(2.5)),
        cysts=int(rng.poisson(0.5)),
        calcifications=int(rng.poisson(1.5)),
        bundles=int(rng.poisson(4)),
        needles=int(rng.integers(1, 14) if rng.random() < 0.12 else 0),
        contact_losses=int(rng.poisson(0.6)),
        attenuation_db_per_mm=float(rng.choice([rng.uniform(-0.05, 0.25), rng.uniform(0.25, 0.75)])),
        time_gain_db=float(rng.uniform(0, 3.5)),
        noise_db=float(rng.choice([-60.0, rng.uniform(-40, -12)])),
        side_loss_db=float(rng.choice([rng.uniform(0, 4), rng.uniform(4, 20)])),
        glow_db=float(rng.uniform(0, 17)),
        glow_mm=float(rng.uniform(2, 12)),
        ring_db=float(rng.choice([0.0, rng.uniform(0, 9)])),
        ring_mm=float(rng.uniform(1.5, 4.5)),
        edge_shadow_db=float(rng.choice([0.0, rng.uniform(2, 12)])),
        speckle_share=float(rng.uniform(0.4, 1.0)),
    )
