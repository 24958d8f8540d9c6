"""The paired test data of DeepReg: 27 low-passed volumes of 1.6 mm with the gland.

``train`` and ``test`` hold ``fixed_images/caseNNNNNN.nii.gz`` (ultrasound) and ``fixed_labels/caseNNNNNN.nii.gz``,
whose fourth axis, if there is one, counts masks, the gland first. The header's spacing of 0.4 mm is wrong: glands
would have 1/64 of their volume. Its directions are wrong, too: the axes as stored run to posterior, left and
superior, of which left is assumed, because a volume does not tell left from right. They are put in the order left,
posterior, superior.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from ...errors import GeometryError, InputError
from ...geometry.structures import CTV
from ...geometry.volume import Array, volume_ml
from ...system.input_files import stem
from ..found_cases import Found, Loaded
from .origin import (
    Origin,
    affine_of,
    binary,
    check_axes,
    check_same_grid,
    files_in,
    nifti_item,
    paired,
    read_grid,
    read_image,
    subsets,
    unknown_layout,
)

SHAPE = (44, 59, 41)
AXES, SPACING_MM, WRONG_MM = "PLS", 1.6, 0.4
SMALLEST_ML, LARGEST_ML = 10.0, 300.0


def find(folders: Sequence[Path], origin: Origin, axes: str) -> Found:
    """Return the cases of the set; parameters and errors as for :func:`.public_sets.find_items`."""
    check_axes(axes)
    files = files_in(folders)
    items, left, taken, images = [], [], set[str](), set[str]()
    for subset in subsets(files, "fixed_images", "fixed_labels", lambda file: stem(file.name)):
        pairs, alone = paired(subset, taken, (origin.name + "-{}").format)
        left += alone
        images |= {origin.key(f"{origin.name}-{case}") for case in subset.images}
        items += [
            nifti_item(
                origin, f"{origin.name}-{case}", pair, partial(_loaded, *pair, axes), settings={"axes": axes}
            )
            for case, pair in pairs.items()
        ]
    if not items and not left:
        raise unknown_layout(origin, "train/fixed_images and train/fixed_labels with equal names", files)
    return Found(tuple(items), tuple(left), f"public set {origin.name}", frozenset(images))


def _loaded(image_file: Path, mask_file: Path, axes: str) -> Loaded:
    image, masks = read_image(image_file), read_grid(mask_file)
    if image.array.shape != SHAPE:
        raise GeometryError(f"{image_file.name} has shape {image.array.shape}, expected {SHAPE}")
    _check_known(image.affine)
    check_same_grid(image, masks, mask_file.name)
    if masks.array.ndim not in (3, 4):
        raise InputError(f"{mask_file.name} has {masks.array.ndim} axes, expected 3 or 4")
    gland = binary(masks.array.reshape((*SHAPE, -1))[..., 0], f"the first mask of {mask_file.name}")
    stored = axes or AXES
    affine = affine_of(stored[1] + stored[0] + stored[2], (SPACING_MM,) * 3)
    volume = volume_ml(gland, affine)
    if not SMALLEST_ML <= volume <= LARGEST_ML:
        raise GeometryError(f"a gland of {volume:.1f} mL, expected {SMALLEST_ML:g} to {LARGEST_ML:g} mL")
    parts = [image.array, np.ones(SHAPE, bool) if image.field_of_view is None else image.field_of_view, gland]
    array, seen, mask = (part.transpose(1, 0, 2) for part in parts)  # left, posterior, superior
    turned = replace(image, array=array, affine=affine, orientation="assumed", field_of_view=seen)
    return Loaded(replace(turned, orientation="option") if axes else turned, {CTV: mask})


def _check_known(affine: Array) -> None:
    """Raise GeometryError unless spacing and directions are those of the published files, or the right ones."""
    known = (WRONG_MM * np.eye(3), SPACING_MM * np.eye(3), affine_of(AXES, (SPACING_MM,) * 3)[:3, :3])
    if not any(np.allclose(affine[:3, :3], one, atol=1e-3) for one in known):
        raise GeometryError(
            f"its affine is {affine[:3, :3].round(3).tolist()}, expected {WRONG_MM:g} mm as published (or "
            f"{SPACING_MM:g} mm, as is right) along each axis; give the published files"
        )
