"""MONAI dictionary transforms that ultrasound needs and MONAI does not have.

Images are MetaTensors (C, I, J, K) whose affine maps voxel indices to RAS mm. The model's grid is an
axis-aligned rescaling of the source grid, so every resampling here is separable and exact about
half-voxel offsets.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
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

Sample = dict[Hashable, Any]
FOREGROUND = 1  # the class of the CTV among the channels of a prediction; 0 is the background


def unrepaired(key: str) -> str:
    """The key of a foreground (I', J', K') before the shape model."""
    return f"{key}_unrepaired"


def on_model_grid(key: str) -> str:
    """The key of a foreground (I', J', K') on the model's grid."""
    return f"{key}_on_model_grid"


def on_source_grid(key: str) -> str:
    """The key of a probability (I, J, K) on the grid of the input, before it is cut."""
    return f"{key}_on_source_grid"


class ModelGridd(MapTransform):
    """Rescale (1, I, J, K) to about ``spacing_mm``, anti-aliased; the affine keeps the exact spacing.

    The new size is the old size times old spacing over ``spacing_mm``, rounded, at least 1. ``labels``
    names keys that are masks: these are rescaled as occupancy and cut at 0.5. An axis of length 1 (a
    single slice) keeps its length.
    """

    def __init__(
        self, keys: KeysCollection, spacing_mm: tuple[float, float, float], labels: KeysCollection = ()
    ) -> None:
        super().__init__(keys)
        self.spacing_mm = np.asarray(spacing_mm, float)
        self.labels = set(ensure_tuple(labels))

    def __call__(self, data: Mapping[Hashable, Any]) -> Sample:
        """Rescale each image; masks stay masks."""
        out = dict(data)
        for key in self.key_iterator(out):
            image = out[key]
            affine = np.asarray(image.affine, float)
            old = np.array(image.shape[1:])
            spacing = np.linalg.norm(affine[:3, :3], axis=0)
            new = np.where(old == 1, 1, np.maximum(np.rint(old * spacing / self.spacing_mm), 1)).astype(int)
            values = rescale(image.as_tensor().float()[0], tuple(int(n) for n in new))[None]
            if key in self.labels:
                values = (values >= 0.5).float()
            out[key] = MetaTensor(values, meta=dict(image.meta))
            out[key].affine = torch.as_tensor(rescaled_affine(affine, old, new))
        return out


def rescale(volume: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
    """Rescale (I, J, K) to ``shape`` linearly, anti-aliased where it shrinks; outer edges coincide."""

    def linear(x: torch.Tensor, size: tuple[int, ...]) -> torch.Tensor:
        return F.interpolate(x[:, None], size, mode="bilinear", antialias=True)[:, 0]

    if tuple(volume.shape) == shape:
        return volume
    in_plane = linear(volume.permute(2, 0, 1), shape[:2])  # (K, I', J')
    return linear(in_plane.permute(1, 2, 0), shape[1:])  # (I', J', K')


class NormalizeUltrasoundd(MapTransform):
    """Bring the gain of (C, I, J, K) to a common one: values in [0, 1], black stays 0.

    The 99th percentile of the pixels above zero becomes 1; then a power (between 1/2 and 2) brings
    their median to ``median``. A constant factor on the input changes nothing unless it saturates.
    """

    def __init__(self, keys: KeysCollection, median: float = 0.35) -> None:
        super().__init__(keys)
        self.median = median

    def __call__(self, data: Mapping[Hashable, Any]) -> Sample:
        """Normalise each image by itself."""
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
    """Set the foreground probability of (C, I, J, K) to 0 where the scanner drew nothing."""

    def __init__(self, keys: KeysCollection, image_key: str = "image") -> None:
        super().__init__(keys)
        self.image_key = image_key

    def __call__(self, data: Mapping[Hashable, Any]) -> Sample:
        """Clip the foreground channels."""
        out = dict(data)
        image = torch.as_tensor(out[self.image_key])[0]
        drawn = torch.as_tensor(field_of_view(image.cpu().numpy()))[..., None]  # (I, J, 1)
        for key in self.key_iterator(out):
            probability = torch.as_tensor(out[key]).float().cpu().clone()
            probability[FOREGROUND:] *= drawn
            out[key] = probability
        return out


class RefineShaped(MapTransform):
    """Move the edge of the foreground (2, I, J, K) to the shape model's if it is blurred.

    The foreground as it was is left in the sample under ``unrepaired(key)``. Foreground and background still sum
    to 1. shape_model: the path of a model, or ``released``.
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
                kept = np.where(seen, refined, np.minimum(refined, field))  # nothing grows where nothing is seen
                foreground = torch.as_tensor(kept, dtype=torch.float32)
                out[key] = torch.stack([1 - foreground, foreground])
        return out


def released_shape_model() -> Path:
    """The file of the shape model that comes with the package."""
    return released_bundle() / "models" / "shape_model.npz"


def seen_in(image: torch.Tensor) -> np.ndarray:
    """Where an image (1, I, J, K) on the model's grid shows anything: bool (I, J, K).

    That is the fan of all slices, in the slices that are not black: padding shows nothing.
    """
    array = torch.as_tensor(image)[0].cpu().numpy()
    return np.asarray(field_of_view(array)[..., None] & array.any(axis=(0, 1)))


class ToSourceGridd(MapTransform):
    """Bring the foreground of (2, I', J', K') on the model's grid back to (1, I, J, K) on the source's.

    One channel is interpolated, linearly; outside the model's grid it is 0. The grids come from
    ``image_key``: its affine now, and the ``original_affine`` and ``spatial_shape`` of its meta data. The
    result is named after ``case`` if the sample has one, so that two folders of equal files stay apart. It also
    stays in the sample under ``on_source_grid(key)``, and what it was made of under ``on_model_grid(key)``.
    """

    def __init__(self, keys: KeysCollection, image_key: str = "image") -> None:
        super().__init__(keys)
        self.image_key = image_key

    def __call__(self, data: Mapping[Hashable, Any]) -> Sample:
        """Bring each prediction back; the result is a MetaTensor on the source's grid."""
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


def resample_axes(
    volume: torch.Tensor, affine: np.ndarray, target_affine: np.ndarray, shape: tuple[int, ...]
) -> torch.Tensor:
    """Interpolate (I', J', K') at the voxels of a grid whose axes are parallel to its own, in any order.

    Linear; positions up to half a voxel outside take the border's value, further ones 0. Raises
    ValueError where the axes are not parallel.
    """
    index = np.linalg.inv(affine) @ target_affine  # target voxel -> volume voxel
    order = np.abs(index[:3, :3]).argmax(axis=0)  # which volume axis each target axis runs along
    rest = index[:3, :3].copy()
    rest[order, range(3)] = 0
    if len(set(order)) != 3 or np.abs(rest * np.array(shape)).max() > 0.5:
        raise ValueError("The axes of the two grids are not parallel.")
    out = volume.permute(*order.tolist())
    for axis, from_axis in enumerate(order):
        at = torch.arange(shape[axis], dtype=torch.float64) * index[from_axis, axis] + index[from_axis, 3]
        size = out.shape[axis]
        inside = (at >= -0.5) & (at <= size - 0.5)
        at = at.clamp(0, size - 1)
        low = at.floor().long().clamp(max=max(size - 2, 0))
        high = (low + 1).clamp(max=size - 1)
        weight = ((at - low) * 1.0).to(out.dtype)
        column = [1, 1, 1]
        column[axis] = -1
        lower, upper = out.index_select(axis, low), out.index_select(axis, high)
        out = torch.lerp(lower, upper, weight.view(column)) * inside.to(out.dtype).view(column)
    return out
