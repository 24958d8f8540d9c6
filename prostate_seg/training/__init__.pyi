from .augmentation import RandFewSlicesd, RandUltrasoundd
from .data import EpochSampler, LoadCased, SeededDataset
from .datalist import items
from .engine import (
    AutocastInferer,
    ClippedGradients,
    EarlyStop,
    HiddenPatches,
    SeedHandler,
    averaged,
    freeze,
)
from .hints import SimulatedHintsd
from .losses import DiceCEHausdorffLoss
from .metrics import EvaluationTables, SegmentationMetrics
from .partial_labels import PartialLabelLoss, StructureDice
from .processes import handlers_of_process, join_processes, leave_processes, share_of_process
from .progress import TrainingProgress
from .sampling import HardExamples, HardExampleSampler
from .saved import BestWeights, PublishedWeights, TrainingState
from .second_look import LoadFirstLook
from .things import LoadThings, SectionLoss, SectionMapsd, ThingQuality

__all__ = [
    "AutocastInferer",
    "BestWeights",
    "ClippedGradients",
    "DiceCEHausdorffLoss",
    "EarlyStop",
    "EpochSampler",
    "EvaluationTables",
    "HardExampleSampler",
    "HardExamples",
    "HiddenPatches",
    "LoadCased",
    "LoadFirstLook",
    "LoadThings",
    "PartialLabelLoss",
    "PublishedWeights",
    "RandFewSlicesd",
    "RandUltrasoundd",
    "SectionLoss",
    "SectionMapsd",
    "SeedHandler",
    "SeededDataset",
    "SegmentationMetrics",
    "SimulatedHintsd",
    "StructureDice",
    "ThingQuality",
    "TrainingProgress",
    "TrainingState",
    "averaged",
    "freeze",
    "handlers_of_process",
    "items",
    "join_processes",
    "leave_processes",
    "share_of_process",
]
