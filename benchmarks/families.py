"""Families of phantoms that the training never draws.

Each family moves a group of related properties beyond the range of the training. These ranges are defined in
prostate_seg/phantom/{anatomy,tissue,scanner}.py. All other properties and the textures are those of the seed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from prostate_seg.phantom import Phantom, PhantomSettings, draw_settings, make_phantom

Family = Callable[[PhantomSettings, np.random.Generator], PhantomSettings]


def _coarse(drawn: PhantomSettings, rng: np.random.Generator) -> PhantomSettings:
    """Set speckle of 0.4 to 0.6 by 1 to 1.6 mm. In training it is at most 0.3 by 0.75 mm."""
    scan = replace(drawn.scan, axial_mm=rng.uniform(0.4, 0.6), lateral_mm=rng.uniform(1, 1.6), blur_mm=0.0)
    return replace(drawn, scan=scan, tissue=replace(drawn.tissue, speckle_share=1.0))


def _faint(drawn: PhantomSettings, rng: np.random.Generator) -> PhantomSettings:
    """Set a gland within 1.5 dB of its surroundings, with a rim of 2 dB (in training at least 7 dB)."""
    tissue = replace(drawn.tissue, gland_db=rng.uniform(-1.5, 1.5), rim_db=2.0, fat_db=rng.uniform(-1, 1))
    return replace(drawn, tissue=tissue)


def _shadowed(drawn: PhantomSettings, rng: np.random.Generator) -> PhantomSettings:
    """Set 4 to 6 losses of contact, 6 to 9 calcifications, side loss of 22 to 28 dB, edge shadows of 12 to 18 dB.

    In training, there are on average 0.6 losses of contact and 1.5 calcifications. The side loss is at most 20 dB,
    the edge shadows at most 12 dB.
    """
    contact, spots = int(rng.integers(4, 7)), int(rng.integers(6, 10))
    tissue = replace(drawn.tissue, contact_losses=contact, calcifications=spots, side_loss_db=rng.uniform(22, 28))
    return replace(drawn, tissue=replace(tissue, edge_shadow_db=rng.uniform(12, 18)))


def _dark(drawn: PhantomSettings, rng: np.random.Generator) -> PhantomSettings:
    """Set a median gray of 0.03 to 0.07 of white, noise 8 to 12 dB below it, and a dynamic range of 33 to 38 dB.

    In training, these values are at least 0.08, 12 dB and 38 dB.
    """
    scan = replace(drawn.scan, level=rng.uniform(0.03, 0.07), dynamic_range_db=rng.uniform(33, 38))
    return replace(drawn, scan=scan, tissue=replace(drawn.tissue, noise_db=rng.uniform(-12, -8)))


def _odd(drawn: PhantomSettings, rng: np.random.Generator) -> PhantomSettings:
    """Triple bumps and asymmetry; make the gland wider and flatter, or narrower and higher, by 20 %."""
    anatomy, wider = drawn.anatomy, rng.choice([0.8, 1.2])
    first, second, third, fourth = (3 * bump for bump in anatomy.bumps)
    odd = replace(anatomy, bumps=(first, second, third, fourth), asymmetry=3 * anatomy.asymmetry)
    return replace(
        drawn, anatomy=replace(odd, width_mm=anatomy.width_mm * wider, height_mm=anatomy.height_mm / wider)
    )


FAMILIES: dict[str, Family] = {
    "as trained": lambda drawn, rng: drawn,
    "coarse speckle": _coarse,
    "faint edge": _faint,
    "shadows, lost contact": _shadowed,
    "dark and noisy": _dark,
    "odd shapes": _odd,
}


def phantom_of(family: str, seed: int) -> Phantom:
    """Make the phantom of a seed, changed by a family."""
    rng = np.random.default_rng((seed, 777))
    return make_phantom(seed, settings=FAMILIES[family](draw_settings(seed), rng))
