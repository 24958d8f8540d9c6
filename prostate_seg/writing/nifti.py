"""NIfTI-1 files."""

from __future__ import annotations

import os
from pathlib import Path

import nibabel
import numpy as np

from ..geometry.entropy import entropy_percent
from ..geometry.volume import ASSUMED, Segmentation, Volume
from ..system.atomic import checked_suffix, replacing, stored_array
from ..system.source_digest import description_of
from .request import Request

_SCANNER_ANATOMICAL, _ALIGNED = 1, 2


def write_nifti(path: str | os.PathLike[str], item: Volume | Segmentation) -> None:
    """Write a volume, or the labels of a segmentation as uint8 with intent 1002, to ``.nii`` or ``.nii.gz``.

    A probability is written as ``Volume(segmentation.probability, segmentation.affine)``. The affine goes
    into sform and qform, both with code 1 (scanner anatomical) where the orientation is known and 2
    (aligned: the axes' directions are a convention, not the patient's) where it is assumed, with the
    description ``orientation assumed`` (other programs write code 2 for any file); code 0 would make readers
    drop the affine. The description also holds which image a mask was drawn on
    (:mod:`prostate_seg.system.source_digest`). A sheared affine has no qform (code 0). Units are mm. The same
    input gives the same bytes. Raises OutputError.
    """
    path = Path(path)
    checked_suffix(path, ".nii", ".nii.gz")
    assumed = item.orientation == "assumed"
    code = _ALIGNED if assumed else _SCANNER_ANATOMICAL
    image = nibabel.Nifti1Image(stored_array(item), item.affine)
    image.header.set_xyzt_units("mm")
    digest = item.source_sha256 if isinstance(item, Segmentation) else ""
    image.header["descrip"] = description_of(digest, ASSUMED if assumed else "")
    if isinstance(item, Segmentation):
        image.header.set_intent("label")
    image.set_sform(item.affine, code)
    image.set_qform(item.affine, code)
    if not np.allclose(image.get_qform(), item.affine, atol=1e-3):
        image.set_qform(None, 0)
    with replacing(path) as temporary:
        nibabel.save(image, temporary)


def write_ctv(path: Path, request: Request) -> None:
    """Write the CTV's labels."""
    write_nifti(path, request.delivery.ctv)


def write_uncertainty(path: Path, request: Request) -> None:
    """Write the entropy of the CTV's probability in bits, float32: 1 at one half."""
    ctv = request.delivery.ctv
    assert ctv.probability is not None  # Format.needs
    bits = entropy_percent(ctv.probability).astype(np.float32) / 100
    write_nifti(path, Volume(bits, ctv.affine, orientation=ctv.orientation))
