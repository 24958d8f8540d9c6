"""A bundle's settings. Objects are built from literals and an allow-list; no expression is evaluated."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch

from ..errors import BundleError, SettingsError
from ..system import checked_files
from ..system.checked_files import shortened
from ..system.digests import sha256_of_file
from . import transforms
from .limits import MOST_PARAMETERS, check_limits
from .vocabulary import allowed

Ensembling = Literal["none", "flip", "full"]

PARTS = ("network_def", "inferer", "preprocessing", "postprocessing")  # of inference.json; they determine the mask
_UNFIT = (
    *(ArithmeticError, AssertionError, AttributeError, LookupError, OSError),
    *(RuntimeError, TypeError, ValueError),
)
_FULL_SCALES = (0.75, 1.0, 1.25)
_FILES = {"LoadImaged", "EnsureChannelFirstd", "SaveImaged"}  # transforms that read or write files


def build(definition: Any) -> Any:
    """Build the object that a literal definition with ``_target_`` describes.

    A list is built element by element. Any other literal is returned unchanged. BundleError is raised for an
    expression, for a ``_target_`` that is not allowed, and for arguments that do not fit it.
    """
    if isinstance(definition, list):
        return [build(part) for part in definition]
    if isinstance(definition, str) and definition[:1] in ("$", "@", "%"):
        raise BundleError(
            f"The bundle says {shortened(definition)} where only a literal may stand; write the value itself."
        )
    if not isinstance(definition, dict):
        return definition
    special = [key for key in definition if key.startswith("_") and key not in ("_target_", "_desc_")]
    if special:
        raise BundleError(
            f"The bundle uses {shortened(special[0])[1:-1]}, which is not understood here; remove it."
        )
    arguments = {key: build(value) for key, value in definition.items() if not key.startswith("_")}
    if "_target_" not in definition:
        return arguments
    target = definition["_target_"]
    if not isinstance(target, str) or target not in allowed():
        raise BundleError(
            f"The bundle asks for {shortened(target)}, which is not allowed here; allowed: {sorted(allowed())}."
        )
    try:
        return allowed()[target](**arguments)
    except _UNFIT as error:
        why = shortened(str(error), 300)[1:-1] or type(error).__name__
        raise BundleError(f"The bundle's settings of {target} do not fit: {why}") from error


def build_network(definition: Any) -> torch.nn.Module:
    """Build the network of a definition after a check of its size. Raise BundleError if it is invalid."""
    draw_network(definition)
    network: torch.nn.Module = build(definition)
    return network


def draw_network(definition: Any) -> torch.nn.Module:
    """Build the network of a definition on PyTorch's ``meta`` device, so that its parameters take no memory.

    BundleError is raised if the definition is not a network, or if the network is too large.
    """
    check_limits(definition)
    with torch.device("meta"):
        drawn = build(definition)
    if not isinstance(drawn, torch.nn.Module):
        raise BundleError("The bundle's network_def is no network; write a prostate_seg.network.Segmenter.")
    count = sum(parameter.numel() for parameter in drawn.parameters())
    if count > MOST_PARAMETERS:
        raise BundleError(
            f"The bundle's network_def has {count} parameters, expected at most {MOST_PARAMETERS}; make it smaller."
        )
    return drawn


def read_settings(bundle: Path) -> dict[str, Any]:
    """Read the parts of a bundle's inference.json that determine the mask.

    Form and numbers are checked. BundleError is raised if they are invalid.
    """
    path = bundle / "configs" / "inference.json"
    content = read_json(path)
    missing = set(PARTS) - set(content)
    if missing:
        raise BundleError(f"{path} lacks {', '.join(sorted(missing))}.")
    settings = {part: content[part] for part in PARTS}
    for part in PARTS[:2]:
        _target(settings[part], part)
    for part in PARTS[2:]:
        for step in steps_of(settings, part):
            _target(step, part)
    _check_inferer(settings["inferer"])
    check_limits(settings)
    return settings


def part_of(bundle: str | Path, name: str) -> Any:
    """Return one of the parts of a bundle's inference.json, built. Raise BundleError if it is invalid.

    ``name`` is ``network_def``, ``inferer``, ``preprocessing`` or ``postprocessing``. The last two are lists of
    transforms, without those that read or write files.
    """
    settings = read_settings(Path(bundle))
    if name not in settings:
        raise BundleError(f"A bundle has no part named {shortened(name)}, expected one of {', '.join(PARTS)}.")
    return build(steps_of(settings, name) if name in PARTS[2:] else settings[name])


def settings_digest(settings: Mapping[str, Any]) -> str:
    """Return the hexadecimal SHA-256 of everything that determines a mask, except the weights.

    These are the settings without their remarks (``_desc_``), and the bytes of the shape models. Transforms that
    read or write files are left out. LargestSolidd counts as MONAI's two transforms that give the same voxels, so
    that results of bundles with either belong together. BundleError is raised if a shape model cannot be read.
    """
    parts = {part: _bare(settings[part]) for part in PARTS[:2]}
    parts |= {part: _bare(steps_of(settings, part)) for part in PARTS[2:]}
    parts["postprocessing"] = [equal for step in parts["postprocessing"] for equal in _as_monais(step)]
    for step in parts["postprocessing"]:
        if _refines(step):
            file = _shape_model(step)
            try:
                checked_files.check_plain(file)
                step["shape_model"] = sha256_of_file(file)
            except (OSError, ValueError) as error:
                raise BundleError(f"The bundle's shape model {file} cannot be read; give it another.") from error
    return hashlib.sha256(json.dumps(parts, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _as_monais(step: dict[str, Any]) -> list[dict[str, Any]]:
    if step["_target_"] != "prostate_seg.inference.LargestSolidd":
        return [step]
    return [step | {"_target_": name} for name in ("KeepLargestConnectedComponentd", "FillHolesd")]


def _bare(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _bare(part) for key, part in value.items() if key != "_desc_"}
    return [_bare(part) for part in value] if isinstance(value, list) else value


def _target(definition: Any, part: str) -> str:
    """Return the ``_target_`` of a definition. Raise BundleError if there is none."""
    target = definition.get("_target_") if isinstance(definition, dict) else None
    if not isinstance(target, str):
        raise BundleError(f"The bundle's {part} holds {shortened(definition)}, expected an object with a _target_.")
    return target


def _check_inferer(inferer: Any) -> None:
    """Raise BundleError if the inferer gives no probabilities.

    A ScaleFlipInferer gives probabilities, alone or inside a SliceStackInferer.
    """
    target = _target(inferer, "inferer")
    if target.endswith(".SliceStackInferer"):
        target = _target(inferer.get("inferer"), "inferer")
    if target in allowed() and not target.endswith(".ScaleFlipInferer"):
        raise BundleError(
            f"The bundle's inferer is a {target}, which gives logits and no probabilities; put it into a "
            "prostate_seg.inference.ScaleFlipInferer."
        )


def steps_of(settings: Mapping[str, Any], block: str) -> list[dict[str, Any]]:
    """Return the transforms of a block that do not read or write files. Raise BundleError if there is no list."""
    try:
        return [step for step in settings[block]["transforms"] if step["_target_"] not in _FILES]
    except (AttributeError, LookupError, TypeError) as error:
        raise BundleError(f"The bundle's {block} is no Compose with a list of transforms.") from error


def with_ensembling(settings: dict[str, Any], ensembling: Ensembling | None) -> dict[str, Any]:
    """Return the settings with the passes of ``ensembling`` (see ``load_bundle``).

    SettingsError is raised for an unknown value.
    """
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
    """Return the settings without the refinement, or with another shape model.

    SettingsError is raised if a shape model is given but nothing is refined.
    """
    if refine and shape_model is None:
        return settings
    if shape_model is not None and not refine:
        raise SettingsError("A shape model refines; give either --shape-model or --no-refine.")
    steps, changed = settings["postprocessing"]["transforms"], []
    for step in steps:
        if not _refines(step):
            changed.append(step)
        elif refine:
            changed.append(step | {"shape_model": str(shape_model)})
    if refine and changed == steps:
        raise SettingsError("The bundle's postprocessing has no RefineShaped; leave --shape-model out.")
    return settings | {"postprocessing": settings["postprocessing"] | {"transforms": changed}}


def shape_model_in(settings: Mapping[str, Any]) -> Path:
    """Return the file of the shape model that refines, or of the released one if the settings refine nothing."""
    for step in settings["postprocessing"]["transforms"]:
        if _refines(step):
            return _shape_model(step)
    return transforms.released_shape_model()


def _refines(step: Mapping[str, Any]) -> bool:
    return str(step["_target_"]).endswith(".RefineShaped")


def _shape_model(step: Mapping[str, Any]) -> Path:
    """Return the file of the shape model in a refining step. Raise BundleError if the entry is not a string."""
    file = step.get("shape_model", "released")
    if not isinstance(file, str):
        raise BundleError(f"The bundle's shape_model is {shortened(file)}, expected a file's path or released.")
    return transforms.released_shape_model() if file == "released" else Path(file)


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON file of a bundle. Raise BundleError if it is missing, damaged, or not a JSON object."""
    try:
        content = checked_files.read_json(path)
    except OSError as error:
        raise BundleError(
            f"{path.parent.parent} is no bundle: {path} cannot be read ({error.strerror})."
        ) from error
    except ValueError as error:
        raise BundleError(f"{path} is not JSON as a bundle has it: {error}.") from error
    if not isinstance(content, dict):
        raise BundleError(f"{path} holds a {type(content).__name__}, expected an object.")
    return content
