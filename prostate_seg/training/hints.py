"""Simulated hints: truth as one of several people would have drawn it, and what that person would say of it."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform, RandomizableTransform
from scipy import ndimage

from ..correction.maps import CHANNELS, hint_maps
from ..correction.moved import Places
from ..geometry.volume import Array

NODES = (6, 5, 4)  # of the displacement of a drawn truth, along i, j and k
SIDES_MM = 6.0  # from the boundary, of points inside and outside
GAPS_MM = (1.0, 3.0)  # distance of the slices by which ends are named
SHARE_PLANES, SHARE_BOTH, SHARE_BOUNDARY, SHARE_SIDES = 0.75, 0.85, 0.6, 0.15  # of hinted cases
ANYWHERE = 0.003  # weight of a point where nothing is wrong
Sample = dict[Hashable, Any]


class SimulatedHintsd(RandomizableTransform, MapTransform):
    """Random hints as four further channels of an image (1, I, J, K), with truth that fits them.

    With probability ``prob`` a case gets hints. Its label is first displaced smoothly and at random, as another
    person would have drawn it: otherwise the image would say everything, and hints would be ignored. Then come the
    end planes, off by a slice at most, and points on the boundary, inside and outside, mostly where the displaced
    label differs from the given one. Without hints the label is as given and the channels are 0.

    Parameters
    ----------
    keys
        Keys of image and label, in this order. The label is (1, I, J, K).
    spacing_mm
        Voxel spacing of both.
    prob
        Probability of hints.
    displaced_mm
        Largest standard deviation of the displacement.
    most
        Largest number of points of a kind.
    """

    def __init__(
        self,
        keys: KeysCollection,
        spacing_mm: Sequence[float],
        prob: float = 0.85,
        *,
        displaced_mm: float = 4.0,
        most: int = 6,
    ) -> None:
        MapTransform.__init__(self, keys)
        RandomizableTransform.__init__(self, prob)
        self.spacing_mm, self.displaced_mm, self.most = np.asarray(spacing_mm, float), displaced_mm, most

    def __call__(self, data: Mapping[Hashable, Any]) -> Sample:
        """Add the channels."""
        out = dict(data)
        image_key, label_key = self.keys
        image, given = torch.as_tensor(out[image_key]), torch.as_tensor(out[label_key])
        maps = np.zeros((CHANNELS, *image.shape[1:]), np.float32)
        if self.R.random() < self.prob and bool((given > 0.5).any()):
            drawn = self._displaced(given)
            if bool((drawn > 0.5).any()):
                places = self._places(drawn[0].numpy() > 0.5, given[0].numpy() > 0.5)
                maps = hint_maps(places, image.shape[1:], self.spacing_mm.tolist())
                out[label_key] = MetaTensor(drawn, meta=getattr(out[label_key], "meta", None))
        out[image_key] = torch.cat([image, torch.as_tensor(maps)])
        return out

    def _displaced(self, label: torch.Tensor) -> torch.Tensor:
        """Move a label (1, I, J, K) by a smooth random displacement."""
        size = np.array(label.shape[1:])
        strength = self.R.uniform(0, self.displaced_mm)
        coarse = self.R.normal(0, strength, (3, *NODES)) / self.spacing_mm[:, None, None, None]
        shift = F.interpolate(
            torch.as_tensor(coarse, dtype=torch.float32)[None], tuple(size), mode="trilinear", align_corners=True
        )[0]
        at = torch.stack(torch.meshgrid(*(torch.arange(n) for n in size), indexing="ij")) + shift
        scaled = at / torch.as_tensor((size - 1) / 2, dtype=torch.float32)[:, None, None, None] - 1
        grid = scaled.flip(0).movedim(0, -1)[None]
        return F.grid_sample(label[None].float(), grid, mode="bilinear", align_corners=True)[0].round()

    def _places(self, drawn: Array, given: Array) -> Places:
        """Return what a person says who drew a mask (I, J, K), if another one was expected."""
        wrong = ndimage.uniform_filter((drawn != given).astype(np.float32), 5) + ANYWHERE
        depth_mm, height_mm = (
            ndimage.distance_transform_edt(part, sampling=self.spacing_mm) for part in (drawn, ~drawn)
        )
        below, above, gap_mm = self._ends(drawn)
        none = np.empty((0, 3))
        boundary = self._boundary(drawn, wrong) if self.R.random() < SHARE_BOUNDARY else none
        inside, outside = (
            self._chosen(np.argwhere(near), wrong[near]) if self.R.random() < SHARE_SIDES else none
            for near in (drawn & (depth_mm < SIDES_MM), ~drawn & (height_mm < SIDES_MM))
        )
        mm = self.spacing_mm
        return Places(boundary * mm, inside * mm, outside * mm, below, above, gap_mm)

    def _ends(self, drawn: Array) -> tuple[float | None, float | None, float]:
        """Return the heights of apex and base in mm, each off by a slice at most, and the distance of slices.

        With probability SHARE_PLANES one is given, mostly both. An end at the border of the image never is.
        """
        there, mm = np.flatnonzero(drawn.any(axis=(0, 1))), float(self.spacing_mm[2])
        gap_mm = float(self.R.uniform(*GAPS_MM))
        both = self.R.random() < SHARE_BOTH
        named = self.R.permutation([True, both]) & (self.R.random() < SHARE_PLANES)
        off = self.R.randint(-1, 2, 2) * gap_mm
        below = float((there[0] - 0.5) * mm + off[0]) if named[0] and there[0] > 0 else None
        above = float((there[-1] + 0.5) * mm + off[1]) if named[1] and there[-1] < drawn.shape[2] - 1 else None
        return below, above, gap_mm

    def _boundary(self, drawn: Array, wrong: Array) -> Array:
        """Return points half-way between neighbours in a slice of which one is inside, in voxels."""
        points = np.concatenate([np.argwhere(np.diff(drawn, axis=axis)) + 0.5 * np.eye(3)[axis] for axis in (0, 1)])
        return self._chosen(points, wrong[tuple(points.astype(int).T)])

    def _chosen(self, points: Array, weights: Array) -> Array:
        """Choose a few of points (n, 3) in voxels, more likely those with larger weights (n,)."""
        count = min(int(self.R.randint(1, self.most + 1)), len(points))
        if not count:
            return np.empty((0, 3))
        return points[self.R.choice(len(points), count, replace=False, p=weights / weights.sum())]
