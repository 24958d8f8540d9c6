"""What connects prostate-seg to MONAI and ignite: reader, training data, metrics, engine parts."""

from .data import EpochSampler, LoadCased, SeededDataset, cases_in
from .engine import AutocastInferer, SeedHandler, TrainingState, check_names, check_overrides, initialise
from .metrics import SegmentationMetrics
from .reader import UltrasoundReader, metatensor_of

__all__ = [
    "AutocastInferer",
    "EpochSampler",
    "LoadCased",
    "SeedHandler",
    "SeededDataset",
    "SegmentationMetrics",
    "TrainingState",
    "UltrasoundReader",
    "cases_in",
    "check_names",
    "check_overrides",
    "initialise",
    "metatensor_of",
]
