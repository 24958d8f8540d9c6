from .augmentation import RandFewSlicesd, RandUltrasoundd
from .data import EpochSampler, LoadCased, SeededDataset
from .datalist import items
from .engine import (
    AutocastInferer,
    BestWeights,
    ClippedGradients,
    HiddenPatches,
    SeedHandler,
    TrainingState,
    averaged,
)
from .losses import DiceCEHausdorffLoss
from .metrics import EvaluationTables, SegmentationMetrics
from .sampling import HardExamples, HardExampleSampler

__all__ = [
    "AutocastInferer",
    "BestWeights",
    "ClippedGradients",
    "DiceCEHausdorffLoss",
    "EpochSampler",
    "EvaluationTables",
    "HardExampleSampler",
    "HardExamples",
    "HiddenPatches",
    "LoadCased",
    "RandFewSlicesd",
    "RandUltrasoundd",
    "SeedHandler",
    "SeededDataset",
    "SegmentationMetrics",
    "TrainingState",
    "averaged",
    "items",
]
