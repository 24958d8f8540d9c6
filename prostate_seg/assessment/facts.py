"""Types of the manifest's entries on how far a mask can be trusted."""

from typing import NotRequired, TypedDict


class Chance(TypedDict):
    """A probability; null with a reason if it is unknown."""

    value: float | None
    reason: NotRequired[str]


class Repair(TypedDict):
    """Distance in mm by which the shape model moved the boundary."""

    mean: float | None
    largest: float | None


class Uncertainty(TypedDict):
    """The entry ``uncertainty``; docs/robustness.md explains it. Unknown numbers are null.

    The reason is why spread, disagreement and repair are unknown.
    """

    mean_boundary_entropy_nats: float | None
    probability_hd95_above_5_mm: NotRequired[Chance]
    passes: NotRequired[int]
    spread_mm: NotRequired[float | None]
    disagreement: NotRequired[float | None]
    residual_mm: NotRequired[float | None]
    blur_mm: NotRequired[float | None]
    cut: NotRequired[float | None]
    shape_sd: NotRequired[float | None]
    repaired_mm: NotRequired[Repair]
    slices_blur_mm: NotRequired[list[float | None]]
    reason: NotRequired[str]
    looks_like: NotRequired[dict[str, float | None] | None]
    looks_like_weights_sha256: NotRequired[str | None]
