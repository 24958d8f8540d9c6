"""The networks that are compared: ours, its variants, and what MONAI has."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from monai.networks.nets import UNETR, DynUNet, SegResNet, SwinUNETR

from prostate_seg.network import (
    ConvStem,
    LinearDecoder,
    MaskTransformer,
    PatchEmbed,
    Segmenter,
    SkipDecoder,
    VisionTransformer,
)

WINDOW = (72, 48, 32)
WINDOW_32 = (96, 64, 32)  # for networks that halve five times


@dataclass(frozen=True)
class Contender:
    """How to make a network, its window in voxels, its learning rate (AdamW)."""

    make: Callable[[], torch.nn.Module]
    window: tuple[int, int, int] = WINDOW
    rate: float = 1e-3


def segmenter(*, refine: int = 1, drop_path: float = 0.0, depth: int = 6) -> Segmenter:
    """The bundle's network."""
    stem = ConvStem(1, 192, (8, 8, 4), refine=refine)
    encoder = VisionTransformer(WINDOW, stem, depth=depth, heads=3, drop_path=drop_path)
    return Segmenter(encoder, SkipDecoder(192, 2, channels=(24, 48, 96), axes=3, refine=refine))


def official(decoder: type[LinearDecoder | MaskTransformer]) -> Segmenter:
    """Strudel et al.: linear patch embedding, no stem, no skips; in 3D with the same patches."""
    embed = PatchEmbed(1, 192, (8, 8, 4))
    return Segmenter(VisionTransformer(WINDOW, embed, depth=6, heads=3, drop_path=0.1), decoder(192, 2))


def dynunet() -> DynUNet:
    """nnU-Net's plain U-Net: instance norm, leaky ReLU, transposed convolutions, deep supervision."""
    return DynUNet(
        3, 1, 2, kernel_size=[3] * 4, strides=[1, 2, 2, 2], upsample_kernel_size=[2] * 3, filters=[24, 48, 96, 192],
        deep_supervision=True, deep_supr_num=2,
    )  # fmt: skip


CONTENDERS = {
    "segmenter": Contender(segmenter, rate=8e-4),
    "segmenter, no refinement": Contender(lambda: segmenter(refine=0), rate=8e-4),
    "segmenter, no transformer": Contender(lambda: segmenter(depth=0), rate=8e-4),
    "official, linear": Contender(lambda: official(LinearDecoder), rate=8e-4),
    "official, mask": Contender(lambda: official(MaskTransformer), rate=8e-4),
    "dynunet": Contender(dynunet),
    "segresnet": Contender(lambda: SegResNet(3, 16, 1, 2)),
    "unetr": Contender(lambda: UNETR(1, 2, WINDOW_32, feature_size=16, hidden_size=192, mlp_dim=768, num_heads=3),
                       WINDOW_32),
    "swinunetr": Contender(lambda: SwinUNETR(1, 2, feature_size=12), WINDOW_32),
}  # fmt: skip
