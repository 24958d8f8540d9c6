"""Networks of the comparison: our network, its variants, and networks of MONAI."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

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
    VoxelDecoder,
)
from prostate_seg.training.losses import DiceCEHausdorffLoss

from .losses import SPACING_MM, DistanceLoss

WINDOW = (72, 48, 32)
WINDOW_32 = (96, 64, 32)  # for networks with five downsampling steps


def dice_ce(hausdorff_weight: float = 0.0) -> torch.nn.Module:
    """Make the loss of the bundle."""
    return DiceCEHausdorffLoss(spacing_mm=SPACING_MM, hausdorff_weight=hausdorff_weight)


@dataclass(frozen=True)
class Contender:
    """How to make a network and train it.

    Attributes
    ----------
    make
        Function that makes the network.
    window
        Size of the window in voxels.
    rate
        Learning rate of AdamW.
    loss
        Function that makes the loss.
    start
        Name of the initial weights; None for random weights.
    phantoms
        Number of training phantoms. If it is not 0, half of each batch is drawn from them.
    masked
        Fraction of the budget that is first spent on restoring hidden blocks of the training images.
    without
        Augmentation step to leave out.
    averaged
        Whether to use the moving average of the weights.
    hard
        Share of hard-example sampling.
    hidden
        Share of the patches that the transformer does not see in the first 70 % of the budget.
    norm
        Largest norm of a gradient.
    """

    make: Callable[[], torch.nn.Module]
    window: tuple[int, int, int] = WINDOW
    rate: float = 1e-3
    loss: Callable[[], torch.nn.Module] = dice_ce
    start: str | None = None
    phantoms: int = 0
    masked: float = 0.0
    without: str | None = None
    averaged: bool = True
    hard: float = 0.0
    hidden: float = 0.0
    norm: float = 12.0


def segmenter(
    *, refine: int = 1, drop_path: float = 0.0, depth: int = 6, patch: tuple[int, int, int] = (8, 8, 4)
) -> Segmenter:
    """Make the network of the bundle; the parameters change parts of it."""
    stem = ConvStem(1, 192, patch, refine=refine)
    encoder = VisionTransformer(WINDOW, stem, depth=depth, heads=3, drop_path=drop_path)
    return Segmenter(encoder, SkipDecoder(192, 2, channels=stem.channels, axes=3, refine=refine))


def tokens(*, refine: tuple[int, int, int] = (1, 0, 0), depth: int = 6) -> Segmenter:
    """Make the network of configs/train_tokens.json: no skip connections; the parameters change parts of it."""
    stem = ConvStem(
        1, 256, (8, 8, 4), refine=refine, channels=(24, 48, 96), all_maps=True, patch_mm=(12.8, 12.8, 8.0)
    )
    encoder = VisionTransformer(WINDOW, stem, depth=depth, heads=4, drop_path=0.1)
    return Segmenter(encoder, VoxelDecoder(256, 2, (8, 8, 4)))


def official(decoder: type[LinearDecoder | MaskTransformer]) -> Segmenter:
    """Make the network of Strudel et al. in 3D: linear patch embedding, no stem, no skips, and our patch size."""
    embed = PatchEmbed(1, 192, (8, 8, 4))
    return Segmenter(VisionTransformer(WINDOW, embed, depth=6, heads=3, drop_path=0.1), decoder(192, 2))


def dynunet() -> DynUNet:
    """Make nnU-Net's plain U-Net: instance norm, leaky ReLU, transposed convolutions, deep supervision."""
    return DynUNet(
        3, 1, 2, kernel_size=[3] * 4, strides=[1, 2, 2, 2], upsample_kernel_size=[2] * 3, filters=[24, 48, 96, 192],
        deep_supervision=True, deep_supr_num=2,
    )  # fmt: skip


OURS = Contender(segmenter, rate=8e-4)
TOKENS = Contender(tokens, rate=8e-4, hidden=0.4, norm=1.0)
TUNED = replace(OURS, rate=4e-4, start="phantoms")

CONTENDERS = {
    "segmenter": OURS,
    "segmenter, no refinement": replace(OURS, make=partial(segmenter, refine=0)),
    "segmenter, no transformer": replace(OURS, make=partial(segmenter, depth=0)),
    "segmenter, patch 4": replace(OURS, make=partial(segmenter, patch=(4, 4, 4))),
    "segmenter, drop path": replace(OURS, make=partial(segmenter, drop_path=0.1)),
    "segmenter, distance loss": replace(OURS, loss=DistanceLoss),
    "segmenter, phantoms beside": replace(OURS, phantoms=96),
    "segmenter, masked auto-encoding first": replace(OURS, masked=0.4),
    "segmenter, weights not averaged": replace(OURS, averaged=False),
    "segmenter, no ultrasound augmentation": replace(OURS, without="RandUltrasoundd"),
    "segmenter, from phantoms": TUNED,
    "segmenter, from phantoms, drop path": replace(TUNED, make=partial(segmenter, drop_path=0.1)),
    "segmenter, from phantoms, distance loss": replace(TUNED, loss=DistanceLoss),
    "segmenter, from phantoms, phantoms beside": replace(TUNED, phantoms=96),
    "segmenter, from phantoms, hard examples": replace(TUNED, hard=0.7),
    "segmenter, from phantoms, Hausdorff loss": replace(TUNED, loss=partial(dice_ce, 0.5)),
    "segmenter, from released": replace(TUNED, start="released"),
    "tokens": TOKENS,
    "tokens, phantoms beside": replace(TOKENS, phantoms=96),
    "tokens, no transformer": replace(TOKENS, make=partial(tokens, depth=0), hidden=0.0),
    "tokens, no refinement": replace(TOKENS, make=partial(tokens, refine=(0, 0, 0))),
    "tokens, wide stem": replace(TOKENS, make=partial(tokens, refine=(1, 1, 1))),
    "tokens, wide stem, no transformer": replace(
        TOKENS, make=partial(tokens, refine=(1, 1, 1), depth=0), hidden=0.0
    ),
    "tokens, nothing hidden": replace(TOKENS, hidden=0.0),
    "tokens, from phantoms": replace(TOKENS, rate=4e-4, start="tokens"),
    "tokens, from phantoms, nothing hidden": replace(TOKENS, rate=4e-4, start="tokens", hidden=0.0),
    "official, linear": replace(OURS, make=partial(official, LinearDecoder)),
    "official, mask": replace(OURS, make=partial(official, MaskTransformer)),
    "dynunet": Contender(dynunet),
    "dynunet, from phantoms": Contender(dynunet, rate=5e-4, start="dynunet"),
    "segresnet": Contender(lambda: SegResNet(3, 16, 1, 2)),
    "unetr": Contender(lambda: UNETR(1, 2, WINDOW_32, feature_size=16, hidden_size=192, mlp_dim=768, num_heads=3),
                       WINDOW_32),
    "swinunetr": Contender(lambda: SwinUNETR(1, 2, feature_size=12), WINDOW_32),
}  # fmt: skip
