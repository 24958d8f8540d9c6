"""Allow-list of the objects that inference.json may name in the parts that determine a mask.

No other object can be built from a bundle. Bundles trained by users contain these names, so we never remove a name
or change its meaning (docs/bundle-vocabulary.md).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import monai.inferers
import monai.transforms

from .. import network
from .cropping import CropAroundd
from .inferers import ScaleFlipInferer, SliceStackInferer
from .solid import LargestSolidd
from .transforms import ClipToFieldOfViewd, ModelGridd, NormalizeUltrasoundd, RefineShaped, ToSourceGridd

_OURS = (
    *(CropAroundd, ModelGridd, NormalizeUltrasoundd, ClipToFieldOfViewd, RefineShaped, ToSourceGridd),
    LargestSolidd,
    *(ScaleFlipInferer, SliceStackInferer),
)
_MONAI = (
    *("AsDiscreted", "CropForegroundd", "FillHolesd", "KeepLargestConnectedComponentd"),
    *("Orientationd", "SpatialPadd"),
)


def allowed() -> dict[str, Callable[..., Any]]:
    """Return what each allowed name makes."""
    return {
        **{f"prostate_seg.network.{part.__name__}": part for part in network.PARTS},
        **{f"prostate_seg.inference.{part.__name__}": part for part in _OURS},
        **{name: getattr(monai.transforms, name) for name in _MONAI},
        "SlidingWindowInferer": monai.inferers.SlidingWindowInferer,
    }
