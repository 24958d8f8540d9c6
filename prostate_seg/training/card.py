"""Name, version and model card of a trained bundle."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..inference.predictor import name_and_version
from ..inference.released import package_versions
from .datalist import load
from .plan_file import reasons_in
from .progress import best_of, read_progress
from .saved import START

VERSION = "1.0.0"
_SCORES = (
    "Epoch 0 are the start weights. Scores are of the averaged weights on the model's grid, without the shape "
    "model, so those of `prostate-seg evaluate` differ a little."
)
_SHOWN = ("epoch", "loss", "val_dice", "hd95_mm", "assd_mm", "volume_error_ml")


@dataclass(frozen=True)
class Card:
    """What a trained bundle tells about itself.

    Attributes
    ----------
    name
        Name of the new bundle: that of the source and of the run's folder.
    source
        Name and version of the bundle that the training started from.
    record
        Content of the run's settings.json.
    rows
        Rows of progress.csv.
    command
        Command line that trains such a bundle; empty if unknown.
    reasons
        Of each planned setting its value and a sentence.
    """

    name: str
    source: str
    record: Mapping[str, Any]
    rows: list[dict[str, float]]
    command: str = ""
    reasons: Mapping[str, Sequence[Any]] = field(default_factory=dict)

    @classmethod
    def of(cls, run: Path, bundle: Path, record: Mapping[str, Any], command: str = "") -> Card:
        """Return the card of a finished run that started from a bundle."""
        name, version = name_and_version(bundle)
        own = re.sub(r"[^A-Za-z0-9_-]+", "_", run.resolve().name).strip("_") or "trained"
        rows = read_progress(run / "checkpoints")
        return cls(f"{name}_{own}", f"{name} {version}".strip(), record, rows, command, reasons_in(run))

    @property
    def outcome(self) -> str:
        """One sentence on the best epoch and the start weights."""
        best, start = best_of(self.rows), _start(self.rows)
        if best is None:
            return "There is no table of its epochs."
        before = "" if start is None else f"; the start weights have {start['val_dice']:.3f}"
        if best["epoch"] == START:
            return (
                f"No epoch is better than the start weights (mean Dice {best['val_dice']:.3f} on the validation "
                "cases), so the bundle holds those: train longer, or on more cases."
            )
        dice = f"mean Dice {best['val_dice']:.3f} on the validation cases"
        return f"Epoch {best['epoch']:.0f} is the best: {dice}{before}."

    def metadata(self) -> dict[str, Any]:
        """Return the entries of metadata.json that differ from the source's."""
        best = best_of(self.rows) or {}
        measured = {"mean_dice": "val_dice", "mean_hd95_mm": "hd95_mm"}
        return {
            "name": self.name,
            "version": VERSION,
            "changelog": {VERSION: f"trained from {self.source}"},
            "data_source": "the cases of a user's datalist" if self.record.get("datalist") else "phantoms",
            "eval_metrics": {name: round(best[key], 4) for name, key in measured.items() if key in best},
        }

    def text(self) -> str:
        """Return the model card as Markdown. Paths are told by their last part."""
        changed = {name: value for name, value in self.record.items() if not name.endswith("_sha256")}
        settings = [
            f"- `{name}`: {Path(value).name if isinstance(value, str) and Path(value).is_absolute() else value}"
            + self._reason(name, value)
            for name, value in sorted(changed.items())
        ]
        digests = [
            f"- `{name}`: {value}" for name, value in sorted(self.record.items()) if name.endswith("_sha256")
        ]
        names = [name for name in _SHOWN if any(name in row for row in self.rows)]
        shown = [row for row in self.rows if "val_dice" in row]
        table = [f"| {' | '.join(names)} |", "|---" * len(names) + "|"]
        table += [f"| {' | '.join(_cell(name, row.get(name)) for name in names)} |" for row in shown]
        versions = [f"- {name} {version}" for name, version in package_versions().items()]
        parts = [
            f"# {self.name} {VERSION}",
            "**Research use only. Not a medical device.**",
            f"Trained by `prostate-seg train` from {self.source}. {self.outcome} The epoch was chosen on the "
            "validation cases, so their score is not that of new cases.",
            *([f"```\n{self.command}\n```"] if self.command else []),
            "## Cases",
            self._cases(),
            *(["## Scores by epoch", _SCORES, "\n".join(table)] if shown else []),
            "## Settings",
            "\n".join([*settings, *digests]),
            "## Versions",
            "\n".join(versions),
        ]
        return "\n\n".join(parts) + "\n"

    def _reason(self, name: str, value: Any) -> str:
        planned, reason = self.reasons.get(name, (None, ""))
        return f" ({reason})" if reason and planned == value else ""

    def _cases(self) -> str:
        datalist = self.record.get("datalist")
        if not datalist:
            return "Phantoms alone; no patient."
        sections = load(str(datalist))
        lines = []
        for name in ("training", "validation"):
            patients = {str(case.get("patient", case["image"])) for case in sections[name]}
            drawn = self.record.get("phantoms" if name == "training" else "validation_phantoms") or 0
            more = f", and {drawn} phantoms" if drawn else ""
            lines.append(f"- {name}: {len(sections[name])} cases of {len(patients)} patients{more}")
        return "\n".join(lines)


def ensemble_text(name: str, members: Sequence[Card]) -> str:
    """Return the model card of an ensemble as Markdown: the outcome of each member."""
    lines = [f"- member {number}: {card.outcome}" for number, card in enumerate(members)]
    best, start = ([_dice(card.rows, of) for card in members] for of in (best_of, _start))
    shown = [("the best epoch", best), ("the start weights", start)]
    lines += [
        f"- mean over the members with {what}: Dice {np.mean(dices):.3f} (SD {np.std(dices):.3f})"
        for what, dices in shown
        if None not in dices
    ]
    parts = [
        f"# {name} {VERSION}",
        "**Research use only. Not a medical device.**",
        f"An ensemble of {len(members)} members, trained by `prostate-seg train --folds` from {members[0].source}. "
        "Each was trained without a part of the patients, and its epoch was chosen on this part.",
        "\n".join(lines),
        *([f"```\n{members[0].command}\n```"] if members[0].command else []),
    ]
    return "\n\n".join(parts) + "\n"


def _start(rows: list[dict[str, float]]) -> dict[str, float] | None:
    return next((row for row in rows if row["epoch"] == START), None)


def _dice(rows: list[dict[str, float]], of: Callable[[list[dict[str, float]]], dict[str, float] | None]) -> Any:
    return (of(rows) or {}).get("val_dice")


def _cell(name: str, value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.0f}" if name == "epoch" else f"{value:.3f}" if name in ("loss", "val_dice") else f"{value:.2f}"
