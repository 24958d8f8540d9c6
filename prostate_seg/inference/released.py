"""What is installed: versions, the released bundle, formats. Without torch, so that it answers at once."""

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
    """The folder of the bundle that comes with the package: installed beside it, or of its checkout."""
    package = Path(str(importlib.resources.files("prostate_seg")))
    places = (package / "released", package.parent / "bundles" / "prostate_us_segmenter")
    for place in places:
        if (place / "configs" / "inference.json").is_file():
            return place
    raise BundleError(f"The released bundle is neither in {places[0]} nor in {places[1]}; reinstall the package.")


WEIGHTS = {"released": "model.pt", "phantoms": "model_phantoms.pt"}


def weights_file(bundle: Path, name: str | Path = "released") -> Path:
    """The file of ``released`` weights, of ``phantoms`` (trained on phantoms alone), or a path of one's own."""
    return bundle / "models" / WEIGHTS[str(name)] if str(name) in WEIGHTS else Path(name)


def describe_installation() -> dict[str, Any]:
    """Versions, the released bundle and what can be read, for ``prostate-seg info``."""
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
        "reads": "DICOM ultrasound (multi-frame, series, enhanced volume), NIfTI, NRRD, MetaImage",
        "statement": "research use only, not a medical device",
    }


def package_versions(names: tuple[str, ...] = _PACKAGES) -> dict[str, str]:
    """Installed versions; ``absent`` for what is not installed."""
    versions = {}
    for name in names:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "absent"
    return versions
