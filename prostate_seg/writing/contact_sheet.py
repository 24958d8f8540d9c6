"""A contact sheet: slices through the gland with the contour of the CTV, in one PNG."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ..errors import GeometryError, OutputError
from ..geometry.volume import Array, Segmentation, Volume, same_grid
from ..system.atomic import checked_suffix, replacing
from .request import Request
from .view import View, outlines, view_of

_TILE_PX = 280  # longer side of a slice
_CAPTION_PX = 20
_COLUMNS = 5
_CONTOUR = (255, 214, 0)
_TEXT = (235, 235, 235)
_BAR_MM = 10.0


def write_png(
    path: str | os.PathLike[str],
    volume: Volume,
    segmentation: Segmentation | None = None,
    *,
    slices: int = 20,
) -> None:
    """Write the contact sheet of a volume to ``.png``, see :func:`contact_sheet`.

    Raise OutputError if the file cannot be written, and GeometryError if the segmentation lies on another grid.
    """
    path = Path(path)
    checked_suffix(path, ".png")
    sheet = contact_sheet(volume, segmentation, slices=slices)
    with replacing(path) as temporary:
        sheet.save(temporary, format="PNG")


def contact_sheet(volume: Volume, segmentation: Segmentation | None = None, *, slices: int = 20) -> Image.Image:
    """Draw a volume's slices with the contour of a segmentation, and return the picture in RGB.

    Slices are evenly spaced, from one below the gland to one above it. Without a gland, they are chosen from the
    whole volume. If the orientation is known, the slices are transverse, in radiological convention: the patient's
    right on the left, anterior at the top, apex before base. If the orientation is assumed, array axis i runs to
    the right and j downward, and no direction is named. Each slice has its true aspect ratio in mm, its 1-based
    number in the file, and a 10 mm bar. Black margins that all slices have in common are cut off. The contour is
    that of label 1, at level 0.5 between voxel centres.

    Parameters
    ----------
    volume
        Image beneath.
    segmentation
        Segmentation on the volume's grid, or None.
    slices
        Largest number of slices.

    Raises
    ------
    GeometryError
        The segmentation lies on another grid.
    OutputError
        The image has no voxels, or ``slices`` is below 1.
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
    mask = np.zeros(volume.array.shape, bool) if segmentation is None else segmentation.mask()
    view = view_of(volume, [mask])
    ctv = view.of(mask)
    tiles = [_tile(view, ctv, index) for index in chosen_slices(ctv.any(axis=(0, 1)), slices)]
    columns = min(_COLUMNS, len(tiles))
    width, height = tiles[0].size
    sheet = Image.new("RGB", (columns * (width + 4) + 4, math.ceil(len(tiles) / columns) * (height + 4) + 4))
    for position, tile in enumerate(tiles):
        row, column = divmod(position, columns)
        sheet.paste(tile, (4 + column * (width + 4), 4 + row * (height + 4)))
    return sheet


def chosen_slices(occupied: Any, count: int) -> list[int]:
    """Return up to ``count`` evenly spaced slice indices.

    They run from one before the first occupied slice to one after the last. If no slice is occupied, they are
    chosen from all slices. The parameter ``occupied`` is bool (K,).
    """
    filled = np.flatnonzero(occupied)
    first, last = (int(filled[0]) - 1, int(filled[-1]) + 1) if filled.size else (0, len(occupied) - 1)
    first, last = max(first, 0), min(last, len(occupied) - 1)
    number = min(count, last - first + 1)
    return np.round(np.linspace(first, last, number)).astype(int).tolist()


def _tile(view: View, ctv: Array, index: int) -> Image.Image:
    pixels_per_mm = _TILE_PX / max(view.extent_mm)
    width, height = (max(1, round(length * pixels_per_mm)) for length in view.extent_mm)
    picture = Image.fromarray(np.ascontiguousarray(view.gray[:, :, index].T))  # rows are j
    picture = picture.resize((width, height), Image.Resampling.BICUBIC)
    tile = Image.new("RGB", (width, height + _CAPTION_PX))
    tile.paste(picture.convert("RGB"), (0, 0))
    tile.paste(_CONTOUR, (0, 0), _contour_coverage(ctv[:, :, index], (width, height)))
    draw = ImageDraw.Draw(tile)
    _annotate(draw, view, index, (width, height, pixels_per_mm))
    return tile


def _contour_coverage(mask: Array, size: tuple[int, int]) -> Image.Image:
    """Return how much of each screen pixel the mask's contour covers, 0 to 255.

    The line is two pixels wide and anti-aliased.
    """
    finer = 4
    drawn = Image.new("L", (size[0] * finer, size[1] * finer))
    draw = ImageDraw.Draw(drawn)
    scale = np.array(drawn.size) / mask.shape
    for outline in outlines(mask):
        on_screen = outline * scale - 0.5
        draw.line([tuple(point) for point in on_screen.tolist()], fill=255, width=2 * finer)
    return drawn.reduce(finer)


def _annotate(draw: ImageDraw.ImageDraw, view: View, index: int, size: tuple[int, int, float]) -> None:
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


def write_overlay(path: Path, request: Request) -> None:
    """Write the contour of the CTV on the volume."""
    write_png(path, request.contoured.volume, request.contoured.ctv)
