from .cases.segment import segment
from .errors import BundleError, GeometryError, InputError, OutputError, ProstateSegError, SettingsError
from .evaluation import evaluate
from .geometry.volume import Segmentation, Volume
from .inference.predictor import load_bundle
from .network import Segmenter, segmenter_base, segmenter_large, segmenter_small, segmenter_tiny
from .reading.cases import read
from .reading.masks import read_mask
from .writing import to_nibabel, to_simpleitk, write

__version__: str
__all__ = [
    "BundleError",
    "GeometryError",
    "InputError",
    "OutputError",
    "ProstateSegError",
    "Segmentation",
    "Segmenter",
    "SettingsError",
    "Volume",
    "evaluate",
    "load_bundle",
    "read",
    "read_mask",
    "segment",
    "segmenter_base",
    "segmenter_large",
    "segmenter_small",
    "segmenter_tiny",
    "to_nibabel",
    "to_simpleitk",
    "write",
]
