"""Linear resampling between grids with parallel axes, one axis after the other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

SLAB = 4  # rows of the first axis that are resampled at a time


def resample_axes(
    volume: torch.Tensor, affine: np.ndarray, target_affine: np.ndarray, shape: tuple[int, ...]
) -> torch.Tensor:
    """Interpolate a volume (I', J', K') linearly at the voxels of a second grid.

    The axes of the two grids must be parallel, in any order. A position up to half a voxel outside the volume takes
    the border's value. A position further outside takes 0.

    Parameters
    ----------
    volume
        Volume to interpolate.
    affine
        Affine of the volume.
    target_affine
        Affine of the second grid.
    shape
        Shape of the second grid.

    Raises
    ------
    ValueError
        The axes are not parallel.
    """
    index = np.linalg.inv(affine) @ target_affine  # target voxel -> volume voxel
    order = np.abs(index[:3, :3]).argmax(axis=0)  # for each target axis, the parallel axis of the volume
    rest = index[:3, :3].copy()
    rest[order, range(3)] = 0
    if len(set(order)) != 3 or np.abs(rest * np.array(shape)).max() > 0.5:
        raise ValueError("The axes of the two grids are not parallel.")
    source = volume.as_subclass(torch.Tensor).permute(*order.tolist()).contiguous()
    first, second, third = (
        _Line.of(index[from_axis, axis], index[from_axis, 3], source.shape[axis], shape[axis])
        for axis, from_axis in enumerate(order)
    )
    source = first.along(source, 0)
    out = source.new_empty(shape)
    for start in range(0, shape[0], SLAB):  # what is turned fits into the cache
        slab = slice(start, start + SLAB)
        turned = second.along(source[slab], 1).transpose(1, 2).contiguous()  # whole rows are copied faster
        out[slab] = third.along(turned, 1).transpose(1, 2)
    return out


@dataclass(frozen=True, eq=False)
class _Line:
    """Linear interpolation along one axis: two neighbours, the weight of the upper one, 0 for what is outside."""

    low: torch.Tensor
    high: torch.Tensor
    weight: torch.Tensor
    inside: torch.Tensor

    @classmethod
    def of(cls, step: float, start: float, size: int, wanted: int) -> _Line:
        """Return the interpolation at positions start, start + step ... between ``size`` values."""
        at = torch.arange(wanted, dtype=torch.float64) * step + start
        inside = (at >= -0.5) & (at <= size - 0.5)
        at = at.clamp(0, size - 1)
        low = at.floor().long().clamp(max=max(size - 2, 0))
        return cls(low, (low + 1).clamp(max=size - 1), at - low, inside)

    def along(self, values: torch.Tensor, axis: int) -> torch.Tensor:
        """Return values (3D) interpolated along an axis."""
        shape = [-1 if n == axis else 1 for n in range(3)]
        weight, inside = (part.to(values.dtype).view(shape) for part in (self.weight, self.inside))
        lower, upper = (values.index_select(axis, part) for part in (self.low, self.high))
        return torch.lerp(lower, upper, weight).mul_(inside)
