"""Writers: one format a file."""

from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path

from ..errors import OutputError
from ..volume import Segmentation, Volume

__all__ = ["FILES", "write"]

# What `prostate-seg segment --format` may ask for, and how the file in the case's folder is called.
FILES = {"nifti": "ctv.nii.gz", "seg-nrrd": "ctv.seg.nrrd", "nrrd": "trus.nrrd", "png": "overlay.png"}

# Suffix, module and function; the first suffix that fits counts. Loaded when asked for.
_WRITERS = (
    (".nii", "nifti", "write_nifti"),
    (".nii.gz", "nifti", "write_nifti"),
    (".seg.nrrd", "nrrd", "write_seg_nrrd"),
    (".nrrd", "nrrd", "write_nrrd"),
    (".mha", "nrrd", "write_nrrd"),
)


def write(item: Volume | Segmentation, path: str | os.PathLike[str], *, image: Volume | None = None) -> None:
    """Write a volume or a segmentation in the format of the path's suffix.

    ``.nii``, ``.nii.gz``: NIfTI. ``.nrrd``, ``.mha``: the volume, or the labels as a plain label map.
    ``.seg.nrrd``: a segmentation for 3D Slicer. ``.png``: a contact sheet of a volume, or of a
    segmentation over ``image``, which no other format takes. Raises OutputError.
    """
    name = Path(path).name
    if name.lower().endswith(".png"):
        _write_png(item, Path(path), image)
        return
    if image is not None:
        raise OutputError(f"Cannot write {name}: an image beneath goes with .png only; write it on its own.")
    for suffix, module, function in _WRITERS:
        if name.lower().endswith(suffix):
            getattr(import_module(f".{module}", __name__), function)(path, item)
            return
    raise OutputError(
        f"Cannot write {name}: unknown suffix, expected .nii, .nii.gz, .nrrd, .seg.nrrd, .mha or .png."
    )


def _write_png(item: Volume | Segmentation, path: Path, image: Volume | None) -> None:
    volume, segmentation = (item, None) if isinstance(item, Volume) else (image, item)
    if volume is None or (segmentation is None and image is not None):
        raise OutputError(
            f"Cannot write {path.name}: a picture takes a volume, or a segmentation and image=, its volume."
        )
    import_module(".png", __name__).write_png(path, volume, segmentation)
