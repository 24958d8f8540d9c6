"""What connects prostate-seg to MONAI and ignite: reader, training data, metrics, engine parts."""

from .data import EpochSampler, LoadCased, SeededDataset, cases_in
from .engine import STATE_FILE, AutocastInferer, BestWeights, SeedHandler, TrainingState, averaged, initialise
from .losses import DiceCEHausdorffLoss
from .metrics import EvaluationTables, SegmentationMetrics
from .overrides import check_names, check_overrides
from .reader import UltrasoundReader, metatensor_of
from .sampling import HardExamples, HardExampleSampler, clusters_of, error_mm, sampling_weights

__all__ = [
    "STATE_FILE",
    "AutocastInferer",
    "BestWeights",
    "DiceCEHausdorffLoss",
    "EpochSampler",
    "EvaluationTables",
    "HardExampleSampler",
    "HardExamples",
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
    "clusters_of",
    "error_mm",
    "initialise",
    "metatensor_of",
    "sampling_weights",
]
