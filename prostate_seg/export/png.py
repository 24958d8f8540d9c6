"""A contact sheet: slices through the gland with the CTV's contour, as one PNG."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from nibabel.orientations import apply_orientation, axcodes2ornt, io_orientation, ornt_transform
from PIL import Image, ImageDraw, ImageFont
from skimage.measure import find_contours

from ..errors import GeometryError, OutputError
from ..volume import Segmentation, Volume, same_grid
from .files import checked_suffix, replacing, stored_array

Array = np.ndarray[Any, Any]

_TILE_PX = 280  # longer side of a slice
_CAPTION_PX = 20
_COLUMNS = 5
_CONTOUR = (255, 214, 0)
_TEXT = (235, 235, 235)
_BAR_MM = 10.0


@dataclass(frozen=True, eq=False)
class _View:
    """Slices as shown: gray (I, J, K) uint8 and ctv (I, J, K) bool, i to the right, j downward.

    pixel_mm: spacing along i and j. numbers: 1-based slice number in the file, one a shown slice.
    letters: what the left and the upper edge of a slice are ("R" and "A"); empty where not known.
    """

    gray: Array
    ctv: Array
    pixel_mm: tuple[float, float]
    numbers: list[int]
    letters: tuple[str, str]


def write_png(
    path: str | os.PathLike[str],
    volume: Volume,
    segmentation: Segmentation | None = None,
    *,
    slices: int = 20,
) -> None:
    """Write :func:`contact_sheet` to ``.png``. Raises OutputError and what contact_sheet raises."""
    path = Path(path)
    checked_suffix(path, ".png")
    sheet = contact_sheet(volume, segmentation, slices=slices)
    with replacing(path) as temporary:
        sheet.save(temporary, format="PNG", optimize=True)


def contact_sheet(volume: Volume, segmentation: Segmentation | None = None, *, slices: int = 20) -> Image.Image:
    """Draw up to ``slices`` slices, evenly chosen from one below to one above the gland, in RGB.

    Where the orientation is known, slices are transverse as radiology shows them: the patient's right
    at the left, anterior at the top, apex before base. Where it is assumed, array axis i runs to the
    right, j downward, and no direction is named. Every slice has the aspect of its millimetres, its
    1-based number in the file and a 10 mm bar; black margins that all slices share are cut off. The
    contour is label 1's at level 0.5 between voxel centres. Without a gland the slices are chosen from
    the whole volume. Raises GeometryError where the segmentation lies on another grid, OutputError for
    an empty image.
    """
    if segmentation is not None and not same_grid(volume, segmentation):
        raise GeometryError(
            f"The segmentation (shape {segmentation.labels.shape}) is not on the image's grid (shape "
            f"{volume.array.shape}); resample it to the image first."
        )
    if slices < 1 or volume.array.size == 0:
        raise OutputError(
            f"A contact sheet needs at least one slice and one voxel, got {slices} slices of an "
            f"image of shape {volume.array.shape}."
        )
    view = _cropped(_view(volume, segmentation))
    shown = chosen_slices(view.ctv.any(axis=(0, 1)), slices)
    tiles = [_tile(view, index) for index in shown]
    columns = min(_COLUMNS, len(tiles))
    width, height = tiles[0].size
    sheet = Image.new("RGB", (columns * (width + 4) + 4, math.ceil(len(tiles) / columns) * (height + 4) + 4))
    for position, tile in enumerate(tiles):
        row, column = divmod(position, columns)
        sheet.paste(tile, (4 + column * (width + 4), 4 + row * (height + 4)))
    return sheet


def chosen_slices(occupied: Any, count: int) -> list[int]:
    """Up to ``count`` slice indices, evenly from one before the first occupied slice to one after the last.

    occupied: bool (K,). All slices are eligible where none is occupied.
    """
    filled = np.flatnonzero(occupied)
    first, last = (int(filled[0]) - 1, int(filled[-1]) + 1) if filled.size else (0, len(occupied) - 1)
    first, last = max(first, 0), min(last, len(occupied) - 1)
    number = min(count, last - first + 1)
    return np.round(np.linspace(first, last, number)).astype(int).tolist()


def _view(volume: Volume, segmentation: Segmentation | None) -> _View:
    gray = _gray(stored_array(volume))
    ctv = np.zeros(gray.shape, bool) if segmentation is None else segmentation.labels == 1
    numbers = list(range(1, gray.shape[2] + 1))
    if volume.orientation == "assumed":
        return _View(gray, ctv, volume.spacing_mm[:2], numbers, ("", ""))
    turn = ornt_transform(io_orientation(volume.affine), axcodes2ornt("LPS"))
    source = np.argsort(turn[:, 0])  # the file's axis behind each shown one
    numbers = list(range(1, gray.shape[source[2]] + 1))
    if turn[source[2], 1] < 0:
        numbers.reverse()
    spacing = volume.spacing_mm[source[0]], volume.spacing_mm[source[1]]
    return _View(apply_orientation(gray, turn), apply_orientation(ctv, turn), spacing, numbers, ("R", "A"))


def _cropped(view: _View) -> _View:
    """Cut off the black columns and rows around what any slice shows."""
    shown = (view.gray > 0) | view.ctv
    box = []
    for axis in (0, 1):
        filled = np.flatnonzero(shown.any(axis=(1 - axis, 2)))
        box.append(slice(filled[0], filled[-1] + 1) if filled.size else slice(None))
    return replace(view, gray=view.gray[box[0], box[1]], ctv=view.ctv[box[0], box[1]])


def _gray(array: Array) -> Array:
    """8-bit images as they are; others from their 0.5th to their 99.5th percentile."""
    if array.dtype == np.uint8:
        return array
    low, high = np.percentile(array, (0.5, 99.5))
    scaled = (array.astype(np.float64) - low) * (255.0 / (high - low) if high > low else 0.0)
    return np.clip(np.round(scaled), 0, 255).astype(np.uint8)


def _tile(view: _View, index: int) -> Image.Image:
    across, down = view.gray.shape[:2]
    extent_mm = across * view.pixel_mm[0], down * view.pixel_mm[1]
    pixels_per_mm = _TILE_PX / max(extent_mm)
    width, height = (max(1, round(length * pixels_per_mm)) for length in extent_mm)
    picture = Image.fromarray(np.ascontiguousarray(view.gray[:, :, index].T))  # rows are j
    picture = picture.resize((width, height), Image.Resampling.BICUBIC)
    tile = Image.new("RGB", (width, height + _CAPTION_PX))
    tile.paste(picture.convert("RGB"), (0, 0))
    tile.paste(_CONTOUR, (0, 0), _contour_coverage(view.ctv[:, :, index], (width, height)))
    draw = ImageDraw.Draw(tile)
    _annotate(draw, view, index, (width, height, pixels_per_mm))
    return tile


def _contour_coverage(mask: Array, size: tuple[int, int]) -> Image.Image:
    """How much of each screen pixel the mask's contour covers, 0 to 255: two pixels wide, smooth edges."""
    finer = 4
    drawn = Image.new("L", (size[0] * finer, size[1] * finer))
    draw = ImageDraw.Draw(drawn)
    scale = np.array(drawn.size) / mask.shape
    for contour in find_contours(np.pad(mask, 1).astype(np.float32), 0.5):
        # Contour coordinates count voxel centres (less the padding); a voxel begins half before its centre.
        on_screen = (contour - 1.0 + 0.5) * scale - 0.5
        draw.line([tuple(point) for point in on_screen.tolist()], fill=255, width=2 * finer)
    return drawn.reduce(finer)


def _annotate(draw: ImageDraw.ImageDraw, view: _View, index: int, size: tuple[int, int, float]) -> None:
    width, height, pixels_per_mm = size
    font = ImageFont.load_default(size=12)
    left, top = view.letters
    draw.text((3, height / 2), left, fill=_TEXT, font=font, anchor="lm", stroke_width=1, stroke_fill=(0, 0, 0))
    draw.text((width / 2, 2), top, fill=_TEXT, font=font, anchor="ma", stroke_width=1, stroke_fill=(0, 0, 0))
    middle = height + _CAPTION_PX / 2
    draw.text((3, middle), f"{view.numbers[index]} / {len(view.numbers)}", fill=_TEXT, font=font, anchor="lm")
    bar_end = width - 4
    bar_start = bar_end - round(_BAR_MM * pixels_per_mm)
    draw.line([(bar_start, middle), (bar_end, middle)], fill=_TEXT, width=2)
    draw.text((bar_start - 4, middle), "10 mm", fill=_TEXT, font=font, anchor="rm")
