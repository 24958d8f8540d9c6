"""Learning curves: the scores of one network after another over the number of cases that it was trained on.

    for n in 5 10 20 40; do
        python -m benchmarks.accuracy --data FOLDER -o RUNS/$n --unseen --cases $n --networks ... --weights ...
    done
    python -m benchmarks.accuracy.curve RUNS/5 RUNS/10 RUNS/20 RUNS/40

The printed table has the mean Dice (95 % interval over patients) and the mean HD95 in mm. The names of the folders
are the column headings.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", type=Path)
    folders = parser.parse_args().runs
    names = {path.name: None for folder in folders for path in sorted((folder / "evaluations").iterdir())}
    print(f"| network | {' | '.join(f'{folder.name} cases' for folder in folders)} |")
    print(f"|---|{'---|' * len(folders)}")
    for name in names:
        cells = [_cell(folder / "evaluations" / name / "metrics.json") for folder in folders]
        print(f"| {name} | {' | '.join(cells)} |")


def _cell(path: Path) -> str:
    if not path.is_file():
        return ""
    summary = json.loads(path.read_text(encoding="utf-8"))["summary"]
    dice, hd95 = summary["dice"], summary["hd95_mm"]
    return f"{dice['mean']:.3f} ({dice['mean_low']:.3f} to {dice['mean_high']:.3f}), {hd95['mean']:.1f} mm"


if __name__ == "__main__":
    main()
