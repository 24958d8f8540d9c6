"""Writers of NIfTI-1 files."""

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
    """Write a volume, or a segmentation's labels as uint8 with intent 1002, to ``.nii`` or ``.nii.gz``.

    To write a probability, pass ``Volume(segmentation.probability, segmentation.affine)``. Units are mm. The same
    input gives the same bytes. Raise OutputError if the file cannot be written.

    The affine is stored as sform and qform. Both have code 1 (scanner anatomical) if the orientation is known, and
    code 2 (aligned) if it is assumed. Code 0 would make readers drop the affine. A sheared affine has no qform
    (code 0).

    An assumed orientation is also stored as the description ``orientation assumed``, because other programs write
    code 2 for any file. The description of a mask also identifies the image on which it was drawn
    (:mod:`prostate_seg.system.source_digest`).
    """
    path = Path(path)
    checked_suffix(path, ".nii", ".nii.gz")
    image = to_nibabel(item)
    with replacing(path) as temporary:
        nibabel.save(image, temporary)


def to_nibabel(item: Volume | Segmentation) -> nibabel.Nifti1Image:
    """Return a volume, or a segmentation's labels, as the NIfTI image that :func:`write_nifti` writes."""
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
    return image


def write_ctv(path: Path, request: Request) -> None:
    """Write the CTV's labels."""
    write_nifti(path, request.contoured.ctv)


def write_uncertainty(path: Path, request: Request) -> None:
    """Write the entropy of the CTV's probability in bits, float32.

    The entropy is 1 where the probability is one half.
    """
    ctv = request.contoured.ctv
    assert ctv.probability is not None  # ensured by Format.needs
    bits = entropy_percent(ctv.probability).astype(np.float32) / 100
    write_nifti(path, Volume(bits, ctv.affine, orientation=ctv.orientation))
