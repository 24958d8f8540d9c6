"""Output files for volumes and masks.

Each format has one module and one row in :mod:`.formats`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import GeometryError, OutputError
from ..geometry.structures import CTV
from ..geometry.volume import Array, Segmentation, Volume

KINDS = ("AUTOMATIC", "SEMIAUTOMATIC", "MANUAL")

if TYPE_CHECKING:
    from .contoured_volume import Kind

__all__ = ["to_nibabel", "to_simpleitk", "write"]

# Suffix, module and function. The first matching suffix counts. A module is imported when it is needed.
_WRITERS = (
    (".nii", "nifti", "write_nifti"),
    (".nii.gz", "nifti", "write_nifti"),
    (".seg.nrrd", "nrrd", "write_seg_nrrd"),
    (".nrrd", "nrrd", "write_nrrd"),
    (".mha", "nrrd", "write_nrrd"),
)


def write(
    item: Volume | Segmentation,
    path: str | os.PathLike[str],
    *,
    image: Volume | None = None,
    format: str | None = None,  # noqa: A002 - as the option --format
    structures: Mapping[str, Array] | None = None,
    drawn: Kind | None = None,
) -> None:
    """Write a volume or a segmentation, in the format of the path's suffix or in a named one.

    Parameters
    ----------
    item
        Volume or segmentation.
    path
        ``.nii`` and ``.nii.gz``: NIfTI. ``.nrrd`` and ``.mha``: a volume, or the labels as a plain label map.
        ``.seg.nrrd``: a segmentation for 3D Slicer. ``.stl`` and ``.vtk``: the surface of label 1. ``.png``: a
        contact sheet of a volume, or of a segmentation on its volume. ``.mrb``: a 3D Slicer scene of a
        segmentation and its volume.
    image
        Volume of a segmentation: for ``.png``, ``.mrb`` and named formats.
    format
        Name of a format of ``segment --format``, for example ``dicom-seg``, ``rtstruct`` or ``report``. The suffix
        of the path must be that of the format's file. ``nrrd``, ``us-series`` and ``ct-series`` write the volume.
        ``us-series``, ``ct-series`` and ``panoptic`` make a new folder. Structures of the segmentation beside the
        CTV are written by formats that hold them.
    structures
        Further structures by name, bool (I, J, K), for named formats that hold them.
    drawn
        How the CTV was drawn, for DICOM formats: ``AUTOMATIC``, ``SEMIAUTOMATIC`` or ``MANUAL``. Default:
        ``AUTOMATIC`` for the mask of a model, otherwise ``MANUAL``.

    Raises
    ------
    OutputError
        The suffix or format is unknown or does not fit the item, or the file cannot be written.
    GeometryError
        The segmentation lies on another grid than the image, or was drawn on another image.
    """
    _check_kind(item)
    if format is not None:
        _write_format(item, Path(path), format, image=image, structures=structures or {}, drawn=drawn)
        return
    name = Path(path).name
    if structures is not None or drawn is not None:
        raise OutputError(f"Cannot write {name}: structures= and drawn= belong to a named format; give format=.")
    lower = name.lower()
    _check_whole(item, lower)
    if lower.endswith((".png", ".mrb")):
        _write_with_image(item, Path(path), image)
        return
    if lower.endswith(".dcm"):
        raise OutputError(
            f"Cannot write {name}: DICOM needs its format; give format= dicom-seg, dicom-probability, rtstruct or "
            "us-series, and image=."
        )
    if image is not None:
        raise OutputError(f"Cannot write {name}: only .png, .mrb and named formats take image=; leave it out.")
    if lower.endswith((".stl", ".vtk")):
        if not isinstance(item, Segmentation):
            raise OutputError(f"Cannot write {name}: a surface is made of a segmentation, got a volume.")
        mesh = import_module(".surface", __name__)
        mesh.write_surface(path, mesh.surface_of(item))
        return
    for suffix, module, function in _WRITERS:
        if lower.endswith(suffix):
            getattr(import_module(f".{module}", __name__), function)(path, item)
            return
    raise OutputError(
        f"Cannot write {name}: unknown suffix, expected .nii, .nii.gz, .nrrd, .seg.nrrd, .mha, .stl, .vtk, .png or "
        ".mrb; for DICOM give format=dicom-seg, dicom-probability, rtstruct or us-series."
    )


def _check_whole(item: Volume | Segmentation, name: str) -> None:
    """Raise OutputError if a file of this name would lose structures of a segmentation."""
    if isinstance(item, Segmentation) and item.things and not name.endswith((".mrb", ".dcm")):
        raise OutputError(f"Cannot write {name}: it would lose needles or seeds; give .mrb, or format=rtstruct.")
    if isinstance(item, Segmentation) and item.structures and not name.endswith((".seg.nrrd", ".mrb", ".dcm")):
        raise OutputError(
            f"Cannot write {name}: it would lose {', '.join(item.structures)}; give .seg.nrrd or a named format, "
            "or leave the structures out (dataclasses.replace(segmentation, structures={}))."
        )


def _write_format(
    item: Volume | Segmentation,
    path: Path,
    name: str,
    *,
    image: Volume | None,
    structures: Mapping[str, Array],
    drawn: Kind | None,
) -> None:
    """Write a segmentation and its volume in a format of the table."""
    formats, contoured = (import_module(f".{module}", __name__) for module in ("formats", "contoured_volume"))
    request = import_module(".request", __name__)
    if name not in formats.FORMATS:
        raise OutputError(
            f"Cannot write {path.name}: no format is called {name}, only {', '.join(formats.FORMATS)}."
        )
    if not isinstance(item, Segmentation) or image is None:
        raise OutputError(f"Cannot write {path.name}: {name} takes a segmentation and image=, its volume.")
    if drawn not in (None, *KINDS) or (drawn and not formats.FORMATS[name].is_dicom):
        raise OutputError(
            f"Cannot write {path.name}: drawn= is AUTOMATIC, SEMIAUTOMATIC or MANUAL, for DICOM formats; got "
            f"{drawn} for {name}."
        )
    if item.source_sha256 and image.source.sha256 and item.source_sha256 != image.source.sha256:
        raise GeometryError(
            f"Cannot write {path.name}: the segmentation was drawn on another image; give that one."
        )
    extra = bool(structures)
    row = formats.FORMATS[name]
    if item.things and row.mask and not row.things:
        raise OutputError(f"Cannot write {path.name}: {name} would lose needles or seeds; give rtstruct or slicer.")
    item, structures = _parted(item, structures, path.name, several=row.structures, mask=row.mask)
    formats.check_source(image, [name])
    formats.check_probability(item, [name])
    author = contoured.Author(
        *(item.model or (contoured.SOFTWARE, contoured.SOFTWARE_VERSION)),
        drawn or ("AUTOMATIC" if item.model else "MANUAL"),
        drawn or ("AUTOMATIC" if item.model and not extra else "MANUAL"),
    )
    whole = contoured.ContouredVolume(image, item, author, structures)
    wanted = request.Request(whole, (name,))
    if not formats.FORMATS[name].folder:
        formats.FORMATS[name].write(path, wanted)
        return
    with import_module("..system.atomic", __name__).replacing_folder(path) as partial:
        formats.FORMATS[name].write(partial, wanted)


def _parted(
    item: Segmentation, structures: Mapping[str, Array], file: str, *, several: bool, mask: bool
) -> tuple[Segmentation, dict[str, Array]]:
    """Return a segmentation of the CTV alone, and all other structures. Raise OutputError.

    A format without a mask takes any segmentation; a format of the CTV alone takes no other structure.
    """
    if CTV not in item.names.values():
        there = ", ".join(item.names.values())
        raise OutputError(
            f"Cannot write {file}: the segmentation has no {CTV}, only {there}; rename that structure."
        )
    others = {name: item.mask(name) for name in item.names.values() if name != CTV}
    others |= {**item.structures, **structures}
    if others and mask and not several:
        raise OutputError(
            f"Cannot write {file}: the format holds the CTV alone, not {', '.join(map(str, others))}."
        )
    first = item.names[min(item.names)] == CTV
    labels = item.mask(CTV).astype(np.uint8)
    probability = item.probability if first else None
    alone = replace(item, labels=labels, names={1: CTV}, probability=probability, structures={})
    return alone, {str(name): mask for name, mask in others.items()}


def _check_kind(item: object) -> None:
    if not isinstance(item, Volume | Segmentation):
        raise OutputError(f"A Volume or a Segmentation is written, got {type(item).__name__}.")


def _write_with_image(item: Volume | Segmentation, path: Path, image: Volume | None) -> None:
    scene = path.suffix.lower() == ".mrb"
    volume, segmentation = (item, None) if isinstance(item, Volume) else (image, item)
    if volume is None or (segmentation is None and (scene or image is not None)):
        what = "A scene takes" if scene else "a picture takes a volume, or"
        raise OutputError(f"Cannot write {path.name}: {what.lower()} a segmentation and image=, its volume.")
    if scene:
        import_module(".slicer_scene", __name__).write_scene(path, volume, segmentation)
    else:
        import_module(".contact_sheet", __name__).write_png(path, volume, segmentation)


def to_nibabel(item: Volume | Segmentation) -> Any:
    """Return a volume, or a segmentation's labels as uint8, as a NIfTI-1 image of nibabel (RAS mm)."""
    _check_kind(item)
    return import_module(".nifti", __name__).to_nibabel(item)


def to_simpleitk(item: Volume | Segmentation) -> Any:
    """Return a volume, or a segmentation's labels as uint8, as an image of SimpleITK (LPS mm)."""
    _check_kind(item)
    return import_module(".nrrd", __name__).to_simpleitk(item)
