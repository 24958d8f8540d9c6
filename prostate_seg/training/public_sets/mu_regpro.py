"""The set of the challenge mu-RegPro: reconstructed volumes of 0.8 mm with a gland and landmarks.

``train`` and ``val`` hold ``us_images/NAME.nii.gz`` and ``us_labels/NAME.nii.gz``. Labels have four axes; the last
one counts masks, of which the first is the gland. The others are not named. The MR images are not used.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from ...errors import InputError
from ...geometry.structures import CTV
from ...system.input_files import stem
from ..found_cases import Found, Loaded
from .origin import (
    Origin,
    binary,
    check_axes,
    check_same_grid,
    check_spacing,
    files_in,
    nifti_item,
    paired,
    read_grid,
    read_image,
    subsets,
    unknown_layout,
    with_axes,
)

SPACING_MM = 0.8
SECTIONS = {"train": "training", "val": "validation"}


def find(folders: Sequence[Path], origin: Origin, axes: str) -> Found:
    """Return the cases of the set; parameters and errors as for :func:`.public_sets.find_items`."""
    check_axes(axes)
    files = files_in(folders)
    items, left, taken, images = [], [], set[str](), set[str]()
    for subset in subsets(files, "us_images", "us_labels", lambda file: stem(file.name)):
        prefix = f"{origin.name}-{subset.name}"
        pairs, alone = paired(subset, taken, (prefix + "-{}").format)
        left += alone
        images |= {origin.key(f"{prefix}-{case}") for case in subset.images}
        for case, pair in pairs.items():
            load, section = partial(_loaded, *pair, axes), SECTIONS.get(subset.name, "")
            items.append(
                nifti_item(origin, f"{prefix}-{case}", pair, load, section=section, settings={"axes": axes})
            )
    if not items and not left:
        raise unknown_layout(origin, "train/us_images and train/us_labels with NIfTI files of equal names", files)
    return Found(tuple(items), tuple(left), f"public set {origin.name}", frozenset(images))


def _loaded(image_file: Path, mask_file: Path, axes: str) -> Loaded:
    image, masks = read_image(image_file), read_grid(mask_file)
    check_spacing(image.spacing_mm, SPACING_MM)
    if masks.array.ndim != 4:
        raise InputError(f"{mask_file.name} has {masks.array.ndim} axes, expected 4, the last one of masks")
    check_same_grid(image, masks, mask_file.name)
    gland = binary(masks.array[..., 0], f"the first mask of {mask_file.name}")
    sizes = np.count_nonzero(masks.array, axis=(0, 1, 2))
    if sizes[0] == 0 or sizes.argmax() != 0:
        raise InputError(
            f"mask {sizes.argmax() + 1} of {mask_file.name} is the largest ({sizes.max()} voxels, the first one "
            f"{sizes[0]}), expected the gland first"
        )
    return Loaded(with_axes(image, axes), {CTV: gland})
