"""The structure set of a case: its structures and their margins, as the planning settings ask for them."""

from __future__ import annotations

from dataclasses import astuple
from pathlib import Path

from ...errors import SettingsError
from ...geometry.margin import Margin, enlarged
from ...geometry.structures import CTV, key
from ..request import Request, Series
from .structure_set import PTV, write_rtstruct


def write_structures(path: Path, request: Request) -> None:
    """Write the CTV, further structures, and each structure that has a margin with it."""
    planning, volume, masks = request.planning, request.contoured.volume, request.contoured.masks
    margins = dict(planning.margins) | ({CTV: planning.margin} if planning.margin is not None else {})
    further = {}
    for wanted, margin in margins.items():
        name = next((one for one in masks if key(one) == key(wanted)), None)
        if name is None:
            raise SettingsError(f"There is no {wanted} for a margin; the structures are {', '.join(masks)}.")
        further[enlarged_name(name, margin)] = enlarged(masks[name], volume.affine, margin, volume.orientation)
    derived: tuple[Series, ...] = ("ct-series", "us-series")
    written = [name for name in derived if name in request.formats]
    series: Series = written[0] if written else "source"
    write_rtstruct(
        path,
        request.contoured,
        further=further,
        names=planning.names,
        every_mm=planning.every_mm,
        tolerance_mm=planning.tolerance_mm,
        series=planning.reference or series,
    )


def enlarged_name(name: str, margin: Margin) -> str:
    """Return the name of a structure with a margin: PTV for the CTV, otherwise as AAPM TG-263 names it."""
    if key(name) == key(CTV):
        return PTV
    return f"{name}_PRV{max(astuple(margin)):02.0f}"
