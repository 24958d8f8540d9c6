"""Output files for volumes and masks.

Each format has one module and one row in :mod:`.formats`.
"""

from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path

from ..errors import OutputError
from ..geometry.volume import Segmentation, Volume

__all__ = ["write"]

# Suffix, module and function. The first matching suffix counts. A module is imported when it is needed.
_WRITERS = (
    (".nii", "nifti", "write_nifti"),
    (".nii.gz", "nifti", "write_nifti"),
    (".seg.nrrd", "nrrd", "write_seg_nrrd"),
    (".nrrd", "nrrd", "write_nrrd"),
    (".mha", "nrrd", "write_nrrd"),
)


def write(item: Volume | Segmentation, path: str | os.PathLike[str], *, image: Volume | None = None) -> None:
    """Write a volume or a segmentation in the format of the path's suffix.

    DICOM is not written here, but by :mod:`.formats`.

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
        Volume of a segmentation, for ``.png`` and ``.mrb`` only.

    Raises
    ------
    OutputError
        The suffix is unknown or does not fit the item, or the file cannot be written.
    GeometryError
        The segmentation of a ``.png`` lies on another grid than the image.
    """
    name = Path(path).name
    lower = name.lower()
    if lower.endswith((".png", ".mrb")):
        _write_with_image(item, Path(path), image)
        return
    if image is not None:
        raise OutputError(f"Cannot write {name}: only .png and .mrb take image=; leave it out.")
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
        ".mrb."
    )


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
