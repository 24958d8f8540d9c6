"""The objects that the parts of inference.json which decide a mask may be made of, by their names there.

Bundles that users have trained hold these names, so none is taken away or gets another meaning
(docs/bundle-vocabulary.md). Nothing else can be made from a bundle.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import monai.inferers
import monai.transforms

from ..network import PARTS
from .inferers import ScaleFlipInferer, SliceStackInferer
from .transforms import ClipToFieldOfViewd, ModelGridd, NormalizeUltrasoundd, RefineShaped, ToSourceGridd

_OURS = (
    *(ModelGridd, NormalizeUltrasoundd, ClipToFieldOfViewd, RefineShaped, ToSourceGridd),
    *(ScaleFlipInferer, SliceStackInferer),
)
_MONAI = (
    *("AsDiscreted", "CropForegroundd", "FillHolesd", "KeepLargestConnectedComponentd"),
    *("Orientationd", "SpatialPadd"),
)
ALLOWED: dict[str, Callable[..., Any]] = {
    **{f"prostate_seg.network.{part.__name__}": part for part in PARTS},
    **{f"prostate_seg.inference.{part.__name__}": part for part in _OURS},
    **{name: getattr(monai.transforms, name) for name in _MONAI},
    "SlidingWindowInferer": monai.inferers.SlidingWindowInferer,
}
