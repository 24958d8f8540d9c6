"""Predictor of a bundle folder. It is built from literal settings and an allow-list; no expression is evaluated."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
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
from ..assessment.assessor import Assessment, Assessor, Kinds
from ..errors import BundleError, InputError, ProstateSegError, SettingsError
from ..geometry.structures import CTV
from ..geometry.volume import Segmentation, Volume, spacing_of
from ..system.digests import sha256_of_file
from . import transforms
from .bundle_info import BundleInfo, name_and_version
from .devices import choose_device
from .further import Further, load_further
from .hint_network import HintNetwork, load_hint_network
from .reader import metatensor_of
from .released import WEIGHTS, released_bundle, weights_file
from .settings import (
    Ensembling,
    build,
    build_network,
    read_settings,
    settings_digest,
    shape_model_in,
    steps_of,
    with_ensembling,
    with_refinement,
)
from .weights import load_state, read_state

logger = logging.getLogger(__name__)
_OF_WEIGHTS = {"released": "", "phantoms": " with weights from phantoms"}


@dataclass(frozen=True, eq=False)
class Prediction:
    """Output of the network for a volume.

    Attributes
    ----------
    segmentation
        Mask on the volume's grid.
    image
        Input of the network: (1, I', J', K') on the model's grid.
    passes
        Foreground probability of each pass (member, scale, flip): (N, I', J', K').
    unrepaired
        Foreground probability before the shape model: (I', J', K').
    probability
        Final foreground probability, before it was resampled to the volume's grid: (I', J', K').
    """

    segmentation: Segmentation
    image: MetaTensor
    passes: np.ndarray
    unrepaired: np.ndarray
    probability: np.ndarray

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Return the voxel spacing of the model's grid."""
        return spacing_of(np.asarray(self.image.affine))


class Predictor:
    """Function that segments volumes, made by :func:`load_bundle`; ``assessor`` assesses the segmentations."""

    def __init__(
        self,
        settings: Mapping[str, Any],
        info: BundleInfo,
        device: torch.device,
        assessor: Assessor | None = None,
    ) -> None:
        self.info, self.assessor = info, assessor
        self.further: Further | None = None
        self.place: Path | None = None  # folder of the bundle
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

    @cached_property
    def hint_network(self) -> HintNetwork | None:
        """The bundle's network of hints, loaded when it is needed; None if it has none."""
        return None if self.place is None else load_hint_network(self.place, self.device)

    def __call__(self, volume: Volume) -> Segmentation:
        """Return the CTV with its probability (float32), and further structures, on the volume's grid.

        InputError is raised for a black volume.
        """
        return self.predict(volume).segmentation

    def assess(self, volume: Volume, *, recognise: bool = True) -> tuple[Segmentation, Assessment | None]:
        """Return the segmentation and its assessment. The assessment is None if there is no assessor.

        If ``recognise`` is true, also recognise the kind of the scan (:meth:`kinds`). A single slice never is.
        """
        found = self.predict(volume)
        return found.segmentation, self.assessment_of(volume, found, recognise=recognise)

    def assessment_of(self, volume: Volume, found: Prediction, *, recognise: bool = True) -> Assessment | None:
        """Return the assessment of a prediction, as :meth:`assess` does."""
        if self.assessor is None:
            return None
        kinds = self.kinds(volume, found.image) if recognise and volume.array.shape[2] > 1 else None
        seen = transforms.seen_in(found.image)
        return self.assessor.assess(
            found.probability, found.passes, found.spacing_mm, unrepaired=found.unrepaired, kinds=kinds, seen=seen
        )

    def kinds(self, volume: Volume, image: MetaTensor) -> Kinds | None:
        """Return the probability of each kind of scan, by the bundle's or the released recognition."""
        own = self.assessor.recognition if self.assessor else None
        if own is not None:
            features = self._features(image)
            with _of_the_bundle("recognition"):
                return None if features is None else Kinds(own(*features), self.info.sha256)
        other = self._released
        if other is None or other.assessor is None or other.assessor.recognition is None:
            return None
        return Kinds(other.assessor.recognition(*other.features(volume)), other.info.sha256)

    @cached_property
    def _released(self) -> Predictor | None:
        """Load the released predictor. The result is None if it is missing or damaged."""
        try:
            return load_bundle(device=self.device.type)
        except (BundleError, InputError) as error:
            logger.warning("It is not checked whether the scan shows a prostate: %s", error)
            return None

    def features(self, volume: Volume) -> np.ndarray:
        """Return the features (2, D) of the scan and of the scan upside down; SettingsError without a Segmenter."""
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
        """Compute the output of the network for a volume. Raise InputError if the volume is black everywhere."""
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
        labels = _array(sample["pred"])[0].astype(np.uint8)
        segmentation = Segmentation(
            labels,
            np.array(volume.affine),
            probability=_array(sample[transforms.on_source_grid("pred")]),
            orientation=volume.orientation,
            source_sha256=volume.source.sha256,
            model=(self.info.name, self.info.version),
        )
        if self.further is not None:
            segmentation = self.further(segmentation, batch, image, volume)
        first = sample.get(transforms.unrepaired("pred"), probability)
        return Prediction(segmentation, image, passes, _array(first), _array(probability))

    def _features(self, image: MetaTensor) -> np.ndarray | None:
        """Return the features (2, D) of the image and of the image upside down; None without a Segmenter."""
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
    structures: str | Sequence[str] = CTV,
) -> Predictor:
    """Load the predictor of a bundle folder, by default the released one. Raise BundleError or SettingsError.

    Parameters
    ----------
    weights
        ``released`` (the bundle's models/model.pt), ``phantoms`` (its models/model_phantoms.pt, trained without
        patients), or the path of a file written by torch.save.
    device
        ``auto`` (CUDA if present, else CPU), ``cpu``, ``cuda`` or ``mps``.
    ensembling
        ``none`` (one pass, for things too), ``flip`` (also the mirror image) or ``full`` (also scales 0.75 and
        1.25). None: as in the bundle.
    shape_model
        File written by ``prostate-seg shape-model``, used instead of the bundle's shape model.
    refine
        Whether the shape model moves blurred edges.
    structures
        What to segment: CTV, names of the bundle's further structures and things (the CTV is always segmented).
        ``all``: all structures, but no things.
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
    assessor = Assessor.of(
        place / "models",
        weights_sha256=sha256,
        settings_sha256=config_sha256,
        shape_model=shape_model_in(settings),
        as_fitted=refine and shape_model is None,
    )
    name += _OF_WEIGHTS.get(str(weights), " with a user's weights") + " with changed settings" * assessor.changed
    info = BundleInfo(
        name,
        version,
        sha256,
        config_sha256,
        ensembling=ensembling,
        refine=refine,
        shape_model_sha256=None if shape_model is None else sha256_of_file(Path(shape_model)),
    )
    predictor = Predictor(settings, info, choose_device(device), assessor)
    predictor.place = place
    load_state(predictor.network, read_state(file), str(file))
    predictor.further = load_further(place, structures, settings, predictor.device, one_pass=ensembling == "none")
    if predictor.further is not None:
        predictor.info = predictor.further.described(info)
    predictor.network.to(predictor.device).eval()
    return predictor


@contextmanager
def _of_the_bundle(part: str) -> Iterator[None]:
    """Turn errors of a bundle's step into BundleError, except lack of memory and this package's own errors."""
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


def _array(tensor: torch.Tensor) -> np.ndarray:
    return (tensor.as_tensor() if isinstance(tensor, MetaTensor) else tensor).numpy()
