"""Slices, outlines and uncertainty in the form that a page contains: small pictures and SVG paths."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from ..geometry.entropy import entropy_percent
from ..geometry.extent import bounding_box
from ..geometry.volume import Array
from ..writing.view import View, outlines

BUDGET_BYTES = 22_000_000  # limit for all slices of a page, in base64
LEVELS = ((640, 88), (640, 75), (512, 70), (448, 60), (384, 50), (256, 40), (160, 30))  # longest side, JPEG quality
UNCERTAINTY_STEPS = 8
UNCERTAINTY_RGB = (255, 122, 0)
DOUBTFUL_MM, RAMP_BITS = 4.5, 0.72


def pictures(view: View) -> list[str]:
    """Return every slice as a JPEG data URL.

    No picture is finer than its pixels. Pictures become coarser if all together would exceed BUDGET_BYTES. No
    slice is left out: the coarsest level is used even if it exceeds this size.
    """
    for level in LEVELS[:-1]:
        found, total = [], 0
        for index in range(view.gray.shape[2]):
            found.append(picture(view, index, *level))
            total += len(found[-1])
            if total > BUDGET_BYTES:
                break
        else:
            return found
    return [picture(view, index, *LEVELS[-1]) for index in range(view.gray.shape[2])]


def picture(view: View, index: int, side: int = LEVELS[0][0], quality: int = LEVELS[0][1]) -> str:
    """Return a slice as a JPEG data URL; its longer side has at most ``side`` pixels."""
    return _jpeg(view.gray[:, :, index], _size(view, side), quality)


def paths(view: View, masks: Mapping[str, Array], indices: Iterable[int] | None = None) -> list[dict[str, str]]:
    """Return, for each slice or for those with the given indices, the outlines of each mask as SVG path data.

    Coordinates are in mm from the corner of the slice. Masks that are absent from a slice are left out.
    """
    scale = np.array(view.pixel_mm)
    shown = {name: view.of(mask) for name, mask in masks.items()}
    return [
        {name: _path(mask[:, :, index], scale) for name, mask in shown.items() if mask[:, :, index].any()}
        for index in (range(view.gray.shape[2]) if indices is None else indices)
    ]


def doubtful(view: View, mask: Array, probability: Array) -> list[tuple[str, int | None]]:
    """Return, for each slice, the parts of a mask's outline at a blurred edge: SVG path data, and their share.

    The share is in per cent of the outline; None for a slice without the mask.

    An edge is blurred if its width is at least 4.5 mm. The width is the entropy in bits, integrated across the
    edge. For a straight ramp this is 0.72 divided by the gradient of the probability per mm, which is used here.
    """
    shown, field, scale = view.of(mask), view.of(probability), np.array(view.pixel_mm)
    spacing = (*view.pixel_mm, view.gap_mm)
    blurred = np.zeros(field.shape, bool)
    near = tuple(slice(max(0, side.start - 2), side.stop + 2) for side in bounding_box(shown))  # for gradients
    part = field[near].astype(np.float32)
    slopes = [np.gradient(part, spacing[axis], axis=axis) for axis in range(3) if field.shape[axis] > 1]
    blurred[near] = np.sqrt(sum(slope**2 for slope in slopes)) < RAMP_BITS / DOUBTFUL_MM
    return [_stretches(shown[:, :, index], blurred[:, :, index], scale) for index in range(field.shape[2])]


def uncertainty(view: View, probability: Array) -> list[str | None]:
    """Return, for each slice, the entropy of a foreground probability as a PNG data URL.

    The picture is transparent where the model is certain. It is None for a slice that is certain everywhere. The
    strongest colour means one bit: a probability of one half.
    """
    shown = view.of(probability)
    return [uncertainty_on(shown[:, :, index]) for index in range(shown.shape[2])]


def uncertainty_on(probability: Array) -> str | None:
    """Return the entropy of a slice of a probability (I, J), as displayed, as :func:`uncertainty` does."""
    return _levels(np.rint(entropy_percent(probability) * (UNCERTAINTY_STEPS / 100)).astype(np.uint8))


def overlay(view: View, masks: Sequence[tuple[Array, str, bool]], index: int) -> str:
    """Return one slice with outlines (mask, colour, dashed) as a self-contained SVG element."""
    width, height = view.extent_mm
    scale = np.array(view.pixel_mm)
    lines = [
        f'<path d="{_path(view.of(mask)[:, :, index], scale)}" stroke="{colour}" class="{"dashed" * dashed}"/>'
        for mask, colour, dashed in masks
    ]
    shown = picture(view, index, 320, 80)
    return (
        f'<svg viewBox="0 0 {width:.3f} {height:.3f}" role=img class=outlines aria-label="Slice with contours">'
        f'<image href="{shown}" width="{width:.3f}" height="{height:.3f}" preserveAspectRatio="none"/>'
        f"{''.join(lines)}</svg>"
    )


def _size(view: View, side: int) -> tuple[int, int]:
    """Return width and height in square pixels.

    They are as fine as the slice's own pixels, but the longer side has at most ``side`` pixels.
    """
    per_mm = min(side / max(view.extent_mm), 1 / min(view.pixel_mm))
    width, height = (max(1, round(length * per_mm)) for length in view.extent_mm)
    return width, height


def _jpeg(gray: Array, size: tuple[int, int], quality: int) -> str:
    image = Image.fromarray(np.ascontiguousarray(gray.T))  # rows are j
    if image.size != size:
        image = image.resize(size, Image.Resampling.BICUBIC)
    return _data_url(image, "JPEG", quality=quality, optimize=True)


def _levels(steps: Array) -> str | None:
    if not steps.any():
        return None
    image = Image.fromarray(np.ascontiguousarray(steps.T), "P")
    image.putpalette(UNCERTAINTY_RGB * (UNCERTAINTY_STEPS + 1))
    alpha = bytes(round(200 * step / UNCERTAINTY_STEPS) for step in range(UNCERTAINTY_STEPS + 1))
    return _data_url(image, "PNG", transparency=alpha, bits=4, optimize=True)


def _data_url(image: Image.Image, kind: str, **options: Any) -> str:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(stream.getvalue()).decode()}"


def _stretches(mask: Array, blurred: Array, scale: Array) -> tuple[str, int | None]:
    """Return the parts of a mask's outlines over blurred pixels as SVG path data, and their share in per cent.

    A single point is left out. The share counts points of the outline; it is None without an outline.
    """
    parts, points, found = [], 0, 0
    for outline in outlines(mask):
        nearest = np.floor(outline).astype(int).clip(0, np.array(mask.shape) - 1)
        on = blurred[tuple(nearest.T)]
        points, found = points + len(on), found + int(on.sum())
        for run in np.split(np.arange(len(outline)), np.flatnonzero(np.diff(on)) + 1):
            if on[run[0]] and len(run) > 1:
                parts.append("M" + " ".join(f"{x:.4g},{y:.4g}" for x, y in (outline[run] * scale).tolist()))
    return "".join(parts), round(100 * found / points) if points else None


def _path(mask: Array, scale: Array) -> str:
    parts = []
    for outline in outlines(mask):
        points = " ".join(f"{x:.4g},{y:.4g}" for x, y in (outline[:-1] * scale).tolist())
        parts.append(f"M{points}Z")
    return "".join(parts)
