"""Dice and surface distances in mm as an ignite metric (MONAI's handler takes no spacing)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from ignite.engine import Engine
from ignite.exceptions import NotComputableError
from ignite.metrics import Metric

from ..metrics import Metrics, diagonal_mm, evaluate_masks, orthogonal_spacing_mm
from ..summary import summarise


class SegmentationMetrics(Metric):
    """Mean Dice over volumes, and beside it the mean HD, HD95 and ASSD in mm.

    Takes (predictions, labels): sequences of (1, I, J, K) masks, the label with its affine. Under its
    own name it puts the mean Dice into ``engine.state.metrics``; under ``hd_mm``, ``hd95_mm`` and
    ``assd_mm`` the means of the distances, where an infinite one (a missed case) counts as the
    image's diagonal. ``engine.state.metric_details[name]`` keeps a row a case.
    """

    def __init__(self, output_transform: Callable[[Any], Any]) -> None:
        super().__init__(output_transform)

    def reset(self) -> None:
        """Forget all cases."""
        self.rows: list[Metrics] = []
        self.diagonals_mm: list[float] = []

    def update(self, output: tuple[Sequence[Any], Sequence[Any]]) -> None:
        """Add the cases of one iteration."""
        for prediction, label in zip(*output, strict=True):
            spacing = orthogonal_spacing_mm(np.asarray(label.affine))
            mask, truth = (np.asarray(x.cpu())[0] > 0.5 for x in (prediction, label))
            self.rows.append(evaluate_masks(mask, truth, spacing))
            self.diagonals_mm.append(diagonal_mm(truth.shape, spacing))

    def compute(self) -> dict[str, float]:
        """Mean Dice and mean distances over the cases so far."""
        if not self.rows:
            raise NotComputableError("SegmentationMetrics has seen no case.")
        summary = summarise(self.rows, self.diagonals_mm, resamples=1)
        return {name: float(summary[name].mean or 0.0) for name in ("dice", "hd_mm", "hd95_mm", "assd_mm")}

    def completed(self, engine: Engine, name: str) -> None:
        """Publish the means and the rows at the end of a run."""
        means = self.compute()
        engine.state.metrics[name] = means.pop("dice")
        engine.state.metrics.update(means)
        if hasattr(engine.state, "metric_details"):
            engine.state.metric_details[name] = self.rows
