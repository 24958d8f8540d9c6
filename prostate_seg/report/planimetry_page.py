"""The planimetry page: volume from areas at a step beside other volumes, and distances, for a physicist's file."""

from __future__ import annotations

import math
from html import escape
from pathlib import Path
from typing import Any

from ..errors import OutputError
from ..evaluation.metrics.patient import extents_mm
from ..geometry.planimetry import Station, base_is_last, measure, planimetric_volume_ml, stations_at
from ..geometry.structures import CTV, key
from ..geometry.volume import Array
from ..writing.contoured_volume import PHANTOM_TRAINED, ContouredVolume
from ..writing.request import Request
from ..writing.view import view_of
from .page import facts, listed, section, table, write_page
from .segmented import colour_of, who
from .slices import overlay

STEP_MM = 5.0
_APART = ("Urethra", "Rectal wall")


def write_planimetry(path: Path, request: Request) -> None:
    """Write the planimetry page of a case. Raise OutputError if the CTV is empty or the image is a single slice."""
    contoured = request.contoured
    volume, ctv = contoured.volume, contoured.ctv.mask()
    if volume.array.shape[2] < 2 or not ctv.any():
        what = "the CTV is empty" if not ctv.any() else "one slice has no volume"
        raise OutputError(f"Cannot write {path.name}: {what}; leave planimetry out.")
    step_mm = max(request.planning.every_mm or STEP_MM, volume.spacing_mm[2])
    from_base = base_is_last(volume)
    known = volume.orientation != "assumed"
    if known and from_base is None:
        raise OutputError(
            f"Cannot write {path.name}: the slices are not transverse, so areas on them are no planimetry; leave "
            "planimetry out."
        )
    slices = stations_at(ctv, volume.affine, step_mm, from_last=bool(from_base))
    stations = measure(ctv, volume.affine, slices, from_last=bool(from_base), apart=_apart(contoured))
    begin = "base" if known else "first slice"
    body = [
        facts([*who(contoured, request.identity), ("Contours", _author(contoured))]),
        listed(_warnings(contoured)),
        section("Volume of the CTV", facts(_volumes(contoured, stations, step_mm, known=known))),
        section(f"Every {step_mm:g} mm from the {begin}", _table(stations, begin, contoured)),
        section("Contours", _pictures(contoured, stations)),
        section("Signature", facts([("Checked by", "_" * 40), ("Date", "_" * 20)])),
    ]
    write_page(path, f"Planimetry: {request.identity or 'prostate CTV'}", body)


def _apart(contoured: ContouredVolume) -> tuple[Array, Array] | None:
    masks = {key(name): mask for name, mask in contoured.masks.items()}
    found = [masks.get(key(name)) for name in _APART]
    return None if found[0] is None or found[1] is None else (found[0], found[1])


def _author(contoured: ContouredVolume) -> str:
    author = contoured.author
    return f"{author.kind.lower()}, {author.name} {author.version}"


def _warnings(contoured: ContouredVolume) -> list[str]:
    marked = [name for name in contoured.structures if contoured.remark_on(name)]
    remark = [f"{', '.join(marked)}: {PHANTOM_TRAINED}."] if marked else []
    return [*contoured.volume.warnings, *remark, "Measured on the mask; not a treatment plan."]


def _volumes(
    contoured: ContouredVolume, stations: list[Station], step_mm: float, *, known: bool
) -> list[tuple[str, str]]:
    ctv, volume = contoured.ctv, contoured.volume
    planimetric, voxels = planimetric_volume_ml(stations, step_mm), ctv.volume_ml
    rows = [
        ("Planimetry", f"{planimetric:.1f} mL (areas on {len(stations)} slices times {step_mm:g} mm)"),
        ("Voxels", f"{voxels:.1f} mL; planimetry differs by {100 * (planimetric / voxels - 1):+.1f} %"),
    ]
    if not known:
        return [*rows, ("Width, height, length, ellipsoid", "not told: the file gives no orientation")]
    width, height, length = extents_mm(ctv.mask(), volume.affine)
    ellipsoid = math.pi / 6 * width * height * length / 1000
    return [
        *rows,
        ("Ellipsoid", f"{ellipsoid:.1f} mL (pi/6 of width, height and length)"),
        ("Width (left-right)", f"{width:.1f} mm"),
        ("Height (anterior-posterior)", f"{height:.1f} mm"),
        ("Length (superior-inferior)", f"{length:.1f} mm"),
    ]


def _table(stations: list[Station], begin: str, contoured: ContouredVolume) -> str:
    distances = [one.distance_mm for one in stations if one.distance_mm is not None]
    head = ["slice", f"mm from {begin}", "area, cm2", "width, mm", "height, mm"]
    rows: list[list[Any]] = [
        [one.slice + 1, one.from_base_mm, one.area_cm2, one.width_mm, one.height_mm] for one in stations
    ]
    note = "Width and height along the columns and rows of the slice."
    if _apart(contoured) is not None:
        head.append("urethra to rectal wall, mm")
        for row, one in zip(rows, stations, strict=True):
            row.append(one.distance_mm)
        if distances:
            note += f" Urethra to rectal wall: smallest {min(distances):.1f} mm on these slices."
    return table(head, rows, caption=note)


def _pictures(contoured: ContouredVolume, stations: list[Station]) -> str:
    view = view_of(contoured.volume, list(contoured.masks.values()))
    number = {file: index for index, file in enumerate(view.numbers)}
    layers = [(mask, colour_of(contoured, name), name != CTV) for name, mask in contoured.masks.items()][::-1]
    figures = [
        f"<figure>{overlay(view, layers, number[one.slice + 1])}<figcaption>slice {one.slice + 1}: "
        f"{one.area_cm2:.1f} cm2</figcaption></figure>"
        for one in stations
        if one.slice + 1 in number
    ]
    legend = "".join(
        f'<span><span class=swatch style="background:{colour_of(contoured, name)}"></span>{escape(name)}</span> '
        for name in contoured.masks
    )
    return f"<p class=toggles>{legend}</p><div class=gallery>{''.join(figures)}</div>"
