"""A bundle folder becomes a predictor, from literal settings and an allow-list: nothing is evaluated."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor

from .. import network
from ..assessment import recognition
from ..assessment.judge import Assessment, Judge, Kinds
from ..errors import BundleError, InputError, ProstateSegError, SettingsError
from ..geometry.volume import Segmentation, Volume, spacing_of
from ..system.checked_files import shortened
from ..system.digests import sha256_of_file
from . import transforms
from .reader import metatensor_of
from .released import WEIGHTS, released_bundle, weights_file
from .settings import (
    Ensembling,
    build,
    build_network,
    read_json,
    read_settings,
    settings_digest,
    shape_model_in,
    steps_of,
    with_ensembling,
    with_refinement,
)
from .weights import load_state, read_state

logger = logging.getLogger(__name__)
LONGEST_NAME = 200  # characters of a bundle's name and version
_OF_WEIGHTS = {"released": "", "phantoms": " with weights from phantoms"}


@dataclass(frozen=True)
class BundleInfo:
    """Which model made a mask: name and version from metadata.json, SHA-256 of the weights and of the settings.

    The name says so if the weights are not the bundle's ``released`` ones, or the settings not those that its score
    was fitted with.
    """

    name: str
    version: str
    sha256: str
    config_sha256: str


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a network says of a volume.

    Attributes
    ----------
    segmentation
        On the volume's grid.
    image
        As the network saw it: (1, I', J', K') on the model's grid.
    passes
        Foreground of each pass (member, scale, flip): (N, I', J', K').
    unrepaired
        Their mean before the shape model: (I', J', K').
    probability
        The same after it, as it was brought to the volume's grid.
    """

    segmentation: Segmentation
    image: MetaTensor
    passes: np.ndarray
    unrepaired: np.ndarray
    probability: np.ndarray

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Of the model's grid."""
        return spacing_of(np.asarray(self.image.affine))


