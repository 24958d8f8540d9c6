"""What connects prostate-seg to MONAI and ignite: reader, training data, metrics, engine parts."""

from .data import EpochSampler, LoadCased, SeededDataset, cases_in
from .engine import STATE_FILE, AutocastInferer, BestWeights, SeedHandler, TrainingState, averaged, initialise
from .metrics import EvaluationTables, SegmentationMetrics
from .overrides import check_names, check_overrides
from .reader import UltrasoundReader, metatensor_of

__all__ = [
    "STATE_FILE",
    "AutocastInferer",
    "BestWeights",
    "EpochSampler",
    "EvaluationTables",
    "LoadCased",
    "SeedHandler",
    "SeededDataset",
    "SegmentationMetrics",
    "TrainingState",
    "UltrasoundReader",
    "averaged",
    "cases_in",
    "check_names",
    "check_overrides",
    "initialise",
    "metatensor_of",
]
