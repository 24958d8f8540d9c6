"""Cost of a study and of an epoch on this machine, and from it that of an archive.

    python benchmarks/scaling.py [--studies 12] [--jobs 2] [-o scaling.md]

The studies are phantoms as DICOM series. Each is read, segmented and written as by ``prostate-seg segment`` with
its default formats, in one process with one thread, then with several processes. The epoch is of the released
network on phantoms, with batches of 4. docs/scaling.md holds the result.
"""

from __future__ import annotations

import argparse
import csv
import os
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np
import torch

from prostate_seg.cases.segment import Options, segment_cases
from prostate_seg.inference.predictor import load_bundle
from prostate_seg.reading.cases import find_cases

CORES, NIGHT_H = 32, 10.0
ARCHIVES = (10_000, 100_000, 1_000_000)


def command(*arguments):
    subprocess.run([sys.executable, "-m", "prostate_seg", *map(str, arguments)], check=True, capture_output=True)


def megabytes(folder):
    return sum(file.stat().st_size for file in Path(folder).rglob("*") if file.is_file()) / 1e6


def outcomes_of(cases, output, load, jobs=1):
    """Return the outcomes, and the seconds a study by the clock of the whole."""
    start = time.perf_counter()
    outcomes = list(segment_cases(cases, load, Options(output), jobs=jobs))
    assert not any(outcome.error for outcome in outcomes), [outcome.error for outcome in outcomes]
    return outcomes, (time.perf_counter() - start) / len(cases)


def parts(cases, output, structures):
    """Return seconds: to load the bundle, and of a study to read it, segment it, write it, in all."""
    start = time.perf_counter()
    predictor = load_bundle(device="cpu", structures=structures)
    loaded = time.perf_counter() - start
    outcomes_of(cases[:1], output / "first", lambda: predictor)
    outcomes, whole = outcomes_of(cases, output / "all", lambda: predictor)
    read, network = (
        np.mean([outcome.manifest["timing_s"][name] for outcome in outcomes]) for name in ("read", "segment")
    )
    return {"loaded": loaded, "read": read, "segmented": network, "written": whole - read - network, "all": whole}


def epoch(folder, phantoms=16):
    """Return seconds of a case in an epoch after the first, in which phantoms are made."""
    run = Path(folder) / "run"
    start = ["--phantoms", phantoms, "--epochs", 4, "--set", "validation_phantoms=1", "--set", "val_interval=4"]
    process = subprocess.Popen(
        [sys.executable, "-m", "prostate_seg", "train", "-o", str(run), *map(str, start)],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    table, times = run / "checkpoints" / "progress.csv", []
    while process.poll() is None:
        if table.is_file():
            with table.open(encoding="utf-8", newline="") as file:
                if len(list(csv.reader(file))) - 2 > len(times):  # header and start weights
                    times.append(time.perf_counter())
        time.sleep(0.02)
    return float(np.median(np.diff(times[:3]))) / phantoms


def archive(each_s, results_mb):
    """Return the rows of archives: core hours, machines, storage."""
    head = f"| studies | core hours | machines of {CORES} cores for {NIGHT_H:.0f} h | results, TB |"
    rows = []
    for count in ARCHIVES:
        hours = count * each_s / 3600
        machines = int(np.ceil(hours / CORES / NIGHT_H))
        rows.append(f"| {count:,} | {hours:,.0f} | {machines} | {count * results_mb / 1e6:.2f} |")
    return [head, "|---|---|---|---|", *rows]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--studies", type=int, default=12)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("-o", "--output", type=Path)
    options = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        command("phantom", folder / "data", "-n", options.studies, "--seed", 100, "--format", "dicom")
        cases, _ = find_cases([folder / "data" / "images"])
        found = {
            name: parts(cases, folder / key.lower(), key) for name, key in (("CTV", "CTV"), ("all regions", "all"))
        }
        load = partial(load_bundle, device="cpu")
        _, together = outcomes_of(cases, folder / "jobs", load, options.jobs)
        size, results = (megabytes(folder / name) / len(cases) for name in ("data/images", "ctv/all"))
        lines = ["| seconds, one core | CTV | all regions |", "|---|---|---|"]
        lines += [
            f"| {what} | {found['CTV'][what]:.2f} | {found['all regions'][what]:.2f} |" for what in found["CTV"]
        ]
        lines += [f"| {options.jobs} processes, with their start | {together:.2f} | |", ""]
        lines += [f"A study has {size:.1f} MB, its results {results:.1f} MB. A case of an epoch takes "
                  f"{epoch(folder):.2f} s.", "", *archive(found["CTV"]["all"], results)]  # fmt: skip
    told = "\n".join(lines) + "\n"
    print(told, end="")
    if options.output:
        options.output.write_text(told, encoding="utf-8")


if __name__ == "__main__":
    main()
