"""A delivery's files in the folder of its case, each format by its writer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ..errors import OutputError, SettingsError
from ..geometry.entropy import entropy_percent
from ..geometry.margin import Margin, enlarged
from ..geometry.volume import Segmentation, Volume
from . import FILES
from .delivery import Delivery

DICOM = ("dicom-seg", "dicom-probability", "rtstruct", "us-series")
PROBABILISTIC = ("dicom-probability", "uncertainty")


@dataclass(frozen=True)
class Planning:
    """How contours are handed to a planning system.

    margin: of a PTV beside the CTV. every_mm: contours only on slices so far apart. reference: whether the
    structure set refers to the source or to the derived series; None: to the derived series where that is
    written too.
    """

    margin: Margin | None = None
    every_mm: float | None = None
    reference: Literal["source", "us-series"] | None = None

    def check(self, formats: Sequence[str]) -> None:
        """Raise SettingsError for a setting that none of the formats uses."""
        for name, value in (
            ("--ptv-margin", self.margin),
            ("--contour-every", self.every_mm),
            ("--rtstruct-reference", self.reference),
        ):
            if value is not None and "rtstruct" not in formats:
                raise SettingsError(f"{name} is about the structure set; add rtstruct to --format.")


def chosen_formats(text: str) -> tuple[str, ...]:
    """The formats of a comma-separated list, each once. Raises SettingsError."""
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    unknown = [name for name in names if name not in FILES]
    if unknown or not names:
        raise SettingsError(
            f"--format has {', '.join(unknown) or 'nothing'}, expected one or more of {', '.join(FILES)}."
        )
    return names


def check_source(volume: Volume, formats: Sequence[str]) -> None:
    """Raise OutputError where a format refers to DICOM images and the volume was not read from such."""
    for name in formats:
        if name in DICOM:
            import_module(".dicom.source", __package__).source_header(volume, name)


def check_probability(ctv: Segmentation, formats: Sequence[str]) -> None:
    """Raise OutputError where a format is made of a probability and the mask has none."""
    for name in formats:
        if name in PROBABILISTIC and ctv.probability is None:
            raise OutputError(
                f"Cannot write {name}: this mask has no probability; it comes with segment, not with a mask that "
                "was read or corrected."
            )


def write_outputs(
    folder: Path, delivery: Delivery, formats: Sequence[str], planning: Planning = Planning()
) -> list[str]:
    """Write each format into a folder; returns the names of the files and folders. Raises OutputError."""
    check_probability(delivery.ctv, formats)
    for name in formats:
        _WRITERS[name](folder / FILES[name], delivery, formats, planning)
    return [FILES[name] for name in formats]


def _call(module: str, function: str, *arguments: Any, **options: Any) -> Any:
    """Call a writer whose libraries are loaded only when it is needed."""
    return getattr(import_module(f".{module}", __package__), function)(*arguments, **options)


def _write_rtstruct(path: Path, delivery: Delivery, formats: Sequence[str], planning: Planning) -> None:
    volume, target = delivery.volume, None
    if planning.margin is not None:
        target = enlarged(delivery.ctv.labels == 1, volume.affine, planning.margin, volume.orientation)
    derived = planning.reference == "us-series" or (planning.reference is None and "us-series" in formats)
    options = {"target": target, "every_mm": planning.every_mm, "derived_series": derived}
    _call("dicom.structure_set", "write_rtstruct", path, delivery, **options)


def _write_surface(path: Path, delivery: Delivery) -> None:
    _call("surface", "write_surface", path, _call("surface", "surface_of", delivery.ctv))


def _write_uncertainty(path: Path, delivery: Delivery) -> None:
    """Entropy in bits, float32: 1 where the probability is one half."""
    ctv = delivery.ctv
    assert ctv.probability is not None  # check_probability
    bits = entropy_percent(ctv.probability).astype(np.float32) / 100
    _call("nifti", "write_nifti", path, Volume(bits, ctv.affine, orientation=ctv.orientation))


def _simple(write: Callable[[Path, Delivery], Any]) -> Callable[[Path, Delivery, Sequence[str], Planning], None]:
    """A writer that needs neither the other formats nor the planning."""

    def writer(path: Path, delivery: Delivery, formats: Sequence[str], planning: Planning) -> None:
        write(path, delivery)

    return writer


_WRITERS: dict[str, Callable[[Path, Delivery, Sequence[str], Planning], None]] = {
    "nifti": _simple(lambda path, it: _call("nifti", "write_nifti", path, it.ctv)),
    "seg-nrrd": _simple(lambda path, it: _call("nrrd", "write_seg_nrrd", path, it.label_map)),
    "nrrd": _simple(lambda path, it: _call("nrrd", "write_nrrd", path, it.volume)),
    "png": _simple(lambda path, it: _call("contact_sheet", "write_png", path, it.volume, it.ctv)),
    "dicom-seg": _simple(lambda path, it: _call("dicom.segmentation", "write_dicom_seg", path, it)),
    "dicom-probability": _simple(lambda path, it: _call("dicom.segmentation", "write_dicom_probability", path, it)),
    "rtstruct": _write_rtstruct,
    "us-series": _simple(lambda path, it: _call("dicom.derived_series", "write_derived_series", path, it.volume)),
    "stl": _simple(_write_surface),
    "vtk": _simple(_write_surface),
    "uncertainty": _simple(_write_uncertainty),
    "slicer": _simple(lambda path, it: _call("slicer_scene", "write_scene", path, it.volume, it.label_map)),
}
