"""The Segmenter.

Strudel, Garcia, Laptev, Schmid: "Segmenter: Transformer for Semantic Segmentation", ICCV 2021, arXiv 2105.05633,
in 2D and 3D: a vision transformer encodes patches, a decoder gives each patch its classes.

Parts come through the constructors, whose arguments are literals or other parts; parameters carry the names
of the authors' release, and so of timm's ViT. Shape letters: B batch, C input channels, K classes, D width,
N patches, T tokens (patches and class tokens), H heads; ``*grid`` is the number of patches along each axis.
"""

from .decoder import CosineScale, LinearDecoder, MaskTransformer, SkipDecoder
from .encoder import ConvStem, PatchEmbed, VisionTransformer, resize_position_embedding
from .ensemble import Ensemble, members_of
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

PARTS = (  # what a bundle's network_def may be made of
    *(Ensemble, Segmenter, VisionTransformer),
    *(ConvStem, PatchEmbed),
    *(CosineScale, LinearDecoder, MaskTransformer, SkipDecoder),
)

__all__ = [
    "PARTS",
    "ConvStem",
    "CosineScale",
    "Ensemble",
    "LinearDecoder",
    "MaskTransformer",
    "PatchEmbed",
    "Segmenter",
    "SkipDecoder",
    "VisionTransformer",
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
