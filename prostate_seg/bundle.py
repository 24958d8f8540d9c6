"""A bundle folder becomes a predictor, from literal settings and an allow-list: nothing is evaluated."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import monai.inferers
import monai.transforms
import numpy as np
import torch
from monai.data import MetaTensor

from . import infer, network, transforms
from .assessment import Assessment, Judge
from .errors import BundleError, InputError, SettingsError
from .export.manifest import sha256_of_file
from .information import WEIGHTS, released_bundle, weights_file
from .monai_adapters import metatensor_of
from .volume import Segmentation, Volume
from .weights import load_state, read_state

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


_OF_WEIGHTS = {"released": "", "phantoms": " with weights from phantoms"}


@dataclass(frozen=True)
class BundleInfo:
    """Which model made a mask: name and version from metadata.json, SHA-256 of the weights.

    The name says so where the weights are not the bundle's ``released`` ones.
    """

    name: str
    version: str
    sha256: str


class Predictor:
    """Segments volumes: ``predictor(volume)``. Made by :func:`load_bundle`."""

    def __init__(
        self, settings: Mapping[str, Any], info: BundleInfo, device: torch.device, judge: Judge | None = None
    ) -> None:
        self.info, self.judge = info, judge
        self.device = device
        self.network = network.channels_last(build(settings["network_def"]))
        self.inferer = build(settings["inferer"])
        self._before = [build(step) for step in _steps(settings, "preprocessing")]
        self._after = [build(step) for step in _steps(settings, "postprocessing")]
        if not isinstance(self.network, torch.nn.Module):
            raise BundleError("The bundle's network_def is no network; write a prostate_seg.network.Segmenter.")
        if sum(isinstance(step, transforms.ToSourceGridd) for step in self._after) != 1:
            raise BundleError(
                "The bundle's postprocessing must hold prostate_seg.transforms.ToSourceGridd once: without it "
                "the mask would not lie on the grid of its image."
            )

    def __call__(self, volume: Volume) -> Segmentation:
        """Label the CTV (1) on the volume's own grid; ``probability`` is float32 before thresholding.

        Raises InputError where the volume is black everywhere.
        """
        return self._segmentation(volume, self._seen(volume)[0])

    def assess(self, volume: Volume) -> tuple[Segmentation, Assessment | None]:
        """The same segmentation, and how far it can be trusted; None where the bundle's inferer has no passes."""
        sample, passes = self._seen(volume)
        assessment = None
        if passes is not None and self.judge is not None:
            image, pred = sample["image"], sample["pred"].numpy()
            spacing = np.linalg.norm(np.asarray(image.affine, float)[:3, :3], axis=0)
            assessment = self.judge.assess(
                pred[1], passes, spacing.tolist(), features=self._features(image), seen=transforms.seen_in(image)
            )
        return self._segmentation(volume, sample), assessment

    def _seen(self, volume: Volume) -> tuple[dict[Any, Any], np.ndarray | None]:
        """The sample, with ``pred`` (2, I', J', K') on the model's grid, and the passes (N, I', J', K')."""
        if volume.array.max() <= min(0, volume.array.min()):
            raise InputError("The volume is black everywhere; expected ultrasound.")
        sample: dict[Any, Any] = {"image": metatensor_of(volume)}
        for step in self._before:
            sample = step(sample)
        with torch.inference_mode():
            batch = sample["image"].as_tensor()[None].to(self.device)  # (1, 1, I', J', K')
            collect = getattr(self.inferer, "collect", None)
            if collect is None:
                mean, passes = self.inferer(batch, self.network), None
            else:
                mean, each = collect(batch, self.network)
                passes = each[:, 0].float().cpu().numpy()  # (N, I', J', K')
        sample["pred"] = mean[0].float().cpu()  # (2, I', J', K')
        return sample, passes

    def _features(self, image: MetaTensor) -> np.ndarray | None:
        """What the encoder makes of the image, (D,); None where nobody asks or the network is no Segmenter."""
        first = network.members_of(self.network)[0]
        if self.judge is None or self.judge.recognition is None or not isinstance(first, network.Segmenter):
            return None
        with torch.inference_mode(), torch.autocast(self.device.type, torch.bfloat16):
            return np.asarray(first.features(image.as_tensor()[None].to(self.device))[0].float().cpu())

    def _segmentation(self, volume: Volume, sample: dict[Any, Any]) -> Segmentation:
        probability: np.ndarray | None = None
        for step in self._after:
            sample = step(sample)
            if isinstance(step, transforms.ToSourceGridd):
                probability = _array(sample["pred"])[0]
        labels = _array(sample["pred"])[0].astype(np.uint8)
        return Segmentation(
            labels, np.array(volume.affine), probability=probability, orientation=volume.orientation
        )


