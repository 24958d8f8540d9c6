"""The Micro-Ultrasound Prostate Segmentation Dataset: slices of a rotating probe at 29 MHz.

``train`` and ``test`` hold ``micro_ultrasound_scans/microUS_train_01.nii.gz`` and
``expert_annotations/expert_annotation_train_01.nii.gz``; other annotations are not used. The third axis of a scan
is an angle whose step is not published, so a scan is no volume. Each slice that shows the gland becomes a case: a
sheet of one voxel, sagittal if the axes are not given. Rows are stored upside down and are turned.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
from scipy import ndimage

from ...errors import GeometryError, InputError
from ...geometry.structures import CTV
from ...geometry.volume import Array, Volume
from ...reading.cases import Skipped
from ...system.input_files import stem
from ..found_cases import Found, Item, Loaded
from .origin import (
    Origin,
    affine_of,
    binary,
    check_axes,
    files_in,
    nifti_item,
    paired,
    read_grid,
    read_image,
    subsets,
    unknown_layout,
)

PIXELS = (1372, 962)  # columns and rows, 46.1 x 32.3 mm
PIXEL_MM = 0.033586
SHEET_MM = 1.0  # a placeholder: a slice of a sweep has no thickness that the set tells
AXES = "SPL"  # assumed: columns to superior, rows to posterior
MOST_OUTSIDE = 0.1  # of a scan's masks: more outside the image means that mask and image do not fit
SECTIONS = {"train": "training", "test": "testing"}


def find(folders: Sequence[Path], origin: Origin, axes: str) -> Found:
    """Return the cases of the set; parameters and errors as for :func:`.public_sets.find_items`."""
    check_axes(axes)
    files = files_in(folders)
    items: list[Item] = []
    left: list[Skipped] = []
    taken, images, failed = set[str](), set[str](), 0
    for subset in subsets(files, "micro_ultrasound_scans", "expert_annotations", _number):
        pairs, alone = paired(subset, taken, "{}".format)
        left += alone
        images |= set(map(origin.key, subset.images))
        for scan, pair in pairs.items():
            try:
                slices = list(_slices(origin, scan, pair, axes=axes, section=SECTIONS.get(subset.name, "")))
                if not slices:
                    left.append(Skipped(f"{subset.name}/{pair[0].name}", "none of its slices has a gland"))
                items += slices
            except InputError as error:
                failed += 1
                left.append(Skipped(f"{subset.name}/{pair[0].name}", str(error).rstrip(".")))
    if not items and not left:
        raise unknown_layout(origin, "train/micro_ultrasound_scans and train/expert_annotations", files)
    return Found(tuple(items), tuple(left), f"public set {origin.name}", frozenset(images), failed)


def _number(file: Path) -> str:
    """Return the last two parts of a name, such as ``train_01``."""
    return "_".join(stem(file.name).split("_")[-2:])


def _slices(origin: Origin, scan: str, pair: tuple[Path, Path], *, axes: str, section: str) -> Iterator[Item]:
    """Yield a case for each slice with a gland."""
    for number in np.flatnonzero(_masks(pair[1]).any(axis=(0, 1))).tolist():
        name = f"{origin.name}-{scan}-{number + 1:03}"
        load = partial(_loaded, pair, number, axes)
        item = nifti_item(origin, name, pair, load, section=section, settings={"slice": number + 1, "axes": axes})
        patient, image = f"{origin.name}-{scan}", f"{item.image} slice {number + 1}"
        yield replace(item, key=origin.key(scan), patient=patient, image=image)


def _masks(file: Path) -> Array:
    """Return the masks of all slices of a scan, bool (I, J, slices)."""
    array = read_grid(file).array
    if array.ndim != 3 or array.shape[:2] != PIXELS:
        raise GeometryError(f"{file.name} has shape {array.shape}, expected {PIXELS[0]} x {PIXELS[1]} x slices")
    return binary(array, file.name)


@lru_cache(maxsize=1)
def _scan(image_file: Path, mask_file: Path, _changed: int) -> tuple[Volume, Array]:
    """Return a scan and its masks as stored, cut to the part that shows ultrasound; kept for its other slices.

    Raise GeometryError if a large part of the masks lies outside it.
    """
    image, masks = read_image(image_file), _masks(mask_file)
    if image.array.shape != masks.shape:
        raise GeometryError(
            f"{mask_file.name} has shape {masks.shape}, expected that of its image, {image.array.shape}"
        )
    kept = masks.copy()
    for k in range(masks.shape[2]):  # a black pixel within the ultrasound is a shadow or a cyst
        kept[..., k] &= ndimage.binary_fill_holes(image.array[..., k] != 0)
    lost = 1 - np.count_nonzero(kept) / np.count_nonzero(masks)
    if lost > MOST_OUTSIDE:
        raise GeometryError(f"{100 * lost:.0f} % of {mask_file.name} lies where its image is black")
    return image, kept


def _loaded(pair: tuple[Path, Path], number: int, axes: str) -> Loaded:
    image, masks = _scan(*pair, pair[0].stat().st_mtime_ns + pair[1].stat().st_mtime_ns)
    if not masks[..., number].any():
        raise InputError("its mask lies where the image is black")
    sheet, mask = (array[:, ::-1, number : number + 1].copy() for array in (image.array, masks))
    affine = affine_of(axes or AXES, (PIXEL_MM, PIXEL_MM, SHEET_MM))
    told = ("One slice of a rotational sweep: it has an area but no volume.",)
    return Loaded(Volume(sheet, affine, "option" if axes else "assumed", None, told, image.source), {CTV: mask})
