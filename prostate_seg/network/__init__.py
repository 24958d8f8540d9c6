"""The Segmenter network in 2D and 3D.

Strudel, Garcia, Laptev, Schmid: "Segmenter: Transformer for Semantic Segmentation", ICCV 2021, arXiv 2105.05633.
A vision transformer encodes patches. A decoder classifies each patch.

The parts of a network are arguments of its constructor; arguments are literals or other parts. Parameters have the
names of the authors' release, which are also those of timm's ViT. Shape letters: B batch, C input channels, K
classes, D width, N patches, T tokens (patches and class tokens), H heads. ``*grid`` is the number of patches along
each axis.
"""

from .decoder import CosineScale, LinearDecoder, MaskTransformer, SkipDecoder, VoxelDecoder
from .encoder import SEEING, VisionTransformer, resize_position_embedding
from .ensemble import Ensemble, members_of
from .multi_label import CLASSES, MultiLabelSegmenter
from .patches import ConvStem, PatchEmbed
from .precision import autocast
from .segmenter import (
    Segmenter,
    channels_last,
    segmenter_base,
    segmenter_large,
    segmenter_of_size,
    segmenter_small,
    segmenter_tiny,
    slice_stack,
)

PARTS = (  # the classes that a bundle's network_def may use
    *(Ensemble, MultiLabelSegmenter, Segmenter, VisionTransformer),
    *(ConvStem, PatchEmbed),
    *(CosineScale, LinearDecoder, MaskTransformer, SkipDecoder, VoxelDecoder),
)

__all__ = [
    "CLASSES",
    "PARTS",
    "SEEING",
    "ConvStem",
    "CosineScale",
    "Ensemble",
    "LinearDecoder",
    "MaskTransformer",
    "MultiLabelSegmenter",
    "PatchEmbed",
    "Segmenter",
    "SkipDecoder",
    "VisionTransformer",
    "VoxelDecoder",
    "autocast",
    "channels_last",
    "members_of",
    "resize_position_embedding",
    "segmenter_base",
    "segmenter_large",
    "segmenter_of_size",
    "segmenter_small",
    "segmenter_tiny",
    "slice_stack",
]
