from .cropping import CropAroundd
from .inferers import ScaleFlipInferer, SliceStackInferer
from .overrides import check_overrides
from .predictor import Predictor, load_bundle
from .reader import UltrasoundReader, cases_in
from .settings import part_of
from .solid import LargestSolidd
from .transforms import ClipToFieldOfViewd, ModelGridd, NormalizeUltrasoundd, RefineShaped, ToSourceGridd
from .weights import initialise

__all__ = [
    "ClipToFieldOfViewd",
    "CropAroundd",
    "LargestSolidd",
    "ModelGridd",
    "NormalizeUltrasoundd",
    "Predictor",
    "RefineShaped",
    "ScaleFlipInferer",
    "SliceStackInferer",
    "ToSourceGridd",
    "UltrasoundReader",
    "cases_in",
    "check_overrides",
    "initialise",
    "load_bundle",
    "part_of",
]
