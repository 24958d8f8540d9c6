"""Training of the network that finds needles, seeds and calcifications: cases, truth, loss and metric."""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine
from ignite.exceptions import NotComputableError
from ignite.metrics import Metric
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform, Transform
from torch import Tensor
from torch.nn import functional as F

from ..evaluation.metrics.things import ThingMatches, match_things
from ..geometry.structures import key
from ..geometry.things import Thing, grouped
from ..geometry.volume import spacing_of
from ..inference.grouping import things_in
from ..inference.reader import metatensor_of
from ..phantom import make_phantom, with_implants
from .data import as_read
from .processes import from_all_processes, sum_of_processes

THINGS = "things"  # key of a sample, and of the metadata of a truth map
LIMIT_MM = 2.0  # of a match in validation
Sample = dict[Hashable, Any]


class LoadThings(Transform):
    """Loader of a phantom with implants: ``{"phantom": seed}``.

    The result has ``case``, ``image`` and ``ctv``, MetaTensors (1, I, J, K) on one grid, and ``things``.
    """

    def __call__(self, data: Mapping[Hashable, Any]) -> Sample:
        """Make one phantom."""
        seed = int(data["phantom"])
        phantom = make_phantom(seed, settings=with_implants(seed))
        image = metatensor_of(as_read(phantom.image))
        ctv = MetaTensor(torch.as_tensor(phantom.structures["ctv"][None].astype(np.float32)), affine=image.affine)
        return {"case": str(data.get("case", "")), "image": image, "ctv": ctv, THINGS: phantom.things}


class SectionMapsd(MapTransform):
    """Truth of a network of things: for each structure a map of where its axis crosses each slice.

    A map is 1 on the axis and falls off as a Gaussian in the slice. It lies on the image's grid, under ``label``,
    (S, I, J, K) in [0, 1]; its metadata hold the things, as
    text that PyTorch can put into a batch.

    Parameters
    ----------
    keys
        Key of the image.
    names
        Names of the S structures; other things are left out.
    sigma_mm
        Standard deviation of the Gaussian.
    beyond_mm
        Distance along the third axis by which a slice may lie beyond the end of a piece.
    """

    def __init__(
        self, keys: KeysCollection, names: Sequence[str], sigma_mm: float = 0.8, beyond_mm: float = 0.25
    ) -> None:
        super().__init__(keys)
        self.names, self.sigma_mm, self.beyond_mm = tuple(names), sigma_mm, beyond_mm

    def __call__(self, data: Mapping[Hashable, Any]) -> Sample:
        """Draw the maps."""
        out = dict(data)
        image = out[self.keys[0]]
        affine = np.asarray(image.affine, float)
        maps = np.zeros((len(self.names), *image.shape[1:]), np.float32)
        rows = {key(name): number for number, name in enumerate(self.names)}
        for one in out[THINGS]:
            if key(one.structure) in rows:
                self._draw(maps[rows[key(one.structure)]], one, affine)
        meta = {"case": out.get("case", ""), THINGS: json.dumps([asdict(one) for one in out.pop(THINGS)])}
        out["label"] = MetaTensor(torch.as_tensor(maps), affine=image.affine, meta=meta)
        return out

    def _draw(self, field: np.ndarray, thing: Thing, affine: np.ndarray) -> None:
        spacing = np.array(spacing_of(affine))
        inverse = np.linalg.inv(affine)
        ends = (np.array([thing.start_mm, thing.end_mm]) @ inverse[:3, :3].T + inverse[:3, 3]) * spacing
        low, high = ends[np.argsort(ends[:, 2])]
        first = max(0, int(np.ceil((low[2] - self.beyond_mm) / spacing[2])))
        last = min(field.shape[2] - 1, int(np.floor((high[2] + self.beyond_mm) / spacing[2])))
        i, j = (np.arange(n) * mm for n, mm in zip(field.shape[:2], spacing[:2], strict=True))
        for k in range(first, last + 1):
            share = np.clip((k * spacing[2] - low[2]) / max(high[2] - low[2], 1e-6), 0, 1)
            x, y = low[:2] + share * (high[:2] - low[:2])
            drawn = np.exp(-((i - x)[:, None] ** 2 + (j - y)[None] ** 2) / (2 * self.sigma_mm**2))
            field[:, :, k] = np.maximum(field[:, :, k], drawn)


class SectionLoss(torch.nn.Module):
    """Quality focal loss (Li et al., NeurIPS 2020, equation 4, beta = 2) of maps of cross-sections.

    The logits and the maps are (B, S, I, J, K). The sum over the voxels is divided by the sum of the maps, at
    least 1; both are of the batch of all processes.
    """

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the loss of a batch."""
        logits, target = logits.float(), torch.as_tensor(target).float()
        entropy = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
        loss = ((logits.sigmoid() - target) ** 2 * entropy).sum()
        loss, mass = sum_of_processes(torch.stack([loss, target.sum()]))
        return loss / mass.clamp(min=1)


class ThingQuality(Metric):
    """Recognition quality (F1) of things within 2 mm, as in :mod:`prostate_seg.evaluation.metrics.things`.

    The input is (probabilities, labels): sequences of (S, I, J, K), the labels as of :class:`SectionMapsd`. The
    result in ``engine.state.metrics`` is the mean over the structures under the name given to ``attach``, and that
    of each structure under ``rq_`` and its name.
    """

    def __init__(self, output_transform: Callable[[Any], Any], structures: Sequence[str]) -> None:
        self.names = tuple(structures)
        super().__init__(output_transform)

    def reset(self) -> None:
        """Remove all cases."""
        self.rows: list[list[ThingMatches]] = []

    def update(self, output: tuple[Sequence[Tensor], Sequence[MetaTensor]]) -> None:
        """Add the cases of one iteration."""
        for prediction, label in zip(*output, strict=True):
            affine = label.affine.double().numpy()
            found = grouped(things_in(torch.as_tensor(prediction).cpu().numpy(), affine, self.names))
            truth = grouped(Thing(**row) for row in json.loads(label.meta[THINGS]))
            self.rows.append(
                [match_things(found.get(name, []), truth.get(name, []), [LIMIT_MM])[0] for name in self.names]
            )

    def compute(self) -> dict[str, float]:
        """Return the recognition quality of each structure that there is, by name."""
        if not self.rows:
            raise NotComputableError("ThingQuality has seen no case.")
        found = {}
        for name, column in zip(self.names, zip(*self.rows, strict=True), strict=True):
            total = sum(column, ThingMatches(LIMIT_MM)).recognition_quality
            if total is not None:
                found[name] = total
        return found

    def completed(self, engine: Engine, name: str) -> None:
        """Store the means and the rows of all processes in the engine's state."""
        self.rows = from_all_processes(self.rows)
        means = self.compute()
        engine.state.metrics[name] = sum(means.values()) / max(1, len(means))
        engine.state.metrics.update({f"rq_{key(one)}": value for one, value in means.items()})
        if hasattr(engine.state, "metric_details"):
            engine.state.metric_details[name] = self.rows
