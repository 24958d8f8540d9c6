"""Prostate clinical target volume (CTV) segmentation in transrectal ultrasound (TRUS).

>>> import prostate_seg
>>> volume = prostate_seg.read("study/")                       # DICOM, NIfTI, NRRD, MetaImage
>>> ctv = prostate_seg.segment(volume)                         # the released model
>>> prostate_seg.write(ctv, "ctv.nii.gz")

Names are loaded when they are first used: importing this package is quick.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from .bundle import load_bundle
    from .errors import (
        BundleError,
        GeometryError,
        InputError,
        OutputError,
        ProstateSegError,
        SettingsError,
    )
    from .evaluation import evaluate
    from .export import write
    from .network import Segmenter, segmenter_base, segmenter_large, segmenter_small, segmenter_tiny
    from .pipeline import segment
    from .readers import read
    from .volume import Segmentation, Volume

_PLACES = {
    "BundleError": "errors",
    "GeometryError": "errors",
    "InputError": "errors",
    "OutputError": "errors",
    "ProstateSegError": "errors",
    "Segmentation": "volume",
    "Segmenter": "network",
    "SettingsError": "errors",
    "Volume": "volume",
    "evaluate": "evaluation",
    "load_bundle": "bundle",
    "read": "readers",
    "segment": "pipeline",
    "segmenter_base": "network",
    "segmenter_large": "network",
    "segmenter_small": "network",
    "segmenter_tiny": "network",
    "write": "export",
}

__all__ = [
    "BundleError",
    "GeometryError",
    "InputError",
    "OutputError",
    "ProstateSegError",
    "Segmentation",
    "Segmenter",
    "SettingsError",
    "Volume",
    "evaluate",
    "load_bundle",
    "read",
    "segment",
    "segmenter_base",
    "segmenter_large",
    "segmenter_small",
    "segmenter_tiny",
    "write",
]


def __dir__() -> list[str]:
    return sorted(__all__)


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_PLACES[name]}", __name__), name)
