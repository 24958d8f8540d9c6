"""Our reader as a MONAI ImageReader: MONAI's own lose the geometry of ultrasound DICOM."""

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
    """For ``LoadImaged(reader="prostate_seg.inference.UltrasoundReader")``.

    Reads one ultrasound volume (DICOM file, files, folder or zip, NIfTI, NRRD, MetaImage) exactly as
    :func:`prostate_seg.reading.cases.read_case`, whose options it takes: pixels outside the field of view are 0,
    the affine is in RAS mm. Raises InputError and GeometryError.
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
        """True for anything: what the file holds is decided on reading."""
        return True

    def read(self, data: Any, **kwargs: Any) -> list[Volume]:
        """The one volume that a path holds, or that the files of one series are together."""
        cases, _ = find_cases([data] if isinstance(data, str | Path) else list(data))
        if len(cases) > 1:
            raise InputError(
                f"{len(cases)} cases ({', '.join(c.name for c in cases[:5])}), expected one; give one path."
            )
        return [read_case(cases[0], **(self.options | kwargs))]

    def get_data(self, img: Sequence[Volume]) -> tuple[np.ndarray, dict[str, Any]]:
        """The array (I, J, K) and MONAI's meta data."""
        return _from_black(img[0]), _meta(img[0])


def cases_in(folder: str) -> list[dict[str, Any]]:
    """The ultrasound cases in a folder (or of one file) as a MONAI data list: ``image`` and ``case``."""
    cases, _ = find_cases([folder])
    return [{"image": [str(file) for file in case.files], "case": case.name} for case in cases]


def metatensor_of(volume: Volume) -> MetaTensor:
    """A Volume as ``LoadImaged`` and ``EnsureChannelFirstd`` would give it: (1, I, J, K), float32."""
    meta = _meta(volume) | {"filename_or_obj": ""}
    affine = torch.as_tensor(meta.pop("affine"))
    return MetaTensor(torch.as_tensor(_from_black(volume))[None], affine=affine, meta=meta)


def _from_black(volume: Volume) -> np.ndarray:
    """Pixels as float32, black at 0: an image with negative values (a normalised one) is lifted."""
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
