"""Maps of the cross-sections of needles and seeds, exact, and what is found in them."""

import numpy as np
import torch
from monai.data import MetaTensor

from prostate_seg.geometry.things import Thing
from prostate_seg.inference.grouping import things_in
from prostate_seg.training import SectionMapsd

NAMES = ("Needle", "Seed", "Calcification")
REVERSED = np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, -1, 39], [0, 0, 0, 1.0]])  # 40 slices in the other order


def affine_of(step=2.0, pixel=0.6):
    """Columns to the left, rows to the posterior, slices to the superior, as in a phantom."""
    affine = np.diag([-pixel, -pixel, step, 1.0])
    affine[:3, 3] = (30.0, 25.0, -40.0)
    return affine


def image_of(affine, shape=(100, 80, 40)):
    return MetaTensor(torch.zeros(1, *shape), affine=torch.as_tensor(affine))


def maps_of(*things, affine=None, shape=(100, 80, 40)):
    affine = affine_of() if affine is None else affine
    return SectionMapsd("image", NAMES)({"image": image_of(affine, shape), "things": things})["label"]


def found_in(*things, affine=None, shape=(100, 80, 40), without=()):
    maps = maps_of(*things, affine=affine, shape=shape).numpy()
    maps[..., list(without)] = 0
    return things_in(maps, affine_of() if affine is None else affine, NAMES)


def needle(x=0.0, y=0.0, tip=5.0, lean=0.0):
    return Thing("Needle", (x, y, -40.0), (x + lean * (tip + 40.0), y, tip), 0.65)


def seed(x=0.0, y=0.0, z=0.0):
    return Thing("Seed", (x, y, z - 2.25), (x, y, z + 2.25), 0.4)
