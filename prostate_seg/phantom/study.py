"""A phantom as a user's study: an image of one format, and its exact label map."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

from ..errors import OutputError
from ..reading.cases import read
from ..system.atomic import replacing_folder
from ..writing.dicom.ultrasound import Kind, write_us
from ..writing.nifti import write_nifti
from . import make_phantom


def write_phantom(
    folder: Path, seed: int, *, image_format: Literal["nifti", "dicom"] = "nifti", kind: Kind = "series"
) -> tuple[Path, Path]:
    """Make a phantom and write it; returns the paths of image and label.

    ``images/phantomSEED.nii.gz`` or ``images/phantomSEED/*.dcm`` (kind: see :func:`.us_series.write_us`) and
    ``labels/phantomSEED.nii.gz`` on the grid that the image has when it is read. Folders are made, an earlier
    phantom of this name is replaced. Raises OutputError.
    """
    name = f"phantom{seed}"
    image, label = folder / "images" / name, folder / "labels" / f"{name}.nii.gz"
    try:
        for parent in (image.parent, label.parent):
            parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"The folder {folder} cannot be written ({error.strerror}); give another one.") from error
    phantom = make_phantom(seed)
    truth = phantom.truth
    if image_format == "dicom":
        with replacing_folder(image, may_replace=lambda path: path.is_file() and path.suffix == ".dcm") as partial:
            write_us(phantom.image, partial, kind=kind, seed=seed)
            as_read = read(partial, frame_spacing_mm=truth.spacing_mm[2])  # a scanner may leave out where it lies
        truth = replace(truth, affine=as_read.affine)
    else:
        image = image.with_name(f"{name}.nii.gz")
        write_nifti(image, phantom.image)
    write_nifti(label, truth)
    return image, label
