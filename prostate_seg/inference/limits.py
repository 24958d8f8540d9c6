"""Limits of the numbers in a bundle's settings, checked before any object is built."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from ..errors import BundleError
from ..system.checked_files import shortened

MOST_PARAMETERS = 1_000_000_000
_LARGEST = 1e6  # largest absolute value of a number without an entry in _RANGES
_LONGEST = 256  # most entries of a list without an entry in _LENGTHS
_RANGES: dict[str, tuple[float, float]] = {
    "axes": (2, 3),
    "channels": (1, 4096),
    "count": (1, 64),
    "depth": (0, 64),
    "flip_axes": (0, 2),
    "heads": (1, 256),
    "image_size": (1, 4096),
    "in_channels": (1, 64),
    "k_divisible": (1, 256),
    "margin": (0, 256),
    "neighbours": (1, 33),
    "num_classes": (1, 256),
    "patch_size": (1, 512),
    "refine": (0, 16),
    "roi_size": (-1, 4096),
    "scales": (0.1, 4),
    "slice_batch": (1, 256),
    "spacing_mm": (0.05, 100),
    "spatial_size": (-1, 4096),
    "sw_batch_size": (1, 64),
    "to_onehot": (1, 256),
    "width": (1, 4096),
}
_LENGTHS = {"flip_axes": 3, "scales": 16}
_PRODUCTS = {"roi_size": 1 << 24, "spatial_size": 1 << 26}  # most voxels


def check_limits(settings: Any) -> None:
    """Raise BundleError if a number, list or size exceeds its limit.

    The limit depends on the name of the setting. The text names the first setting that exceeds its limit.
    """
    found = list(_named(settings, ""))
    axes = next((len(value) for name, value in found if name == "patch_size" and isinstance(value, list)), 3)
    copies = 1
    for name, value in found:
        if isinstance(value, list):
            _check_list(name, value)
            continue
        _check_number(name, value)
        if name in _PRODUCTS:
            _check_list(name, [value] * axes)
        if name == "count":
            copies *= int(value)
    if copies > _RANGES["count"][1]:
        raise BundleError(f"The bundle's ensembles have {copies} members, expected at most 64; correct its count.")


def _check_number(name: str, value: float) -> None:
    low, high = _RANGES.get(name, (-_LARGEST, _LARGEST))
    if not low <= value <= high:
        raise BundleError(f"The bundle's {_called(name)} is {value:g}, expected {low:g} to {high:g}; correct it.")


def _check_list(name: str, value: list[Any]) -> None:
    longest = _LENGTHS.get(name, _LONGEST)
    if len(value) > longest:
        raise BundleError(
            f"The bundle's {_called(name)} has {len(value)} entries, expected at most {longest}; correct it."
        )
    product = math.prod(part for part in value if isinstance(part, int | float) and part > 0)
    if product > _PRODUCTS.get(name, math.inf):
        raise BundleError(
            f"The bundle's {name} covers {product:g} voxels, expected at most {_PRODUCTS[name]}; correct it."
        )


def _called(name: str) -> str:
    return name if name in _RANGES else shortened(name)


def _named(value: Any, name: str) -> Iterator[tuple[str, Any]]:
    """Yield each number and each list together with the name of its setting."""
    if isinstance(value, Mapping):
        for key, part in value.items():
            yield from _named(part, key)
    elif isinstance(value, list):
        yield name, value
        for part in value:
            yield from _named(part, name)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield name, value
