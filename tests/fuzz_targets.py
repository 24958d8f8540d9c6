"""What is called with a damaged file, and what must hold of what it gives: for :mod:`fuzz`."""

import shutil
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from prostate_seg.errors import GeometryError, ProstateSegError
from prostate_seg.geometry.volume import Segmentation, Volume

SECRET_BYTES = bytes([201, 202]) * 2_000_000  # no seed has these grays


class Wrong(Exception):  # noqa: N818 - a finding, not an error of the package
    """Something was accepted that no valid result looks like."""


def check(volume: Volume | Segmentation) -> None:
    """A shape of three axes, a finite affine that is no plane, and nothing of a file that is not the case's."""
    array = volume.array if isinstance(volume, Volume) else volume.labels
    if array.ndim != 3 or not array.size:
        raise Wrong(f"a shape of {array.shape}")
    if not np.isfinite(volume.affine).all() or not np.linalg.det(volume.affine[:3, :3]):
        raise Wrong("an affine that is not finite or singular")
    if isinstance(volume, Volume) and min((array == gray).mean() for gray in (201, 202)) > 0.05:
        raise Wrong("the content of a file beside the case's folder")


def image(file: Path) -> None:
    """Find and read, once as it is and once with what a user would add."""
    from prostate_seg.reading.cases import find_cases, read_case

    cases, _ = find_cases([file if file.suffix != ".dcm" else file.parent])
    for case in cases:
        try:
            check(read_case(case))
        except GeometryError:
            check(read_case(case, frame_spacing_mm=2.0))


def mask(file: Path) -> None:
    from prostate_seg.reading.masks import read_mask, read_segments

    grid = Segmentation(np.zeros((24, 20, 5), np.uint8), np.diag([-0.3, -0.4, 2.0, 1.0]))
    check(read_mask(file, like=grid))
    if file.suffix != ".dcm":
        read_segments(file)


def bundle(file: Path) -> None:
    from prostate_seg.inference.predictor import load_bundle

    load_bundle(file.parents[1], device="cpu")


def manifest(file: Path) -> None:
    """Every verb that reads a case's folder: the mask that counts, hand-over, collection."""
    from prostate_seg.cases.export import ExportOptions, export_case
    from prostate_seg.training.collect import collect

    order = ExportOptions(file.parent, ("nifti", "seg-nrrd"))
    out = file.parent.with_name("out")
    shutil.rmtree(out, ignore_errors=True)
    export_case(order, out, overwrite=True)
    export_case(replace(order, source=file.parent / "trus.nrrd"), out, overwrite=True)
    collect([file.parent], out / "collected", unchanged=True)


def table(file: Path) -> None:
    from prostate_seg.evaluation import read_patients
    from prostate_seg.evaluation.comparison.tables import paired, read_table, remarks

    refused: ProstateSegError | None = None
    for read in (lambda: remarks([read_table(file)] * 2), lambda: read_patients(file)):
        try:
            read()
        except ProstateSegError as error:
            refused = error
    if refused:
        raise refused
    found = read_table(file)
    for metric in found.values:
        paired(found, found, metric)


def shape_model(file: Path) -> None:
    from prostate_seg.assessment.shape_model import ShapeModel

    radii, _ = ShapeModel.load(file).fit(np.full(642, 20.0), np.ones(642))
    if radii.shape != (642,) or not np.isfinite(radii).all():
        raise Wrong("a shape of the model that is not finite")


def datalist(file: Path) -> None:
    from prostate_seg.training.datalist import load

    load(file)


def hints(file: Path) -> None:
    from prostate_seg.reading.hints import read_hints

    grid = np.diag([-0.3, -0.4, 2.0, 1.0])
    read_hints(
        file, Volume(np.zeros((24, 20, 5), np.uint8), grid), Segmentation(np.zeros((24, 20, 5), np.uint8), grid)
    )


OTHERS: dict[str, Callable[[Path], None]] = {
    "bundle": bundle,
    "manifest": manifest,
    "table": table,
    "shape-model": shape_model,
    "datalist": datalist,
    "hints": hints,
}


def target(name: str) -> Callable[[Path], None]:
    """What reads a format."""
    warnings.simplefilter("ignore")  # what is told to users is another test's
    return OTHERS.get(name) or (mask if name.startswith("mask-") else image)
