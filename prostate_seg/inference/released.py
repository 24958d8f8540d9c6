"""Description of the installation: versions, released bundle, formats. It imports no torch, so it is fast."""

from __future__ import annotations

import importlib.resources
import json
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ..errors import BundleError

_PACKAGES = ("prostate-seg", "torch", "monai", "numpy", "pydicom", "nibabel", "SimpleITK", "scikit-image")


def released_bundle() -> Path:
    """Return the folder of the released bundle, in the installed package or in a checkout of the repository.

    BundleError is raised if there is none.
    """
    package = Path(str(importlib.resources.files("prostate_seg")))
    places = (package / "released", package.parent / "bundles" / "prostate_us_segmenter")
    for place in places:
        if (place / "configs" / "inference.json").is_file():
            return place
    raise BundleError(f"The released bundle is neither in {places[0]} nor in {places[1]}; reinstall the package.")


SHIPPED = ("data_prep", "notebooks", "slicer")  # converters, examples, the module for 3D Slicer
WEIGHTS = {"released": "model.pt", "phantoms": "model_phantoms.pt"}


def weights_file(bundle: Path, name: str | Path = "released") -> Path:
    """Return the path of the weights.

    Parameters
    ----------
    bundle
        Folder of a bundle.
    name
        ``released``, ``phantoms`` (weights trained only on phantoms), or the path of another file.
    """
    return bundle / "models" / WEIGHTS[str(name)] if str(name) in WEIGHTS else Path(name)


def shipped(name: str) -> Path | None:
    """Return a folder that comes with the package: installed beside its modules, or in its checkout."""
    package = Path(str(importlib.resources.files("prostate_seg")))
    checkout = package.parent
    places = [package / name, *([checkout / name] if (checkout / "setup.cfg").is_file() else [])]
    return next((place for place in places if place.is_dir()), None)


def describe_installation() -> dict[str, Any]:
    """Return versions, the released bundle and the readable formats, for ``prostate-seg info``."""
    bundle = released_bundle()
    metadata = json.loads((bundle / "configs" / "metadata.json").read_text(encoding="utf-8"))
    return {
        "versions": package_versions() | {"python": platform.python_version()},
        "bundle": {
            "name": metadata["name"],
            "version": metadata["version"],
            "folder": str(bundle),
            "weights": weights_file(bundle).is_file(),
        },
        "folders": {name: str(shipped(name) or "absent") for name in SHIPPED},
        "reads": "DICOM ultrasound (multi-frame, series, enhanced volume), NIfTI, NRRD, MetaImage",
        "statement": "research use only, not a medical device",
    }


def package_versions(names: tuple[str, ...] = _PACKAGES) -> dict[str, str]:
    """Return the installed version of each package; ``absent`` if it is not installed."""
    versions = {}
    for name in names:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "absent"
    return versions
