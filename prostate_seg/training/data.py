"""Training data: cases from disk and phantoms from seeds, with reproducible order and augmentation."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.data import CacheDataset, MetaTensor
from monai.transforms import Transform
from torch.utils.data import Sampler

from ..errors import GeometryError
from ..geometry.structures import CTV, key
from ..geometry.volume import Volume, same_grid
from ..inference.reader import metatensor_of
from ..phantom import make_phantom
from ..phantom.variety import varied_settings
from ..reading.cases import read
from ..reading.field_of_view import blacken_outside, field_of_view
from ..reading.masks import read_mask
from .datalist import READING, check_structures
from .processes import place


class LoadCased(Transform):
    """Loader of a training case: ``{"phantom": seed}`` or ``{"image": path, "label": path}``.

    A phantom with ``"varied": True`` has the settings of :func:`prostate_seg.phantom.variety.varied_settings`.

    The result has ``case``, ``image`` and, if the case has one, ``label``. Image and label are MetaTensors (1, I,
    J, K) on the same grid. The label's metadata contain ``case``, ``patient`` and ``orientation``. GeometryError is
    raised if the two grids differ. ``frame_spacing_mm`` is used for cases that do not give their own.

    With ``structures``, the label has a channel for the CTV and one for each of these names. A channel is -1
    everywhere if the case does not give its mask (``label``, or an entry of ``structures``).
    """

    def __init__(self, frame_spacing_mm: float | None = None, structures: Sequence[str] = ()) -> None:
        self.frame_spacing_mm, self.structures = frame_spacing_mm, tuple(structures)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Load one case."""
        if "phantom" in data:
            seed = int(data["phantom"])
            phantom = make_phantom(seed, settings=varied_settings(seed) if data.get("varied") else None)
            image, masks = as_read(phantom.image), phantom.structures
        else:
            image, masks = self._files(data)
        case = str(data.get("case", ""))
        out: dict[Hashable, Any] = {"case": case, "image": metatensor_of(image)}
        channels = [masks.get(key(name)) for name in (CTV, *self.structures)]
        if any(mask is not None for mask in channels):
            unknown = np.full(image.array.shape, -1.0, np.float32)
            label = np.stack([unknown if mask is None else mask.astype(np.float32) for mask in channels])
            out["label"] = MetaTensor(
                torch.as_tensor(label),
                affine=torch.as_tensor(np.array(image.affine)),
                meta={"case": case, "patient": data.get("patient", case), "orientation": image.orientation},
            )
        return out

    def _files(self, data: Mapping[Hashable, Any]) -> tuple[Volume, dict[str, np.ndarray]]:
        """Return the image and the masks of a case, by the key of the structure."""
        if self.structures:
            check_structures([data], self.structures, "this training")
        options = {"frame_spacing_mm": self.frame_spacing_mm} | {key: data[key] for key in READING if key in data}
        image = read(data["image"], **options)
        files = {CTV: (data["label"], ())} if "label" in data else {}
        if self.structures:
            files |= {name: (file, (name,)) for name, file in data.get("structures", {}).items()}
        return image, {key(name): _mask(image, data["image"], *file) for name, file in files.items()}


def _mask(image: Volume, path: Any, file: Any, names: tuple[str, ...]) -> np.ndarray:
    """Read the mask of a structure on the grid of its image. Raise GeometryError if it has another grid."""
    label = read_mask(file, structure=names)
    if not same_grid(image, label, tolerance_mm=0.05):
        raise GeometryError(
            f"{file} has shape {label.labels.shape} and affine {label.affine[:3].round(3).tolist()}, expected the "
            f"grid of {path}: {image.array.shape}, {image.affine[:3].round(3).tolist()}; resample the mask onto "
            "its image."
        )
    return label.mask()


def as_read(image: Volume) -> Volume:
    """Set a phantom's image to black outside the field of view, as a reader does."""
    array = image.array.copy()
    blacken_outside(array, field_of_view(array))
    return image.with_array(array)


class EpochSampler(Sampler[int]):
    """Sampler of shuffled indices that include the epoch: epoch · length + index.

    A worker gets both numbers from such an index, to draw its random transforms. Set ``epoch`` (0-based) before
    each pass. The order depends only on (seed, epoch). Of n processes each takes every nth index; if the number of
    cases is not a multiple of n, the first cases occur twice.
    """

    def __init__(self, dataset: Sequence[Any], seed: int = 0) -> None:
        self.length = len(dataset)
        self.seed = seed
        self.epoch = 0

    def __len__(self) -> int:
        return math.ceil(self.length / place()[1])

    def __iter__(self) -> Iterator[int]:
        number, count = place()
        order = np.resize(self._order(), len(self) * count)[number::count]
        yield from (self.epoch * self.length + order).tolist()

    def _order(self) -> np.ndarray:
        return np.random.default_rng((self.seed, self.epoch)).permutation(self.length)


class SeededDataset(CacheDataset):
    """CacheDataset with random transforms that depend only on (seed, epoch, index).

    It takes the indices of :class:`EpochSampler`. The transforms before the first random one run once for each
    case. Their result is kept in memory and shared by equal entries of ``data``.
    """

    def __init__(
        self, data: Sequence[Any], transform: Callable[..., Any], *, seed: int = 0, num_workers: int = 1
    ) -> None:
        super().__init__(
            data, transform, num_workers=num_workers, progress=False, copy_cache=False, hash_as_key=True
        )
        self.seed = seed

    def distinct(self) -> tuple[list[dict[Any, Any]], np.ndarray]:
        """Return the different cases before any random transform, and for each index the number of its case."""
        keys = [self.hash_func(item) for item in self.data]
        return list(self._cache), np.array([self._hash_keys.index(key) for key in keys])

    def _transform(self, index: int) -> Any:
        epoch, case = divmod(index, len(self))
        state = np.random.SeedSequence((self.seed, epoch, case)).generate_state(1)[0]
        self.transform.set_random_state(seed=int(state))
        return super()._transform(case)
