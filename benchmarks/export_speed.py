"""Time of the exports on a large volume, each in a process of its own.

    python benchmarks/export_speed.py [--shape 800 600 200] [-o export_speed.md]

The volume is uniform noise, the mask is an ellipsoid of 60 mL. The source is a US Multi-frame in memory. The
seconds are those of the writer alone, without reading and without the import of libraries.
"""

from __future__ import annotations

import argparse
import multiprocessing
import tempfile
import time
from pathlib import Path

import numpy as np

from prostate_seg import read
from prostate_seg.geometry.volume import Segmentation, Volume, affine_from_lps
from prostate_seg.writing.contoured_volume import Author, ContouredVolume
from prostate_seg.writing.dicom.ultrasound import write_us
from prostate_seg.writing.formats import write_formats
from prostate_seg.writing.request import Request

FORMATS = ("dicom-seg", "dicom-probability", "rtstruct", "us-series", "stl", "slicer", "seg-nrrd", "nifti")


def contoured_of(shape, folder):
    spacing = np.array([80.0, 60.0, 60.0]) / shape
    rng = np.random.default_rng(0)
    image = rng.integers(20, 200, shape, np.uint8)
    write_us(Volume(image, affine_from_lps(np.eye(3), spacing, np.zeros(3))), folder, kind="multiframe")
    volume = read(folder)
    axes = np.ogrid[tuple(slice(-1, 1, complex(0, n)) for n in shape)]
    radius = np.sqrt(
        sum((axis * side / half) ** 2 for axis, side, half in zip(axes, (40, 30, 30), (28, 20, 25.6), strict=True))
    )
    probability = (1 / (1 + np.exp(20 * (radius - 1)))).astype(np.float32)
    ctv = Segmentation((radius < 1).astype(np.uint8), volume.affine, probability=probability)
    return ContouredVolume(volume, ctv, Author("benchmark", "0"))


def measure(name, shape, results):
    with tempfile.TemporaryDirectory() as folder:
        contoured = contoured_of(shape, Path(folder) / "source")
        small = contoured_of((40, 30, 10), Path(folder) / "small")
        (Path(folder) / "warm").mkdir()
        write_formats(Path(folder) / "warm", Request(small, (name,)))  # imports
        start = time.perf_counter()
        (output,) = write_formats(Path(folder), Request(contoured, (name,)))
        seconds = time.perf_counter() - start
        place = Path(folder) / output
        size = sum(file.stat().st_size for file in (place.iterdir() if place.is_dir() else [place]))
    results.put((name, seconds, size / 1e6))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shape", type=int, nargs=3, default=(800, 600, 200), help="columns, rows, slices")
    parser.add_argument("--formats", nargs="+", default=FORMATS, choices=FORMATS)
    parser.add_argument("-o", "--output", type=Path)
    options = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    lines = ["| format | seconds | file MB |", "|---|---|---|"]
    for name in options.formats:
        results = context.Queue()
        process = context.Process(target=measure, args=(name, tuple(options.shape), results))
        process.start()
        lines.append("| {} | {:.2f} | {:.1f} |".format(*results.get()))
        process.join()
        print(lines[-1], flush=True)
    if options.output:
        options.output.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
