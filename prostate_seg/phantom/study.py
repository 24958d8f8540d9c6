"""A phantom as files of a study: an image in one format and its exact label map."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np

from ..geometry.structures import CTV, key, structure
from ..reading.cases import read
from ..reading.things import SUFFIX
from ..system.atomic import made_folder, replacing_folder
from ..writing.dicom.ultrasound import Kind, write_us
from ..writing.nifti import write_nifti
from ..writing.nrrd import write_seg_nrrd
from ..writing.things import write_things
from . import make_phantom, with_implants


def write_phantom(
    folder: Path,
    seed: int,
    *,
    image_format: Literal["nifti", "dicom"] = "nifti",
    kind: Kind = "series",
    structures: bool = False,
    implants: bool = False,
) -> tuple[Path, Path]:
    """Make a phantom and write it; return the paths of image and label.

    The image is ``images/phantomSEED.nii.gz`` or the folder ``images/phantomSEED`` with ``*.dcm``. The label is
    ``labels/phantomSEED.nii.gz``, on the grid that the image has when it is read. Missing folders are created. An
    earlier phantom with this name is replaced.

    Parameters
    ----------
    folder
        Folder that receives ``images`` and ``labels``.
    seed
        Seed of the phantom.
    image_format
        ``nifti`` or ``dicom``.
    kind
        Kind of DICOM, see :func:`.write_us`.
    structures
        Whether the label is ``labels/phantomSEED.seg.nrrd`` with every structure.
    implants
        Whether the phantom has needles or seeds; their places are written to ``labels/phantomSEED.things.json``.

    Raises
    ------
    OutputError
        A file or folder cannot be written.
    """
    name = f"phantom{seed}"
    image, label = folder / "images" / name, folder / "labels" / f"{name}.nii.gz"
    for parent in (image.parent, label.parent):
        made_folder(parent)
    phantom = make_phantom(seed, settings=with_implants(seed) if implants else None)
    truth = phantom.truth
    if image_format == "dicom":
        with replacing_folder(image, may_replace=lambda path: path.is_file() and path.suffix == ".dcm") as partial:
            write_us(phantom.image, partial, kind=kind, seed=seed)
            as_read = read(partial, frame_spacing_mm=truth.spacing_mm[2])  # the files may lack the slice positions
        truth = replace(truth, affine=as_read.affine)
    else:
        image = image.with_name(f"{name}.nii.gz")
        write_nifti(image, phantom.image)
    if structures:
        label = label.with_name(f"{name}.seg.nrrd")
        more = {structure(part).name: mask for part, mask in phantom.structures.items() if key(CTV) != part}
        write_seg_nrrd(label, replace(truth, structures=more))
    else:
        write_nifti(label, truth)
    (label.parent / f"{name}{SUFFIX}").unlink(missing_ok=True)
    if implants:
        moved = truth.affine @ np.linalg.inv(phantom.truth.affine)  # to where the files say that the image lies
        write_things(label.parent / f"{name}{SUFFIX}", [one.moved(moved) for one in phantom.things])
    return image, label