def load_bundle(
    folder: str | Path | None = None,
    *,
    weights: str | Path = "released",
    device: str = "auto",
    ensembling: Ensembling | None = None,
    shape_model: str | Path | None = None,
    refine: bool = True,
) -> Predictor:
    """Make the predictor of a bundle folder, by default the released one.

    weights: ``released`` (the bundle's models/model.pt), ``phantoms`` (its models/model_phantoms.pt, which never
    saw a patient) or a file of torch.save. device: ``auto`` (CUDA where there is one, else CPU), ``cpu``,
    ``cuda`` or ``mps``. ensembling: ``none`` one pass, ``flip`` with its mirror image, ``full`` also at scales
    0.75 and 1.25; by default what the bundle says. refine: whether the shape model moves blurred edges;
    shape_model: a file of ``prostate-seg shape-model`` instead of the bundle's.

    Raises BundleError (missing, corrupted, not allowed) and
    SettingsError.
    """
    place = released_bundle() if folder is None else Path(folder)
    settings = _read_json(place / "configs" / "inference.json")
    metadata = _read_json(place / "configs" / "metadata.json")
    missing = {"network_def", "inferer", "preprocessing", "postprocessing"} - set(settings)
    if missing:
        raise BundleError(f"{place / 'configs' / 'inference.json'} lacks {', '.join(sorted(missing))}.")
    file = weights_file(place, weights)
    if not file.is_file() and str(weights) not in WEIGHTS:
        raise BundleError(f"There are no weights at {file}; give {', '.join(WEIGHTS)} or a file of torch.save.")
    if not file.is_file():
        raise BundleError(
            f"The bundle {place} has no weights: {file} is missing; train with prostate-seg train, or "
            "reinstall the package for the released ones."
        )
    name = str(metadata.get("name", place.name)) + _OF_WEIGHTS.get(str(weights), " with a user's weights")
    info = BundleInfo(name, str(metadata.get("version", "")), sha256_of_file(file))
    own = file.resolve() == weights_file(place).resolve()
    judge = Judge.of(place / "models", released_bundle() / "models", own_weights=own)
    settings = _with_refinement(_with_ensembling(settings, ensembling), refine=refine, shape_model=shape_model)
    predictor = Predictor(settings, info, choose_device(device), judge)
    load_state(predictor.network, read_state(file), str(file))
    predictor.network.to(predictor.device).eval()
    return predictor


def choose_device(name: str) -> torch.device:
    """``auto`` is CUDA where there is one, else the CPU. Raises SettingsError for one that is not there."""
    present = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        return torch.device("cuda" if present["cuda"] else "cpu")
    if not present.get(name, False):
        there = ", ".join(key for key, value in present.items() if value)
        raise SettingsError(f"There is no device {name} here, only {there}; choose one of these or auto.")
    return torch.device(name)


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


def _steps(settings: Mapping[str, Any], block: str) -> list[dict[str, Any]]:
    try:
        return [step for step in settings[block]["transforms"] if step["_target_"] not in _FILES]
    except (KeyError, TypeError) as error:
        raise BundleError(f"The bundle's {block} is no Compose with a list of transforms.") from error


def _with_ensembling(settings: dict[str, Any], ensembling: Ensembling | None) -> dict[str, Any]:
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


def _with_refinement(settings: dict[str, Any], *, refine: bool, shape_model: str | Path | None) -> dict[str, Any]:
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


def _array(tensor: torch.Tensor) -> np.ndarray:
    return (tensor.as_tensor() if isinstance(tensor, MetaTensor) else tensor).numpy()


def _read_json(path: Path) -> dict[str, Any]:
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
