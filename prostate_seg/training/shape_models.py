"""Shape models of masks and phantoms. Masks are reoriented: axes to the left, posterior and superior."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from nibabel.orientations import apply_orientation, axcodes2ornt, io_orientation, ornt_transform

from ..assessment.shape_model import ShapeModel
from ..errors import InputError, ProstateSegError
from ..evaluation.metrics import orthogonal_spacing_mm
from ..geometry.volume import Array, Segmentation
from ..phantom import make_phantom
from ..reading.masks import SUFFIXES, read_mask

FIRST_PHANTOM = 1_000_000
LOG = logging.getLogger(__name__)


def upright(mask: Segmentation) -> tuple[Array, tuple[float, ...]]:
    """Return label 1 as bool with axes to the left, posterior and superior, and its spacing in mm along them."""
    turn = ornt_transform(io_orientation(mask.affine), axcodes2ornt("LPS"))
    spacing = orthogonal_spacing_mm(mask.affine)
    source = np.argsort(turn[:, 0])
    return apply_orientation(mask.mask(), turn), tuple(spacing[axis] for axis in source)


def shape_model_of(paths: Sequence[Path], phantoms: int = 0) -> ShapeModel:
    """Make a shape model of mask files, of all masks in folders, and of phantoms.

    A file in a folder that is no mask is skipped with a warning.

    Parameters
    ----------
    paths
        Mask files, and folders of masks.
    phantoms
        Number of phantoms.

    Raises
    ------
    InputError
        A path does not exist, or a file is no mask.
    SettingsError
        There are too few masks.
    """
    return ShapeModel.of([*_masks(paths), *_phantoms(phantoms)])


def _masks(paths: Sequence[Path]) -> Iterator[tuple[Array, tuple[float, ...]]]:
    for path in paths:
        if not path.exists():
            raise InputError(f"{path}: no such file or folder; give masks, or folders of masks.")
        if not path.is_dir():
            yield upright(read_mask(path))
            continue
        for file in sorted(file for file in path.iterdir() if file.name.lower().endswith(SUFFIXES)):
            try:
                yield upright(read_mask(file))
            except ProstateSegError as error:
                LOG.warning("%s skipped: %s", file.name, error)


def _phantoms(count: int) -> Iterator[tuple[Array, tuple[float, ...]]]:
    for seed in range(FIRST_PHANTOM, FIRST_PHANTOM + count):
        yield upright(make_phantom(seed).truth)
