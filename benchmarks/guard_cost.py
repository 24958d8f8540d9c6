"""What reading in a child process costs: ``prostate-seg segment`` on a cohort, with it and without, in turn.

python benchmarks/guard_cost.py --cases 40 --runs 3
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

DIRECT = """
import sys
import prostate_seg.reading.masks, prostate_seg.reading.cases
from prostate_seg.cli import main
for module in (prostate_seg.reading.masks, prostate_seg.reading.cases):
    if hasattr(module, "guarded"):
        module.guarded = lambda function, *arguments, bytes_on_disk=0: function(*arguments)
sys.exit(main(sys.argv[1:]))
"""
GUARDED = "import sys\nfrom prostate_seg.cli import main\nsys.exit(main(sys.argv[1:]))"


def seconds(code: str, images: Path) -> float:
    """Return the wall-clock time of segmenting a folder in a new process."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        command = [sys.executable, "-c", code, "segment", str(images), "-o", folder, "--format", "nifti"]
        subprocess.run(command, check=True, capture_output=True)
        return time.perf_counter() - start


def main() -> None:
    """Print both times and their ratio for each run, and the median ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=40)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--format", choices=("nifti", "dicom"), default="dicom")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        make = ["-m", "prostate_seg", "phantom", folder, "-n", str(options.cases), "--format", options.format]
        subprocess.run([sys.executable, *make], check=True, capture_output=True)
        images = Path(folder) / "images"
        ratios = []
        for _ in range(options.runs):
            guarded, direct = seconds(GUARDED, images), seconds(DIRECT, images)
            ratios.append(guarded / direct)
            print(f"guarded {guarded:7.2f} s   direct {direct:7.2f} s   ratio {ratios[-1]:.3f}", flush=True)
        print(f"{options.cases} cases, median ratio {statistics.median(ratios):.3f}")


if __name__ == "__main__":
    main()
