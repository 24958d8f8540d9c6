"""From a case to its folder of results: read, segment, write, each case on its own."""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from .acquisition import Acquisition
from .bundle import Predictor, load_bundle
from .errors import OutputError, ProstateSegError
from .export.manifest import write_manifest
from .export.nifti import write_nifti
from .export.nrrd import write_nrrd, write_seg_nrrd
from .export.png import write_png
from .information import package_versions
from .readers import Case, read, read_case
from .volume import Segmentation, Volume, extent_mm

logger = logging.getLogger(__name__)

Writer = Callable[[Path, Volume, Segmentation], None]
FORMATS: dict[str, tuple[str, Writer]] = {
    "nifti": ("ctv.nii.gz", lambda path, volume, ctv: write_nifti(path, ctv, orientation=volume.orientation)),
    "seg-nrrd": ("ctv.seg.nrrd", lambda path, volume, ctv: write_seg_nrrd(path, ctv)),
    "nrrd": ("trus.nrrd", lambda path, volume, ctv: write_nrrd(path, volume)),
    "png": ("overlay.png", write_png),
}


@dataclass(frozen=True)
class Options:
    """What ``prostate-seg segment`` was asked for. formats: names of FORMATS."""

    output: Path
    formats: tuple[str, ...] = tuple(FORMATS)
    acquisition: Acquisition = field(default_factory=Acquisition)
    anonymous_names: bool = False
    overwrite: bool = False


@dataclass(frozen=True)
class Outcome:
    """What became of a case: its manifest and folder, or the reason why it failed."""

    case: str
    folder: Path | None = None
    manifest: dict[str, Any] | None = None
    error: str = ""


def segment(image: str | Path | Volume, *, bundle: str | Path | None = None, device: str = "auto") -> Segmentation:
    """Segment one volume, or the one case in a file, folder or zip; by default with the released bundle.

    For several, make a predictor once: ``load_bundle()``. Raises InputError, GeometryError, BundleError.
    """
    volume = image if isinstance(image, Volume) else read(image)
    return load_bundle(bundle, device=device)(volume)


def segment_case(case: Case, predictor: Predictor, options: Options) -> Outcome:
    """Read, segment and write one case. A failure leaves nothing behind and is told in the outcome."""
    try:
        if not options.anonymous_names:
            _check_free(options.output / case.name, options.overwrite)
        start = time.perf_counter()
        volume = read_case(case, **asdict(options.acquisition))
        read_at = time.perf_counter()
        ctv = predictor(volume)
        segmented_at = time.perf_counter()
        name = volume.source.sha256[:12] if options.anonymous_names else case.name
        folder = options.output / name
        _check_free(folder, options.overwrite)
        manifest = describe(volume, ctv, predictor)
        manifest["outputs"] = [FORMATS[name][0] for name in options.formats] + ["manifest.json"]
        manifest["timing_s"] = {
            "read": round(read_at - start, 3),
            "segment": round(segmented_at - read_at, 3),
        }
        _write(folder, volume, ctv, manifest=manifest, formats=options.formats)
        return Outcome(name, folder, manifest)
    except ProstateSegError as error:
        return Outcome(case.name, error=str(error))
    except MemoryError:
        return Outcome(case.name, error=f"{case.name} does not fit into memory; segment a smaller volume.")


def describe(volume: Volume, ctv: Segmentation, predictor: Predictor) -> dict[str, Any]:
    """The manifest of a segmentation, without names, dates or paths. Undefined numbers are null, with a reason."""
    warnings = list(volume.warnings)
    single = volume.array.shape[2] == 1
    if single:
        warnings.append("The input is a single slice: it was segmented in 2D and no volume is given.")
    if not ctv.labels.any():
        warnings.append("No prostate was found: the mask is empty.")
    along_axes = extent_mm(ctv)
    extent: dict[str, Any] = {"axes": [round(value, 2) for value in along_axes]}
    if volume.orientation == "assumed":
        extent["patient"] = None
        extent["reason"] = "the file gives no orientation"
    else:
        names = ("left_right", "anterior_posterior", "superior_inferior")
        closest = np.abs(ctv.affine[:3, :3] / np.array(ctv.spacing_mm)).argmax(axis=1)
        extent["patient"] = {name: round(along_axes[axis], 2) for name, axis in zip(names, closest, strict=True)}
    return {
        "input": {"kind": volume.source.kind, "sha256": volume.source.sha256},
        "orientation": volume.orientation,
        "spacing_mm": [round(value, 6) for value in volume.spacing_mm],
        "volume_ml": None if single else round(ctv.volume_ml, 3),
        "extent_mm": extent,
        "uncertainty": {"mean_boundary_entropy_nats": _boundary_entropy(ctv)},
        "warnings": warnings,
        "device": str(predictor.device),
        "bundle": {
            "name": predictor.info.name,
            "version": predictor.info.version,
            "sha256": predictor.info.sha256,
        },
        "versions": package_versions(),
        "statement": "research use only, not a medical device",
    }


def _boundary_entropy(ctv: Segmentation) -> float | None:
    """Mean entropy where the probability is between 1 % and 99 %; null without such voxels."""
    if ctv.probability is None:
        return None
    p = ctv.probability[(ctv.probability > 0.01) & (ctv.probability < 0.99)].astype(np.float64)
    return round(float(-(p * np.log(p) + (1 - p) * np.log1p(-p)).mean()), 4) if p.size else None


def _check_free(folder: Path, overwrite: bool) -> None:
    if folder.exists() and not overwrite:
        raise OutputError(f"{folder} exists already; give --overwrite to replace it, or another output folder.")


def _write(
    folder: Path, volume: Volume, ctv: Segmentation, *, manifest: dict[str, Any], formats: Sequence[str]
) -> None:
    """Fill a folder beside the wanted one and rename it, so that a crash leaves no half result."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    except OSError as error:
        raise OutputError(
            f"The output folder {folder.parent} cannot be written ({error.strerror}); choose another."
        ) from error
    try:
        for name in formats:
            filename, writer = FORMATS[name]
            writer(partial / filename, volume, ctv)
        write_manifest(partial / "manifest.json", manifest)
        partial.chmod(0o777 & ~_umask())
        if folder.exists():
            shutil.rmtree(folder)
        partial.rename(folder)
    except OSError as error:
        if isinstance(error, ProstateSegError):
            raise
        raise OutputError(
            f"{folder} cannot be written ({error.strerror}); free space or choose another."
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current
