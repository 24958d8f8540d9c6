"""MONAI dictionary transforms for ultrasound that MONAI does not have.

Images are MetaTensors (C, I, J, K). Their affine maps voxel indices to RAS mm. The model's grid is a rescaled
source grid with parallel axes. Therefore every resampling here is separable, and half-voxel offsets are exact.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform
from monai.utils import ensure_tuple

from ..assessment.shape_model import ShapeModel
from ..geometry.volume import rescaled_affine
from ..reading.field_of_view import field_of_view
from .released import released_bundle
from .resampling import resample_axes

Sample = dict[Hashable, Any]
FOREGROUND = 1  # channel of the CTV in a prediction; channel 0 is the background


def unrepaired(key: str) -> str:
    """Return the key of the foreground (I', J', K') before the shape model."""
    return f"{key}_unrepaired"


def on_model_grid(key: str) -> str:
    """Return the key of the foreground (I', J', K') on the model's grid."""
    return f"{key}_on_model_grid"


def on_source_grid(key: str) -> str:
    """Return the key of the probability (I, J, K) on the grid of the input, before it is thresholded."""
    return f"{key}_on_source_grid"


class ModelGridd(MapTransform):
    """Anti-aliased rescaling of (C, I, J, K) to approximately ``spacing_mm``.

    The new size is (old size) x (old spacing) / ``spacing_mm``, rounded, at least 1. The affine holds the exact new
    spacing. An axis of length 1 (a single slice) keeps its length.

    Parameters
    ----------
    keys
        Keys of the images to rescale.
    spacing_mm
        Requested spacing along the three axes.
    labels
        Those of the keys that are masks. A mask is rescaled like an image and then thresholded at 0.5; a channel of
        negative values (unknown) stays negative.
    coarser_only
        Axes, counted from 0, that keep their length if their spacing is larger than requested.
    """

    def __init__(
        self,
        keys: KeysCollection,
        spacing_mm: tuple[float, float, float],
        labels: KeysCollection = (),
        coarser_only: Sequence[int] = (),
    ) -> None:
        super().__init__(keys)
        self.spacing_mm = np.asarray(spacing_mm, float)
        self.labels = set(ensure_tuple(labels))
        self.coarser_only = list(coarser_only)

    def __call__(self, data: Mapping[Hashable, Any]) -> Sample:
        """Rescale each image and each mask."""
        out = dict(data)
        for key in self.key_iterator(out):
            image = out[key]
            affine = np.asarray(image.affine, float)
            old = np.array(image.shape[1:])
            spacing = np.linalg.norm(affine[:3, :3], axis=0)
            new = np.where(old == 1, 1, np.maximum(np.rint(old * spacing / self.spacing_mm), 1)).astype(int)
            new[self.coarser_only] = np.minimum(new, old)[self.coarser_only]
            shape = tuple(int(n) for n in new)
            values = torch.stack([rescale(channel, shape) for channel in image.as_tensor().float()])
            if key in self.labels:
                values = (values >= 0.5).float() - (values < 0).float()
            out[key] = MetaTensor(values, meta=dict(image.meta))
            out[key].affine = torch.as_tensor(rescaled_affine(affine, old, new))
        return out


def rescale(volume: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
    """Rescale (I, J, K) to ``shape`` by linear interpolation, with anti-aliasing along axes that become shorter.

    The outer edges of both grids coincide.
    """

    def linear(x: torch.Tensor, size: tuple[int, ...]) -> torch.Tensor:
        return F.interpolate(x[:, None], size, mode="bilinear", antialias=True)[:, 0]

    if tuple(volume.shape) == shape:
        return volume
    in_plane = linear(volume.permute(2, 0, 1), shape[:2])  # (K, I', J')
    return linear(in_plane.permute(1, 2, 0), shape[1:])  # (I', J', K')


class NormalizeUltrasoundd(MapTransform):
    """Normalisation of the gain of (C, I, J, K): values in [0, 1]; black stays 0.

    First the 99th percentile of the pixels above zero becomes 1. Then a power between 1/2 and 2 brings their median
    to ``median``, or as close as this range allows. A constant factor on the input changes nothing, unless the
    input saturates.
    """

    def __init__(self, keys: KeysCollection, median: float = 0.35) -> None:
        super().__init__(keys)
        self.median = median

    def __call__(self, data: Mapping[Hashable, Any]) -> Sample:
        """Normalise each image separately."""
        out = dict(data)
        for key in self.key_iterator(out):
            image = out[key]
            lit = image.as_tensor()[image.as_tensor() > 0].numpy()
            if not lit.size:
                continue
            middle, top = np.percentile(lit[:: max(1, lit.size // 200_000)], (50, 99))
            power = np.clip(np.log(self.median) / np.log(min(middle / top, 0.999)), 0.5, 2.0)
            out[key] = (image / top).clamp(0, 1) ** power
        return out


class ClipToFieldOfViewd(MapTransform):
    """Clipping of the foreground probability (C, I, J, K): it becomes 0 outside the image's field of view."""

    def __init__(self, keys: KeysCollection, image_key: str = "image") -> None:
        super().__init__(keys)
        self.image_key = image_key

    def __call__(self, data: Mapping[Hashable, Any]) -> Sample:
        """Clip the foreground channels of each prediction."""
        out = dict(data)
        image = torch.as_tensor(out[self.image_key])[0]
        drawn = torch.as_tensor(field_of_view(image.cpu().numpy()))[..., None]  # (I, J, 1)
        for key in self.key_iterator(out):
            probability = torch.as_tensor(out[key]).float().cpu().clone()
            probability[FOREGROUND:] *= drawn
            out[key] = probability
        return out


class RefineShaped(MapTransform):
    """Refinement of the foreground (2, I, J, K): blurred edges move to the edge of the fitted shape.

    The original foreground stays in the sample under ``unrepaired(key)``. Foreground and background still sum to 1.
    ``shape_model`` is the path of a shape model, or ``released``.
    """

    def __init__(self, keys: KeysCollection, shape_model: str = "released", image_key: str = "image") -> None:
        super().__init__(keys)
        self.model = ShapeModel.load(released_shape_model() if shape_model == "released" else shape_model)
        self.image_key = image_key

    def __call__(self, data: Mapping[Hashable, Any]) -> Sample:
        """Refine each prediction."""
        out = dict(data)
        image = out[self.image_key]
        spacing = np.linalg.norm(np.asarray(image.affine, float)[:3, :3], axis=0)
        seen = seen_in(image)
        for key in self.key_iterator(out):
            pred = torch.as_tensor(out[key]).float().cpu()
            field = pred[FOREGROUND].numpy()
            out.setdefault(unrepaired(str(key)), pred[FOREGROUND])
            refined = self.model.refine(field, spacing.tolist(), seen)
            if refined is not field:
                kept = np.where(seen, refined, np.minimum(refined, field))  # no growth outside ``seen``
                foreground = torch.as_tensor(kept, dtype=torch.float32)
                out[key] = torch.stack([1 - foreground, foreground])
        return out


def released_shape_model() -> Path:
    """Return the file of the shape model in the released bundle."""
    return released_bundle() / "models" / "shape_model.npz"


def seen_in(image: torch.Tensor) -> np.ndarray:
    """Return a bool mask (I, J, K) of the voxels where an image (1, I, J, K) on the model's grid shows ultrasound.

    These voxels lie in the common field of view of all slices, and in slices that are not black. Padding is
    excluded.
    """
    array = torch.as_tensor(image)[0].cpu().numpy()
    return np.asarray(field_of_view(array)[..., None] & array.any(axis=(0, 1)))


class ToSourceGridd(MapTransform):
    """Resampling of the foreground from (2, I', J', K') on the model's grid to (1, I, J, K) on the source grid.

    Only the foreground channel is interpolated, linearly. It is 0 outside the model's grid. The image at
    ``image_key`` defines both grids: its affine is that of the model's grid, its metadata ``original_affine`` and
    ``spatial_shape`` are those of the source grid. The result takes its name from the sample's ``case``, if there
    is one; so files of equal names in two folders do not overwrite each other.

    The resampled foreground also stays in the sample under ``on_source_grid(key)``. The foreground on the model's
    grid stays there under ``on_model_grid(key)``.
    """

    def __init__(self, keys: KeysCollection, image_key: str = "image") -> None:
        super().__init__(keys)
        self.image_key = image_key

    def __call__(self, data: Mapping[Hashable, Any]) -> Sample:
        """Resample each prediction. The result is a MetaTensor on the source grid."""
        out = dict(data)
        image = out[self.image_key]
        source = np.asarray(image.meta["original_affine"], float)
        shape = tuple(int(n) for n in np.asarray(image.meta["spatial_shape"]))
        for key in self.key_iterator(out):
            foreground = torch.as_tensor(out[key])[FOREGROUND]
            values = resample_axes(foreground, np.asarray(image.affine, float), source, shape)
            name = str(data.get("case") or image.meta.get("filename_or_obj", ""))
            meta = {"filename_or_obj": name, "original_affine": source}
            out[key] = MetaTensor(values[None], affine=torch.as_tensor(source), meta=meta)
            out[on_source_grid(str(key))], out[on_model_grid(str(key))] = values, foreground
        return out
