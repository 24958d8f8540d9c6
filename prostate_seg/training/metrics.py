"""Metrics of ``prostate-seg evaluate`` for ignite engines. Code and numbers are the same; lengths are in mm."""

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
from .processes import from_all_processes, is_first_process


class SegmentationMetrics(Metric):
    """Means over volumes of all metrics of :class:`prostate_seg.evaluation.metrics.Metrics`.

    The input is (predictions, labels): sequences of masks (1, I, J, K). The labels have their affines (RAS mm).
    Their metadata contain ``case``, ``patient`` and ``orientation``, as returned by :class:`.LoadCased`.

    The results are in ``engine.state.metrics``: the mean Dice under the name given to ``attach``, the others under
    the names of the metrics. An infinite distance (a missed case) counts as the diagonal of the image. A metric
    that is undefined in all cases is left out. ``engine.state.metric_details[name]`` holds one CaseResult for each
    case.
    """

    def __init__(self, output_transform: Callable[[Any], Any]) -> None:
        super().__init__(output_transform)

    def reset(self) -> None:
        """Remove all cases."""
        self.results: list[CaseResult] = []

    def update(self, output: tuple[Sequence[Any], Sequence[Any]]) -> None:
        """Add the cases of one iteration."""
        for prediction, label in zip(*output, strict=True):
            self.results.append(_result(prediction, label, case=f"case{len(self.results) + 1}"))

    def compute(self) -> dict[str, float]:
        """Return the means over the cases so far."""
        if not self.results:
            raise NotComputableError("SegmentationMetrics has seen no case.")
        rows = [result.metrics for result in self.results if result.metrics is not None]
        diagonals_mm = [result.diagonal_mm or 0.0 for result in self.results]
        summary = summarise(rows, diagonals_mm, resamples=1)
        return {name: one.mean for name, one in summary.items() if one.mean is not None}

    def completed(self, engine: Engine, name: str) -> None:
        """Store the means and the results of the cases of all processes in the engine's state."""
        self.results = from_all_processes(self.results)
        means = self.compute()
        engine.state.metrics[name] = means.pop("dice")
        engine.state.metrics.update(means)
        if hasattr(engine.state, "metric_details"):
            engine.state.metric_details[name] = self.results


class EvaluationTables:
    """Handler that writes ``metrics.csv``, ``metrics.json`` and ``report.html`` at the end of a run.

    Of several processes the first writes them.

    ``metric`` is the name under which a SegmentationMetrics is attached to the evaluator. Attach this handler to
    the same evaluator.
    """

    def __init__(self, folder: str, metric: str = "val_dice") -> None:
        self.folder, self.metric = Path(folder), metric

    def attach(self, engine: Engine) -> None:
        """Attach the handler to an evaluator."""
        if is_first_process():
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
