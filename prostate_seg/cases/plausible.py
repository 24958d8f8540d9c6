"""Whether an image can be ultrasound of a prostate: its size, and its gray values."""

from __future__ import annotations

from ..errors import GeometryError
from ..geometry.volume import Array, Volume

SMALLEST_MM, LARGEST_MM = 1.0, 1000.0  # plausible range of the longest side of an image


def check_size(volume: Volume) -> None:
    """Raise GeometryError if the image is so small or large that the unit of its spacing is probably wrong."""
    sides = [n * spacing for n, spacing in zip(volume.array.shape, volume.spacing_mm, strict=True)]
    if not SMALLEST_MM <= max(sides) <= LARGEST_MM:
        raise GeometryError(
            f"the image measures {' x '.join(f'{side:.3g}' for side in sides)} mm, expected {SMALLEST_MM:g} to "
            f"{LARGEST_MM:g} mm along its longest side; correct its spacing, whose unit may be wrong."
        )


def two_values(array: Array) -> bool:
    """Return whether an image has exactly two gray values."""
    low, high = array.min(), array.max()
    return bool(low < high) and bool(((array == low) | (array == high)).all())
