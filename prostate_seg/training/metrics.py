"""The metrics of ``prostate-seg evaluate`` in ignite engines: the same numbers by the same code, in mm."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ignite.engine import Engine, Events
from ignite.exceptions import NotComputableError
from ignite.metrics import Metric

from ..evaluation import CaseResult, evaluate, write_results
from ..evaluation.metrics import diagonal_mm, orthogonal_spacing_mm, slice_presence
from ..evaluation.summary import summarise
from ..geometry.volume import Segmentation
from ..report import write_cohort


class SegmentationMetrics(Metric):
    """Means over volumes of all metrics of :class:`prostate_seg.evaluation.metrics.Metrics`.

    Takes (predictions, labels): sequences of (1, I, J, K) masks, the labels with their affines (RAS mm) and, in
    their meta data, ``case``, ``patient`` and ``orientation`` as :class:`.LoadCased` gives them. Under its own name
    it puts the mean Dice into ``engine.state.metrics``, the other means under the metrics' names; an infinite
    distance (a missed case) counts as the image's diagonal, what is undefined in all cases is left out.
    ``engine.state.metric_details[name]`` keeps a CaseResult a case.
    """

    def __init__(self, output_transform: Callable[[Any], Any]) -> None:
        super().__init__(output_transform)

    def reset(self) -> None:
        """Forget all cases."""
        self.results: list[CaseResult] = []

    def update(self, output: tuple[Sequence[Any], Sequence[Any]]) -> None:
        """Add the cases of one iteration."""
        for prediction, label in zip(*output, strict=True):
            self.results.append(_result(prediction, label, case=f"case{len(self.results) + 1}"))

    def compute(self) -> dict[str, float]:
        """The means over the cases so far."""
        if not self.results:
            raise NotComputableError("SegmentationMetrics has seen no case.")
        rows = [result.metrics for result in self.results if result.metrics is not None]
        diagonals_mm = [result.diagonal_mm or 0.0 for result in self.results]
        summary = summarise(rows, diagonals_mm, resamples=1)
        return {name: one.mean for name, one in summary.items() if one.mean is not None}

    def completed(self, engine: Engine, name: str) -> None:
        """Publish the means and the rows at the end of a run."""
        means = self.compute()
        engine.state.metrics[name] = means.pop("dice")
        engine.state.metrics.update(means)
        if hasattr(engine.state, "metric_details"):
            engine.state.metric_details[name] = self.results


class EvaluationTables:
    """Write ``metrics.csv``, ``metrics.json`` and ``report.html`` of a SegmentationMetrics at the end of a run.

    metric: the name that it is attached under. Attach this to the evaluator.
    """

    def __init__(self, folder: str, metric: str = "val_dice") -> None:
        self.folder, self.metric = Path(folder), metric

    def attach(self, engine: Engine) -> None:
        """Hook into an evaluator."""
        engine.add_event_handler(Events.COMPLETED, self._write)

    def _write(self, engine: Engine) -> None:
        results = engine.state.metric_details[self.metric]
        write_results(results, self.folder)
        write_cohort(results, self.folder)


def _result(prediction: Any, label: Any, *, case: str) -> CaseResult:
    affine, about = np.asarray(label.affine, np.float64), label.meta
    orientation = about.get("orientation", "file")
    found, expected = (
        Segmentation((np.asarray(mask.cpu())[0] > 0.5).astype(np.uint8), affine, orientation=orientation)
        for mask in (prediction, label)
    )
    diagonal = diagonal_mm(expected.labels.shape, orthogonal_spacing_mm(affine))
    name = about.get("case") or case
    return CaseResult(
        name,
        evaluate(found, expected),
        diagonal,
        patient=about.get("patient") or name,
        slices=slice_presence(found.labels, expected.labels),
    )
