"""Where a public set comes from, and what all readers of such sets share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import GeometryError, InputError, SettingsError
from ...geometry.structures import CTV
from ...geometry.volume import Array, Volume, affine_from_lps
from ...reading.cases import Case, Skipped, read_case
from ...reading.nifti_file import read_nifti_grid
from ...reading.references import walked
from ...reading.voxel_data import Grid
from ...system.digests import sha256_of_file
from ...system.guard import guarded
from ...system.input_files import READ_ERRORS, bytes_on_disk, stem
from ..found_cases import Item, Loaded, Opened

NIFTI = (".nii", ".nii.gz")
DIRECTIONS = {"L": (1, 0, 0), "R": (-1, 0, 0), "P": (0, 1, 0), "A": (0, -1, 0), "S": (0, 0, 1), "I": (0, 0, -1)}
SPACING_TOLERANCE = 0.01  # relative difference that may come from rounding in a header


@dataclass(frozen=True)
class Origin:
    """A public set.

    Attributes
    ----------
    name
        Name on the command line.
    source
        DOI or address.
    licence
        Its licence, as far as it is known.
    """

    name: str
    source: str
    licence: str

    def key(self, name: str) -> str:
        """Return the key of an image by its name, see :class:`.found_cases.Item`."""
        return f"{self.name} {name}"

    def made_of(self, files: Mapping[str, Path], **settings: Any) -> dict[str, Any]:
        """Return the origin of a case for the datalist: the set, and name and SHA-256 of each file by its role."""
        try:
            digests = {role: {"file": file.name, "sha256": sha256_of_file(file)} for role, file in files.items()}
        except OSError as error:
            raise InputError(f"a file cannot be read ({error.strerror}); copy it again") from error
        about = {"set": self.name, "source": self.source, "licence": self.licence}
        return about | {"files": digests} | {name: value for name, value in settings.items() if value != ""}


def files_in(folders: Sequence[Path]) -> list[Path]:
    """Return all files in folders, sorted, without hidden ones. Raise InputError if a folder does not exist."""
    for folder in folders:
        if not folder.is_dir():
            raise InputError(f"{folder} is no folder; give the folder of the public set.")
    return list(walked(folders))


def unknown_layout(origin: Origin, expected: str, files: Sequence[Path]) -> InputError:
    """Return the error for folders that do not hold a set in its published layout."""
    places = dict.fromkeys(f"{file.parent.name}/{file.name}" for file in files)
    found = ", ".join(list(places)[:3]) + (", ..." if len(places) > 3 else "") if places else "no file"
    return InputError(f"The folders hold no {origin.name} ({expected}), but {found}; give the folder as unpacked.")


def check_axes(axes: str) -> None:
    """Raise SettingsError unless axes are three directions that span space, or empty."""
    if axes and sorted(min(pair) for pair in ("LR", "PA", "SI") for one in axes if one in pair) != ["A", "I", "L"]:
        raise SettingsError(f"--axes is {axes}, expected one each of L or R, P or A, S or I, such as LPS.")
    if len(axes) not in (0, 3):
        raise SettingsError(f"--axes is {axes}, expected three letters, such as LPS.")


def with_axes(volume: Volume, axes: str) -> Volume:
    """Return a volume with the given directions of its axes; unchanged, but assumed, if they are empty."""
    if not axes:
        return replace(volume, orientation="assumed")
    return replace(volume, affine=affine_of(axes, volume.spacing_mm), orientation="option")


def affine_of(axes: str, spacing_mm: Sequence[float]) -> Array:
    """Return the affine (RAS mm) of a grid at the origin whose axes i, j, k run to the directions, as ``LPS``."""
    return affine_from_lps(np.array([DIRECTIONS[one] for one in axes]).T, np.asarray(spacing_mm), np.zeros(3))


def read_image(file: Path, kind: str = "nifti", *, frame_spacing_mm: float | None = None) -> Volume:
    """Read an image, black outside the field of view. Raises InputError that does not name it."""
    name = stem(file.name)
    try:
        return read_case(Case(name, kind, (file,)), frame_spacing_mm=frame_spacing_mm)
    except InputError as error:
        raise type(error)(str(error).removeprefix(f"{name}: ")) from error


def read_grid(file: Path) -> Grid:
    """Read a NIfTI file of any number of axes. Raises InputError that names the file."""
    try:
        grid = guarded(read_nifti_grid, file, bytes_on_disk=bytes_on_disk([file]))
    except InputError as error:
        raise type(error)(f"{file.name}: {error}") from error
    except READ_ERRORS as error:
        raise InputError(f"{file.name} cannot be read ({type(error).__name__}); copy it again.") from error
    if grid.array.dtype.kind not in "biuf":
        raise InputError(f"{file.name} holds colours or complex numbers, expected a mask.")
    return grid


def binary(array: Array, what: str) -> Array:
    """Return a mask as bool. Raise InputError if it has several values beside 0."""
    drawn = array != 0
    values = array[drawn]
    if values.size and not (np.isfinite(values).all() and values.min() == values.max()):
        raise InputError(f"{what} holds values from {values.min():g} to {values.max():g} beside 0, expected one.")
    return np.asarray(drawn)


def check_same_grid(image: Volume, mask: Grid, name: str) -> None:
    """Raise GeometryError if a mask has another shape, spacing or affine than its image."""
    if mask.array.shape[:3] != image.array.shape:
        raise GeometryError(
            f"{name} has shape {mask.array.shape[:3]}, expected that of its image, {image.array.shape}"
        )
    affine = affine_of("LPS", mask.spacing_mm) if mask.affine is None else mask.affine
    far = np.abs(affine - image.affine).max()
    if not far <= SPACING_TOLERANCE * min(image.spacing_mm):
        raise GeometryError(
            f"{name} lies on another grid than its image: their affines differ by up to {far:.3g} mm"
        )


def check_spacing(found: Sequence[float], expected_mm: float) -> None:
    """Raise GeometryError unless all spacings are the expected one within 1 %."""
    if not np.allclose(found, expected_mm, rtol=SPACING_TOLERANCE, atol=0):
        shown = " x ".join(f"{one:.4g}" for one in found)
        raise GeometryError(f"voxels of {shown} mm, expected {expected_mm:g} mm in every direction")


@dataclass(frozen=True)
class Subset:
    """Images and masks of one folder of a set, such as ``train``, by the name of their case; ``left``: others."""

    name: str
    images: dict[str, Path] = field(default_factory=dict)
    masks: dict[str, Path] = field(default_factory=dict)
    left: list[Skipped] = field(default_factory=list)


def subsets(files: Sequence[Path], images: str, masks: str, case_of: Callable[[Path], str]) -> list[Subset]:
    """Return the images and masks in neighbouring folders of the given names, by the folder that holds both.

    A second file of the same case in one folder, such as ``c1.nii`` beside ``c1.nii.gz``, is left over.
    """
    found: dict[Path, Subset] = {}
    for file in files:
        if file.parent.name in (images, masks) and file.name.lower().endswith(NIFTI):
            subset = found.setdefault(file.parent.parent, Subset(file.parent.parent.name))
            first = (subset.images if file.parent.name == images else subset.masks).setdefault(case_of(file), file)
            if first != file:
                reason = f"{first.name} is of the same case and was taken; delete one of the two"
                subset.left.append(Skipped(f"{file.parent.name}/{file.name}", reason))
    return list(found.values())


def paired(
    subset: Subset, taken: set[str], label: Callable[[str], str]
) -> tuple[dict[str, tuple[Path, Path]], list[Skipped]]:
    """Return image and mask of each new case of a subset, and what has no partner or was there before.

    Parameters
    ----------
    subset
        Images and masks.
    taken
        Names that are there already; the new ones are added.
    label
        Full name of a case, by its name in the subset.
    """
    pairs, left = {}, list(subset.left)
    for case in sorted(subset.images.keys() | subset.masks.keys()):
        image, mask = subset.images.get(case), subset.masks.get(case)
        if image is None or mask is None:
            alone = image or mask
            assert alone is not None
            left.append(
                Skipped(f"{subset.name}/{alone.name}", f"it has no {'image' if mask else 'mask'} of its name")
            )
        elif label(case) in taken:
            left.append(Skipped(f"{subset.name}/{image.name}", "an image of this name is there twice"))
        else:
            taken.add(label(case))
            pairs[case] = (image, mask)
    return pairs, left


def nifti_item(
    origin: Origin,
    name: str,
    files: tuple[Path, Path],
    load: Callable[[], Loaded],
    *,
    section: str = "",
    settings: Mapping[str, Any] | None = None,
) -> Item:
    """Return a case of an image and a mask; each counts as a patient of its own.

    Parameters
    ----------
    origin
        The set.
    name
        Name of the case.
    files
        Image and mask.
    load
        Load the case; it can be sent to another process.
    section
        Section of the datalist by the official split.
    settings
        What else the case is made of.
    """
    named = f"{files[0].parent.parent.name}/{files[0].name}"
    opened = partial(_opened, origin, dict(zip(("image", "mask"), files, strict=True)), load, settings or {})
    return Item(name, origin.key(name), name, named, files[1].name, {CTV: "the gland"}, opened, section)


def _opened(
    origin: Origin, files: Mapping[str, Path], load: Callable[[], Loaded], settings: Mapping[str, Any]
) -> Opened:
    return Opened(origin.made_of(files, **settings), load)
