"""Prostate-MRI-US-Biopsy of The Cancer Imaging Archive: ultrasound volumes and surfaces of the prostate.

``Prostate-MRI-US-Biopsy-NNNN/STUDY/SERIES/1-01.dcm`` is an ultrasound volume in one multi-frame file, without its
orientation. ``...-NNNN-ProstateSurface-seriesUID-UID.STL`` holds the surface of the prostate in the series UID.
Surfaces in MR series, MR series and biopsy targets are not used.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from ...errors import InputError
from ...geometry.structures import CTV
from ...geometry.volume import Volume
from ...geometry.voxelise import voxels_inside
from ...reading.cases import Skipped
from ...reading.dicom.series import InSeries, frame_distance_mm, series_of
from ...reading.stl_file import read_stl
from ...system.digests import sha256_of_file
from ...system.guard import guarded
from ...system.input_files import bytes_on_disk
from ..found_cases import Found, Item, Loaded, Opened
from .origin import Origin, check_axes, files_in, read_image, unknown_layout, with_axes
from .surface_frame import check_fit, check_solid, check_together, in_voxels, rim_contrasts

PATIENT = re.compile(r"Prostate-MRI-US-Biopsy-(\d{4})", re.IGNORECASE)
SURFACE = re.compile(r"Prostate-MRI-US-Biopsy-(\d{4})-(\w+)-seriesUID-([\d.]+?)\.*\.stl", re.IGNORECASE)
PROSTATE = "prostatesurface"
AT_A_TIME = 32  # files inspected by one call of the child process
MOST_LOOKED_AT = 24  # cases that test the axes together


@dataclass
class _Images:
    """DICOM files by the UID of their series, and what cannot be read and how many files that is."""

    ultrasound: dict[str, list[Path]] = field(default_factory=dict)
    others: dict[str, tuple[str, list[Path]]] = field(default_factory=dict)
    left: list[Skipped] = field(default_factory=list)
    failed: int = 0


def find(folders: Sequence[Path], origin: Origin, axes: str) -> Found:
    """Return the cases of the set; parameters and errors as for :func:`.public_sets.find_items`.

    GeometryError is raised if the axes of up to 24 cases, looked at together, are not those documented.
    """
    check_axes(axes)
    files = files_in(folders)
    stls = [file for file in files if file.suffix.lower() == ".stl"]
    images = _images([file for file in files if file.suffix.lower() == ".dcm"])
    if not images.ultrasound or not stls:
        raise unknown_layout(
            origin, "multi-frame ultrasound .dcm, and ...-ProstateSurface-seriesUID-UID.STL", files
        )
    left = images.left
    for modality, others in images.others.values():
        left.append(Skipped(others[0].parent.name, f"a series of {modality}, expected ultrasound (US)"))
    surfaces, unused = _surfaces(stls, images)
    left += unused
    items, failed = [], images.failed
    for series, volumes in images.ultrasound.items():
        if series not in surfaces:
            left.append(Skipped(_shown(volumes[0]), "it has no surface of the prostate"))
            continue
        try:
            items.append(_item(origin, series, volumes=volumes, surfaces=surfaces[series], axes=axes))
        except InputError as error:
            failed += 1
            left.append(Skipped(_shown(volumes[0]), str(error)))
    _check_axes_of(items[:: max(1, -(-len(items) // MOST_LOOKED_AT))])
    keys = frozenset(map(_key, images.ultrasound))
    return Found(tuple(items), tuple(left), f"public set {origin.name}", keys, failed)


def _images(files: Sequence[Path]) -> _Images:
    found = _Images()
    for start in range(0, len(files), AT_A_TIME):
        some = files[start : start + AT_A_TIME]
        for file, one in zip(some, _inspected(some), strict=True):
            if one.reason:
                found.failed += 1
                found.left.append(Skipped(_shown(file), one.reason))
            elif one.ultrasound:
                found.ultrasound.setdefault(one.series, []).append(file)
            else:
                found.others.setdefault(one.series, (one.modality, []))[1].append(file)
    return found


def _inspected(files: Sequence[Path]) -> Iterator[InSeries]:
    """Yield the series of files. If a file crashes the child process, only the result for this file is affected."""
    try:
        yield from guarded(series_of, files, bytes_on_disk=bytes_on_disk(files))
    except InputError as error:
        if len(files) == 1:
            yield InSeries(reason=str(error).rstrip("."))
        else:
            for file in files:
                yield from _inspected([file])


def _surfaces(stls: Sequence[Path], images: _Images) -> tuple[dict[str, list[Path]], list[Skipped]]:
    """Return the surfaces of the prostate by the UID of their ultrasound series, and why others are not used."""
    found: dict[str, list[Path]] = {}
    left = []
    for stl in stls:
        name = SURFACE.fullmatch(stl.name)
        if name is None:
            left.append(Skipped(stl.name, "its name has no patient, structure and seriesUID"))
        elif name[2].lower() != PROSTATE:
            left.append(Skipped(stl.name, f"it is {name[2]}, expected ProstateSurface"))
        elif name[3] in images.others:
            left.append(Skipped(stl.name, f"it lies in a series of {images.others[name[3]][0]}, not of ultrasound"))
        elif name[3] not in images.ultrasound:
            left.append(Skipped(stl.name, "no image here has its series UID"))
        else:
            found.setdefault(name[3], []).append(stl)
    return found, left


def _item(origin: Origin, series: str, *, volumes: Sequence[Path], surfaces: Sequence[Path], axes: str) -> Item:
    """Return the case of a series. Raise InputError unless it is one volume with one surface of one patient."""
    if len(volumes) > 1:
        raise InputError(f"{len(volumes)} files of one series, expected one multi-frame file")
    try:
        different = len({sha256_of_file(surface) for surface in surfaces}) > 1
    except OSError as error:
        raise InputError(f"its surface cannot be read ({error.strerror}); copy it again") from error
    if different:
        raise InputError(f"it has {len(surfaces)} different surfaces of the prostate, expected one")
    image, surface = volumes[0], surfaces[0]
    numbers = [found[-1] for part in image.parts[:-1] if (found := PATIENT.findall(part))]
    number = PATIENT.findall(surface.name)[0]
    if numbers and numbers[-1] != number:
        raise InputError(f"it lies in the folder of patient {numbers[-1]}, but its surface is of {number}")
    key = _key(series)
    opened = partial(_opened, origin, {"image": image, "surface": surface}, axes)
    name = f"{origin.name}-{number}-{key[:6]}"
    patient = f"Prostate-MRI-US-Biopsy-{number}"
    return Item(name, key, patient, _shown(image), surface.name, {CTV: "the surface"}, opened)


def _key(series: str) -> str:
    return hashlib.sha256(series.encode()).hexdigest()


def _shown(file: Path) -> str:
    """Return the folder of the patient, if it is known, and the name of a file."""
    patient = next((part for part in reversed(file.parts[:-1]) if PATIENT.fullmatch(part)), file.parent.name)
    return f"{patient}/{file.name}"


def _opened(origin: Origin, files: Mapping[str, Path], axes: str) -> Opened:
    return Opened(origin.made_of(files, axes=axes), partial(_loaded, files, axes))


def _loaded(files: Mapping[str, Path], axes: str) -> Loaded:
    volume, triangles = _volume(files["image"]), read_stl(files["surface"])
    check_fit(triangles, volume, files["surface"].name)
    columns, rows, frames = volume.array.shape
    mask = voxels_inside(in_voxels(triangles, volume), (columns, rows, frames))
    return Loaded(with_axes(volume, axes), {CTV: mask})


def _volume(file: Path) -> Volume:
    distance = guarded(frame_distance_mm, file, bytes_on_disk=bytes_on_disk([file]))
    return read_image(file, "dicom", frame_spacing_mm=distance)


def _check_axes_of(items: Sequence[Item]) -> None:
    """Raise GeometryError if the axes of these cases together are not those documented."""
    rims = []
    for item in items:
        files = item.open.args[1]  # type: ignore[attr-defined]
        try:
            volume, triangles = _volume(files["image"]), read_stl(files["surface"])
            check_solid(triangles, volume, files["surface"].name)
            rims.append(rim_contrasts(triangles, volume))
        except Exception:  # whatever it is, it is told as the case is made
            continue
    check_together(rims)
