"""Table of a benchmark in Markdown."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from prostate_seg.evaluation.comparison import Difference

HEAD = [
    "| network | weights, millions | steps a fold | Dice (95 % interval) | HD95 mm, mean | HD95 over 5 mm | "
    "first network minus this, Dice (95 % interval; p, Holm) |",
    "|---|---|---|---|---|---|---|",
]


def lines(folder: Path, names: Sequence[str], differences: Sequence[Difference]) -> list[str]:
    """Return the lines of the table, one row for each network. The others are compared with the first network."""
    found = [*HEAD]
    for name in names:
        document = json.loads((folder / "evaluations" / name / "metrics.json").read_text(encoding="utf-8"))
        runs = [json.loads(path.read_text()) for path in sorted((folder / name).glob("fold*/run.json"))]
        weights = f"{runs[0]['weights'] / 1e6:.1f}" if runs else "0"
        steps = f"{sum(run['steps'] for run in runs) / len(runs):.0f}" if runs else "0"
        dice, hd95 = document["summary"]["dice"], document["summary"]["hd95_mm"]
        far = sum(case["hd95_mm"] is None or case["hd95_mm"] > 5 for case in document["cases"])
        interval = f"{dice['mean']:.3f} ({dice['mean_low']:.3f} to {dice['mean_high']:.3f})"
        against = _against(names[0], name, differences)
        row = [name, weights, steps, interval, f"{hd95['mean']:.1f}", f"{far} of {len(document['cases'])}", against]
        found.append(f"| {' | '.join(row)} |")
    return found


def _against(first: str, name: str, differences: Sequence[Any]) -> str:
    for one in differences:
        if {one.first, one.second} == {first, name} and one.metric == "dice":
            sign = 1 if one.second == first else -1
            low, high = sorted((sign * one.low, sign * one.high))
            return f"{sign * one.mean_difference:+.3f} ({low:+.3f} to {high:+.3f}; {one.p_holm:.3f})"
    return ""
