"""A bundle's settings: literals and an allow-list become objects; nothing in them is evaluated."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import monai.inferers
import monai.transforms

from . import infer, network, transforms
from .errors import BundleError, SettingsError

Ensembling = Literal["none", "flip", "full"]

_FULL_SCALES = (0.75, 1.0, 1.25)
_FILES = {"LoadImaged", "EnsureChannelFirstd", "SaveImaged"}  # the parts that deal with files
_OF_MONAI = (
    *("AsDiscreted", "CropForegroundd", "FillHolesd", "KeepLargestConnectedComponentd"),
    *("Orientationd", "SpatialPadd"),
)
_OF_TRANSFORMS = ("ModelGridd", "NormalizeUltrasoundd", "ClipToFieldOfViewd", "RefineShaped", "ToSourceGridd")
_OF_INFER = ("SliceStackInferer", "ScaleFlipInferer")
_ALLOWED: dict[str, Any] = {
    **{f"prostate_seg.network.{name}": getattr(network, name) for name in network.__all__ if name[0].isupper()},
    **{f"prostate_seg.transforms.{name}": getattr(transforms, name) for name in _OF_TRANSFORMS},
    **{f"prostate_seg.infer.{name}": getattr(infer, name) for name in _OF_INFER},
    **{name: getattr(monai.transforms, name) for name in _OF_MONAI},
    "SlidingWindowInferer": monai.inferers.SlidingWindowInferer,
}


def build(definition: Any) -> Any:
    """Make the object that a literal definition with ``_target_`` describes. Raises BundleError."""
    if isinstance(definition, list):
        return [build(part) for part in definition]
    if isinstance(definition, str) and definition[:1] in ("$", "@", "%"):
        raise BundleError(f"The bundle says {definition!r} where only a literal may stand; write the value itself.")
    if not isinstance(definition, dict):
        return definition
    special = [key for key in definition if key.startswith("_") and key not in ("_target_", "_desc_")]
    if special:
        raise BundleError(f"The bundle uses {', '.join(special)}, which is not understood here; remove it.")
    arguments = {key: build(value) for key, value in definition.items() if not key.startswith("_")}
    if "_target_" not in definition:
        return arguments
    target = definition["_target_"]
    if not isinstance(target, str) or target not in _ALLOWED:
        raise BundleError(
            f"The bundle asks for {target!r}, which is not allowed here; allowed: {sorted(_ALLOWED)}."
        )
    try:
        return _ALLOWED[target](**arguments)
    except (TypeError, ValueError, RuntimeError, KeyError) as error:
        raise BundleError(f"The bundle's settings of {target} do not fit: {error}") from error


def steps_of(settings: Mapping[str, Any], block: str) -> list[dict[str, Any]]:
    """The transforms of a block that do not deal with files. Raises BundleError."""
    try:
        return [step for step in settings[block]["transforms"] if step["_target_"] not in _FILES]
    except (KeyError, TypeError) as error:
        raise BundleError(f"The bundle's {block} is no Compose with a list of transforms.") from error


def with_ensembling(settings: dict[str, Any], ensembling: Ensembling | None) -> dict[str, Any]:
    """The settings with other passes: see ``load_bundle``. Raises SettingsError."""
    if ensembling is None:
        return settings
    if ensembling not in ("none", "flip", "full"):
        raise SettingsError(f"Ensembling is none, flip or full, got {ensembling!r}.")
    passes = {
        "scales": list(_FULL_SCALES) if ensembling == "full" else [1.0],
        "flip_axes": [] if ensembling == "none" else [0],
    }
    inferer = settings["inferer"]
    if inferer["_target_"].endswith("SliceStackInferer"):
        return settings | {"inferer": inferer | {"inferer": inferer["inferer"] | passes}}
    return settings | {"inferer": inferer | passes}


def with_refinement(settings: dict[str, Any], *, refine: bool, shape_model: str | Path | None) -> dict[str, Any]:
    """The settings without the refinement, or with another shape model."""
    if refine and shape_model is None:
        return settings
    if shape_model is not None and not refine:
        raise SettingsError("A shape model refines; give either --shape-model or --no-refine.")
    steps, changed = settings["postprocessing"]["transforms"], []
    for step in steps:
        if not step["_target_"].endswith(".RefineShaped"):
            changed.append(step)
        elif refine:
            changed.append(step | {"shape_model": str(shape_model)})
    if refine and changed == steps:
        raise SettingsError("The bundle's postprocessing has no RefineShaped; leave --shape-model out.")
    return settings | {"postprocessing": settings["postprocessing"] | {"transforms": changed}}


def shape_model_in(settings: Mapping[str, Any]) -> Path:
    """The file of the shape model that refines; the released one where nothing does."""
    for step in settings["postprocessing"]["transforms"]:
        if step["_target_"].endswith(".RefineShaped") and step.get("shape_model", "released") != "released":
            return Path(step["shape_model"])
    return transforms.released_shape_model()


def read_json(path: Path) -> dict[str, Any]:
    """An object of a bundle's file. Raises BundleError."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BundleError(
            f"{path.parent.parent} is no bundle: {path} cannot be read ({error.strerror})."
        ) from error
    except ValueError as error:
        raise BundleError(f"{path} is not JSON: {error}.") from error
    if not isinstance(content, dict):
        raise BundleError(f"{path} holds a {type(content).__name__}, expected an object.")
    return content
