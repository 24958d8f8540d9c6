"""The masks of a pair: their files, and both masks on the grid of the reference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..errors import GeometryError, InputError
from ..geometry.resample import on_grid_of, turned_like
from ..geometry.structures import CTV, key
from ..geometry.volume import Segmentation, Volume, same_grid
from ..reading.chosen_structure import check_same_place, same_name, shown
from ..reading.masks import frame_of_reference, has_contours_only, read_mask, structure_names
from ..reading.panoptic import MAP, is_panoptic
from ..writing.current_mask import given_mask, manifest_of
from ..writing.formats import FORMATS
from ..writing.manifest import MANIFEST
from .pairs import IN_CASE_FOLDER, PANOPTIC

LARGEST_CHANGE = 0.05  # largest relative change of a prediction's volume by resampling
NO_PLACE = "Not both files name a frame of reference, so whether the masks lie in the same one is unknown."
NO_DIRECTIONS = "The files do not say how the axes lie in the patient: no thirds, directions or extents."


def current_mask(path: Path) -> Path:
    """Return the mask file to evaluate: the path itself, or a mask in a case's folder.

    In a folder that ``segment`` wrote, a mask that was changed since then takes precedence.
    Raise InputError if two masks were changed and they differ.
    """
    if not path.is_dir():
        return path
    if (path / MANIFEST).is_file() and any((path / FORMATS[name].file).is_file() for name in ("nifti", "seg-nrrd")):
        return given_mask(path).file
    return next(path / name for name in IN_CASE_FOLDER if (path / name).is_file())


def several_masks(path: Path) -> Path:
    """Return the file of all structures: the path itself, or in a case's folder the first that can hold several."""
    if not path.is_dir():
        return path
    names = [FORMATS[name].file for name in ("seg-nrrd", "dicom-seg", "rtstruct")]
    files = [path / name for name in (*names[:2], *PANOPTIC, names[2])]
    there = (file for file in files if (is_panoptic(file) if file.name == MAP else file.is_file()))
    return next(there, None) or current_mask(path)


def read_pair(
    prediction: Path, reference: Path, *, resample: bool, structure: str = "", strict: bool = False
) -> tuple[Segmentation, Segmentation, str]:
    """Read prediction and reference on the grid of the reference, with its axis order.

    Contours of a structure set are drawn on the grid of the other mask.

    Parameters
    ----------
    prediction, reference
        The two files.
    resample
        Resample a prediction on another grid to the grid of the reference.
    structure
        Name of the structure. A reference that names its structures must have this one. If the prediction lacks it,
        the CTV of the prediction is used instead, and the note reports this. Empty: the CTV, or the only structure.
    strict
        Whether both files must name their structures. A prediction that lacks the structure counts as empty.

    Returns
    -------
    tuple
        Prediction, reference, and a note that tells how the masks were changed.

    Raises
    ------
    GeometryError
        The grids differ and ``resample`` is False, or both files hold contours only.
    InputError
        A file cannot be read, or it lacks the structure.
    """
    if strict:
        return _read_strictly(prediction, reference, structure, resample=resample)
    of_reference = (structure,) if structure else ()
    of_prediction = (structure, CTV) if structure else ()
    if has_contours_only(reference):
        if has_contours_only(prediction):
            raise GeometryError(
                f"{prediction.name} and {reference.name} are both RT Structure Sets, whose contours have no grid; "
                "give a mask that has voxels as one of the two."
            )
        found = _read(prediction, of_prediction)
        expected = _read(reference, of_reference, like=found)
    else:
        expected = _read(reference, of_reference)
        found = turned_like(_read(prediction, of_prediction, like=expected), expected)
    check_same_place(found.frame_of_reference, expected.frame_of_reference, prediction.name)
    note = _remark(found, expected, structure)
    if not same_grid(found, expected):
        if not resample:
            raise GeometryError(
                f"The grids differ: prediction {grid_text(found)}, reference {grid_text(expected)}; resample one "
                "to the other, or give --resample."
            )
        found, how = _resampled(found, expected, prediction.name)
        note = f"{note} {how}".strip()
    if "assumed" in (found.orientation, expected.orientation):
        note = f"{note} {NO_DIRECTIONS}".strip()
    return found, expected, note


