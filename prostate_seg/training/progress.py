"""Report of a training: the score of the start weights, a line for each epoch, a table and a picture."""

from __future__ import annotations

import csv
import logging
import time
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events
from matplotlib.figure import Figure
from monai.engines import IterationEvents
from torch.optim.swa_utils import AveragedModel

from ..errors import OutputError
from ..system.atomic import replacing
from ..system.csv_files import write_rows
from .processes import from_all_processes, is_first_process
from .saved import START

LOG = logging.getLogger(__name__)
TABLE, PICTURE = "progress.csv", "progress.png"


class TrainingProgress:
    """Handler that reports a training. Attach it before TrainingState, so that no saved epoch lacks its row.

    Before the first epoch it validates the start weights, as a baseline: only better weights are saved. After each
    epoch it logs a line with the mean loss and, if the epoch was validated, Dice and HD95. ``folder``/progress.csv
    holds the losses and all metrics of the validated epochs, ``folder``/progress.png shows loss and Dice.

    Parameters
    ----------
    network
        Network that is trained.
    average
        Its averaged copy, which is validated.
    validator
        Evaluator that validates.
    folder
        Folder of the table and the picture.
    """

    def __init__(self, network: torch.nn.Module, average: AveragedModel, validator: Engine, folder: str) -> None:
        self.network, self.average, self.validator = network, average, validator
        self.folder = Path(folder)
        self.rows: list[dict[str, float]] = []
        self.losses: list[float] = []
        self.begun, self.first = 0.0, 0

    def attach(self, engine: Engine) -> None:
        """Attach the handler to a trainer."""
        engine.add_event_handler(Events.EPOCH_STARTED, self._start)
        engine.add_event_handler(IterationEvents.LOSS_COMPLETED, self._iteration)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._epoch)

    def _start(self, engine: Engine) -> None:
        if self.begun:
            return
        self.begun, self.first = time.monotonic(), engine.state.epoch - 1
        self.rows = _rows(self.folder / TABLE, up_to=self.first) if self.first else []
        if not self.first:
            self.average.module.load_state_dict(self.network.state_dict())  # if a handler loaded the weights
            self.validator.run()
            self.validator.state.best_metric_epoch = self.validator.state.epoch = START
            self.rows.append({"epoch": START, **self._metrics()})
            if is_first_process():
                LOG.info("start weights: %s", _told(self.rows[-1]))

    def _iteration(self, engine: Engine) -> None:
        self.losses.append(float(engine.state.output["loss"].detach()))

    def _epoch(self, engine: Engine) -> None:
        epoch, last = engine.state.epoch, engine.state.max_epochs or 0
        losses = from_all_processes(self.losses)
        row = {"epoch": epoch, "loss": sum(losses) / len(losses)}
        self.losses = []
        told = f"epoch {epoch:{len(str(last))}} of {last}: loss {row['loss']:.3f}"
        if self.validator.state.epoch == epoch:
            row |= self._metrics()
            best = self.validator.state.best_metric_epoch == epoch
            told += f", {_told(row)}{' (best)' * best}"
        self.rows.append(row)
        left = (time.monotonic() - self.begun) / (epoch - self.first) * (last - epoch)
        if is_first_process():
            LOG.info("%s%s", told, f", {_clock(left)} left" if left else "")
            self._write()

    def _metrics(self) -> dict[str, float]:
        return {str(name): float(value) for name, value in self.validator.state.metrics.items()}

    def _write(self) -> None:
        names = list(dict.fromkeys(name for row in self.rows for name in ("epoch", "loss", *row)))
        try:
            write_rows(self.folder / TABLE, names, ([row.get(name) for name in names] for row in self.rows))
            with replacing(self.folder / PICTURE) as temporary:
                _draw(self.rows, temporary)
        except OutputError as error:  # a report must not stop a training
            LOG.warning("%s", error)


def read_progress(folder: str | Path) -> list[dict[str, float]]:
    """Return the rows of a run's progress.csv: one for the start weights (epoch 0), then one for each epoch."""
    return _rows(Path(folder) / TABLE)


def best_of(rows: list[dict[str, float]]) -> dict[str, float] | None:
    """Return the validated row with the highest Dice, the earliest of equal ones; None if none was validated."""
    validated = [row for row in rows if "val_dice" in row]
    return max(validated, key=lambda row: row["val_dice"], default=None)


def _rows(path: Path, up_to: float = float("inf")) -> list[dict[str, float]]:
    if not path.is_file():
        return []
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = [{name: float(text) for name, text in row.items() if text} for row in csv.DictReader(file)]
        return [row for row in rows if row["epoch"] <= up_to]
    except (OSError, ValueError, KeyError, TypeError):
        LOG.warning("%s is not as it was written; its rows are lost.", path)
        return []


def _told(row: dict[str, float]) -> str:
    far = f", HD95 {row['hd95_mm']:.1f} mm" if "hd95_mm" in row else ""
    return f"Dice {row['val_dice']:.3f}{far}"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _draw(rows: list[dict[str, float]], path: Path) -> None:
    """Draw loss and Dice by epoch, the start weights' Dice as a line, and the best epoch as a ring."""
    figure = Figure(figsize=(8, 4), dpi=100, layout="constrained")
    left: Any = figure.add_subplot()
    trained = [row for row in rows if "loss" in row]
    left.plot([row["epoch"] for row in trained], [row["loss"] for row in trained], color="#777", label="loss")
    left.set(xlabel="epoch", ylabel="training loss")
    right: Any = left.twinx()
    validated = [row for row in trained if "val_dice" in row]
    epochs, dices = ([row[name] for row in validated] for name in ("epoch", "val_dice"))
    right.plot(epochs, dices, "o-", color="#0b5fa5", label="validation Dice")
    start = next((row["val_dice"] for row in rows if row["epoch"] == START), None)
    if start is not None:
        right.axhline(start, color="#b34700", linestyle="--", label=f"start weights, {start:.3f}")
    if (best := best_of(validated)) is not None:
        label = f"best, {best['val_dice']:.3f}"
        right.plot(
            best["epoch"], best["val_dice"], "o", markersize=13, fillstyle="none", color="#0b5fa5", label=label
        )
    right.set(ylabel="validation Dice")
    figure.legend(loc="outside upper center", ncols=4, frameon=False)
    figure.savefig(path, format="png")