class Predictor:
    """Segments volumes: ``predictor(volume)``. Made by :func:`load_bundle`.

    judge: assesses what was segmented.
    """

    def __init__(
        self, settings: Mapping[str, Any], info: BundleInfo, device: torch.device, judge: Judge | None = None
    ) -> None:
        self.info, self.judge = info, judge
        self.device = device
        self.network = network.channels_last(build_network(settings["network_def"]))
        self.inferer = build(settings["inferer"])
        self._before = [build(step) for step in steps_of(settings, "preprocessing")]
        self._after = [build(step) for step in steps_of(settings, "postprocessing")]
        if sum(isinstance(step, transforms.ToSourceGridd) for step in self._after) != 1:
            raise BundleError(
                "The bundle's postprocessing must hold prostate_seg.inference.ToSourceGridd once: without it "
                "the mask would not lie on the grid of its image."
            )

    def __call__(self, volume: Volume) -> Segmentation:
        """Label the CTV on the volume's own grid; ``probability`` is float32 before thresholding.

        Raises InputError if the volume is black everywhere.
        """
        return self.predict(volume).segmentation

    def assess(self, volume: Volume, *, recognise: bool = True) -> tuple[Segmentation, Assessment | None]:
        """The same segmentation, and how far it can be trusted; None without a judge.

        recognise: whether to tell what the scan looks like.
        """
        found = self.predict(volume)
        if self.judge is None:
            return found.segmentation, None
        kinds = self.kinds(volume, found.image) if recognise and volume.array.shape[2] > 1 else None
        seen = transforms.seen_in(found.image)
        return found.segmentation, self.judge.assess(
            found.probability, found.passes, found.spacing_mm, unrepaired=found.unrepaired, kinds=kinds, seen=seen
        )

    def kinds(self, volume: Volume, image: MetaTensor) -> Kinds | None:
        """What a volume, prepared as image, looks like to this network or the released one; None if unknown."""
        own = self.judge.recognition if self.judge else None
        if own is not None:
            features = self._features(image)
            with _of_the_bundle("recognition"):
                return None if features is None else Kinds(own(*features), self.info.sha256)
        other = self._released
        if other is None or other.judge is None or other.judge.recognition is None:
            return None
        return Kinds(other.judge.recognition(*other.features(volume)), other.info.sha256)

    @cached_property
    def _released(self) -> Predictor | None:
        """The released predictor, None where it is not there or damaged."""
        try:
            return load_bundle(device=self.device.type)
        except (BundleError, InputError) as error:
            logger.warning("What the scan looks like is not told: %s", error)
            return None

    def features(self, volume: Volume) -> np.ndarray:
        """What recognition looks at, (2, D): of the scan, and of it turned upside down. Raises SettingsError."""
        found = self._features(self._prepared(volume)["image"])
        if found is None:
            raise SettingsError("The network is no Segmenter, so scans have no features.")
        return found

    def _prepared(self, volume: Volume) -> dict[Any, Any]:
        if volume.array.max() <= min(0, volume.array.min()):
            raise InputError("The volume is black everywhere; expected ultrasound.")
        sample: dict[Any, Any] = {"image": metatensor_of(volume)}
        with _of_the_bundle("preprocessing"):
            for step in self._before:
                sample = step(sample)
        return sample

    def predict(self, volume: Volume) -> Prediction:
        """What the network says of a volume. Raises InputError if it is black everywhere."""
        sample = self._prepared(volume)
        image = sample["image"]
        with _of_the_bundle("inferer"), torch.inference_mode():
            batch = image.as_tensor()[None].to(self.device)  # (1, 1, I', J', K')
            mean, each = self.inferer.collect(batch, self.network)
            passes = each[:, 0].float().cpu().numpy()  # (N, I', J', K')
        sample["pred"] = mean[0].float().cpu()  # (2, I', J', K')
        with _of_the_bundle("postprocessing"):
            for step in self._after:
                sample = step(sample)
        probability = sample[transforms.on_model_grid("pred")]
        segmentation = Segmentation(
            _array(sample["pred"])[0].astype(np.uint8),
            np.array(volume.affine),
            probability=_array(sample[transforms.on_source_grid("pred")]),
            orientation=volume.orientation,
            source_sha256=volume.source.sha256,
        )
        first = sample.get(transforms.unrepaired("pred"), probability)
        return Prediction(segmentation, image, passes, _array(first), _array(probability))

    def _features(self, image: MetaTensor) -> np.ndarray | None:
        """Of the image, and of it turned upside down: (2, D); None where the network is no Segmenter."""
        first = network.members_of(self.network)[0]
        if not isinstance(first, network.Segmenter):
            return None
        x = image.as_tensor()[None].to(self.device)  # (1, 1, I', J', K')
        with torch.inference_mode(), network.autocast(self.device.type):
            logits, tokens = first.with_features(torch.cat([x, x.flip(3)]))
        foreground = logits.float().softmax(1)[:, transforms.FOREGROUND].cpu().numpy()
        found = [
            recognition.scan_features(*pair) for pair in zip(tokens.float().cpu().numpy(), foreground, strict=True)
        ]
        return np.stack(found)


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
    settings = read_settings(place)
    file = weights_file(place, weights)
    if not file.is_file() and str(weights) not in WEIGHTS:
        raise BundleError(f"There are no weights at {file}; give {', '.join(WEIGHTS)} or a file of torch.save.")
    if not file.is_file():
        raise BundleError(
            f"The bundle {place} has no weights: {file} is missing; train with prostate-seg train, or "
            "reinstall the package for the released ones."
        )
    name, version = name_and_version(place)
    sha256, config_sha256 = sha256_of_file(file), settings_digest(settings)
    settings = with_refinement(with_ensembling(settings, ensembling), refine=refine, shape_model=shape_model)
    judge = Judge.of(
        place / "models",
        weights_sha256=sha256,
        settings_sha256=config_sha256,
        shape_model=shape_model_in(settings),
        as_fitted=refine and shape_model is None,
    )
    name += _OF_WEIGHTS.get(str(weights), " with a user's weights") + " with changed settings" * judge.changed
    info = BundleInfo(name, version, sha256, config_sha256)
    predictor = Predictor(settings, info, choose_device(device), judge)
    load_state(predictor.network, read_state(file), str(file))
    predictor.network.to(predictor.device).eval()
    return predictor


def name_and_version(bundle: Path) -> tuple[str, str]:
    """A bundle's name and version, by metadata.json. Raises BundleError."""
    path = bundle / "configs" / "metadata.json"
    metadata = read_json(path)
    name, version = metadata.get("name", bundle.name), metadata.get("version", "")
    for text in (name, version):
        if not isinstance(text, str) or not text.isprintable() or len(text) > LONGEST_NAME:
            raise BundleError(
                f"{path} gives {shortened(text)} as name or version, expected a line of at most "
                f"{LONGEST_NAME} characters; correct it."
            )
    return name, version


@contextmanager
def _of_the_bundle(part: str) -> Iterator[None]:
    """Raise BundleError for what a step of a bundle raises; lack of memory and this package's errors stay."""
    try:
        yield
    except ProstateSegError:
        raise
    except (AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        if "allocate" in str(error):
            raise
        raise BundleError(
            f"The bundle's {part} fails on this volume ({type(error).__name__}); correct it, or use another bundle."
        ) from error


def choose_device(name: str) -> torch.device:
    """``auto`` is CUDA where there is one, else the CPU. Raises SettingsError for one that is not there."""
    present = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        return torch.device("cuda" if present["cuda"] else "cpu")
    if not present.get(name, False):
        there = ", ".join(key for key, value in present.items() if value)
        raise SettingsError(f"There is no device {name} here, only {there}; choose one of these or auto.")
    return torch.device(name)


def _array(tensor: torch.Tensor) -> np.ndarray:
    return (tensor.as_tensor() if isinstance(tensor, MetaTensor) else tensor).numpy()