def _read_strictly(
    prediction: Path, reference: Path, structure: str, *, resample: bool
) -> tuple[Segmentation, Segmentation, str]:
    """Read a structure that both files may have; a prediction without it is empty. Raise InputError."""
    names = {path: structure_names(path) for path in (prediction, reference)}
    for path, there in names.items():
        if not there and key(structure) != key(CTV):
            raise InputError(
                f"{path.name} does not name its structures, so it holds no {shown(structure)}; give a .seg.nrrd, a "
                "DICOM Segmentation or a structure set."
            )
    if not names[prediction] or key(structure) in map(key, names[prediction]):
        return read_pair(prediction, reference, resample=resample, structure=structure)
    expected = _read(reference, (structure,) if names[reference] else (), like=_read(prediction, names[prediction]))
    empty = replace(expected, labels=np.zeros_like(expected.labels))
    return empty, expected, f"The prediction has no {shown(structure)}, which counts as missed."


def _read(path: Path, structure: Sequence[str], like: Segmentation | None = None) -> Segmentation:
    """Read a mask; its manifest may say "assumed", DICOM files beside it may give its frame of reference."""
    mask = read_mask(path, like=like, structure=structure)
    manifest = manifest_of(path.parent) if path.name in IN_CASE_FOLDER else {}
    if manifest.get("orientation") == "assumed":
        mask = replace(mask, orientation="assumed")
    if manifest and not mask.frame_of_reference:
        beside = [path.with_name(FORMATS[name].file) for name in ("dicom-seg", "rtstruct")]
        places = filter(None, map(frame_of_reference, filter(Path.is_file, beside)))
        mask = replace(mask, frame_of_reference=next(places, ""))
    return mask


def _remark(found: Segmentation, expected: Segmentation, structure: str) -> str:
    """Return remarks on a prediction with another name, and on a frame of reference in only one of the files."""
    told = []
    if structure and not same_name(found.names[1], structure):
        told.append(f"The prediction has no {shown(structure)}; its {shown(found.names[1])} was taken.")
    if bool(found.frame_of_reference) != bool(expected.frame_of_reference):
        told.append(NO_PLACE)
    return " ".join(told)


def _resampled(mask: Segmentation, like: Segmentation, name: str) -> tuple[Segmentation, str]:
    grid = Volume(like.labels, like.affine)
    values, exact = on_grid_of(grid, mask.mask(), mask.affine, name)
    found = replace(mask, labels=values.astype(np.uint8), affine=like.affine)
    change = found.volume_ml / mask.volume_ml - 1 if mask.volume_ml else 0.0
    if abs(change) > LARGEST_CHANGE:
        raise GeometryError(
            f"Brought to the reference's {grid_text(like)} the prediction would have {found.volume_ml:.2f} mL "
            f"instead of {mask.volume_ml:.2f}; give both masks on the finer grid."
        )
    how = "its voxels were copied" if exact else "it was interpolated linearly and cut at one half"
    volumes = "" if exact else f", {mask.volume_ml:.2f} mL became {found.volume_ml:.2f}"
    note = f"The prediction on {grid_text(mask)} was brought to the reference's {grid_text(like)}: {how}{volumes}."
    return found, note


def grid_text(mask: Segmentation | Volume) -> str:
    """Return shape, spacing and origin of a mask for a message."""
    values = mask.array if isinstance(mask, Volume) else mask.labels
    shape = " x ".join(str(length) for length in values.shape)
    spacing = " x ".join(f"{length:.4g}" for length in mask.spacing_mm)
    origin = ", ".join(f"{position:.4g}" for position in mask.affine[:3, 3])
    return f"{shape} voxels of {spacing} mm from ({origin})"
