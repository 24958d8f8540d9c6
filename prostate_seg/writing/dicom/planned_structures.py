"""The structure set of a case: its structures and their margins, as the planning settings ask for them."""

from __future__ import annotations

from pathlib import Path

from ...geometry.margin import enlarged, touches_border
from ...geometry.structures import CTV, key
from ..request import Request, Series
from .structure_set import Enlarged, write_rtstruct


def write_structures(path: Path, request: Request) -> None:
    """Write the CTV, further structures, and each structure that has a margin with it.

    A structure with a margin that this image does not show is left out; the manifest gets a warning. The margin of
    an organ ends at the image's border, with a warning; that of the CTV must not reach it.
    """
    planning, volume, masks = request.planning, request.contoured.volume, request.contoured.masks
    warnings: list[str] = []
    further = []
    if planning.margin is not None:
        target = enlarged(masks[CTV], volume.affine, planning.margin, volume.orientation)
        further.append(Enlarged(CTV, planning.margin, target))
    for wanted, margin in planning.margins.items():
        name = next((one for one in masks if key(one) == key(wanted)), None)
        if name is None:
            warnings.append(f"There is no {wanted} in this image, so it has no margin in the structure set.")
            continue
        mask = enlarged(masks[name], volume.affine, margin, volume.orientation, clip=True)
        if touches_border(mask):
            warnings.append(f"The {name} with its margin touches the image's border and may be cut there.")
        further.append(Enlarged(name, margin, mask))
    if request.manifest is not None:
        request.manifest["warnings"] += warnings
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
