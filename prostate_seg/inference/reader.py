"""MONAI ImageReader for ultrasound. MONAI's own readers lose the geometry of ultrasound DICOM."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data import ImageReader, MetaTensor

from ..errors import InputError
from ..geometry.volume import Volume
from ..reading.cases import find_cases, read_case


class UltrasoundReader(ImageReader):
    """Reader of one ultrasound volume, for ``LoadImaged(reader="prostate_seg.inference.UltrasoundReader")``.

    It reads a DICOM file, several DICOM files, a folder or a zip, NIfTI, NRRD and MetaImage. Result and options are
    those of :func:`prostate_seg.reading.cases.read_case`: pixels outside the field of view are 0, and the affine is
    in RAS mm. It raises InputError and GeometryError.
    """

    def __init__(
        self,
        frame_spacing_mm: float | None = None,
        frame_order: str | None = None,
        probe_side: str | None = None,
    ) -> None:
        super().__init__()
        self.options: dict[str, Any] = {
            "frame_spacing_mm": frame_spacing_mm,
            "frame_order": frame_order,
            "probe_side": probe_side,
        }

    def verify_suffix(self, filename: Any) -> bool:
        """Return True for any file: its type is determined when it is read."""
        return True

    def read(self, data: Any, **kwargs: Any) -> list[Volume]:
        """Read the one volume at a path, or the one volume that several files of a series form.

        InputError is raised if there are several cases.
        """
        cases, _ = find_cases([data] if isinstance(data, str | Path) else list(data))
        if len(cases) > 1:
            raise InputError(
                f"{len(cases)} cases ({', '.join(c.name for c in cases[:5])}), expected one; give one path."
            )
        return [read_case(cases[0], **(self.options | kwargs))]

    def get_data(self, img: Sequence[Volume]) -> tuple[np.ndarray, dict[str, Any]]:
        """Return the array (I, J, K) and MONAI's metadata."""
        return _from_black(img[0]), _meta(img[0])


def cases_in(folder: str) -> list[dict[str, Any]]:
    """Return the ultrasound cases in a folder, or in one file, as a MONAI data list of ``image`` and ``case``."""
    cases, _ = find_cases([folder])
    return [{"image": [str(file) for file in case.files], "case": case.name} for case in cases]


def metatensor_of(volume: Volume) -> MetaTensor:
    """Convert a Volume to what ``LoadImaged`` and ``EnsureChannelFirstd`` would return: (1, I, J, K), float32."""
    meta = _meta(volume) | {"filename_or_obj": ""}
    affine = torch.as_tensor(meta.pop("affine"))
    return MetaTensor(torch.as_tensor(_from_black(volume))[None], affine=affine, meta=meta)


def _from_black(volume: Volume) -> np.ndarray:
    """Return the pixels as float32. If there are negative values, shift all values so that the smallest is 0."""
    array = volume.array.astype(np.float32)
    return array - min(0.0, float(array.min()))


def _meta(volume: Volume) -> dict[str, Any]:
    return {
        "affine": np.array(volume.affine),
        "original_affine": np.array(volume.affine),
        "spatial_shape": np.array(volume.array.shape),
        "original_channel_dim": float("nan"),
        "space": "RAS",
    }
