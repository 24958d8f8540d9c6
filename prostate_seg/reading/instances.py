"""Readers of a panoptic map's instances, and of the grid of a mask file. Files are opened in a child process."""

from __future__ import annotations

from pathlib import Path

from ..geometry.instances import Instances
from ..geometry.volume import Array, Volume
from .masks import has_contours_only, in_child, is_dicom, read_mask, read_values, structure_names
from .panoptic import panoptic_instances

Grid = tuple[Array, tuple[int, ...]]  # affine and shape


def read_instances(path: Path) -> Instances:
    """Read the instances of a panoptic map; a needle in several segments is one instance.

    InputError is raised if the map cannot be read, or if segments.json beside it does not describe it.
    """
    return in_child(_read_instances, path)


def _read_instances(path: Path) -> Instances:
    labels, affine, _ = read_values(path)
    numbers, structures = panoptic_instances(path, labels)
    return Instances(Volume(numbers, affine), structures)


def grid_of_mask(path: Path) -> Grid | None:
    """Return affine and shape of a mask file; None for a structure set, which has no grid. Raise InputError."""
    if not is_dicom(path):
        return in_child(_grid_of_file, path)
    if has_contours_only(path):
        return None
    mask = read_mask(path, structure=structure_names(path))
    return mask.affine, mask.labels.shape


def _grid_of_file(path: Path) -> Grid:
    array, affine, _ = read_values(path)
    return affine, array.shape[:3]
