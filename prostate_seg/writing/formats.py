"""Table of the formats of ``--format``.

Help and checks are made from it; tests compare README and the manifest's schema with it. A new format needs one
module with a function ``(path, request)`` and one row here. Functions are named as text, so that their libraries
load only when a format is written.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Literal

from ..errors import OutputError, SettingsError

if TYPE_CHECKING:
    from ..geometry.volume import Segmentation, Volume
    from .request import Request

Need = Literal["dicom", "probability", "things"]


@dataclass(frozen=True)
class Format:
    """A format of ``--format``.

    Attributes
    ----------
    name
        Name in ``--format``.
    file
        File name in a case's folder; of a subfolder if ``folder`` is set.
    writer
        Module and function ``(path, request)``. The function raises OutputError.
    about
        One line for help and README.
    needs
        Conditions of the format. ``dicom``: the volume was read from DICOM, because the format refers to its
        images. ``probability``: the mask has a probability, as after ``segment``. ``things``: there is a needle,
        seed or calcification; otherwise the format is left out with a warning.
    structures
        Whether the format holds further structures beside the CTV.
    default
        Whether ``segment`` writes the format by default.
    folder
        Whether the format is a folder of files.
    mask
        Whether the format holds a mask; otherwise it holds the volume or the things alone.
    things
        Whether the format holds needles, seeds and calcifications.
    """

    name: str
    file: str
    writer: str
    about: str
    needs: tuple[Need, ...] = ()
    structures: bool = False
    default: bool = False
    folder: bool = False
    mask: bool = True
    things: bool = False

    @property
    def is_dicom(self) -> bool:
        """Return whether the format refers to the images of a DICOM study."""
        return "dicom" in self.needs

    def write(self, path: Path, request: Request) -> None:
        """Write a request to a path in this format. Raise OutputError."""
        resolve_name(self.writer)(path, request)


_FILES, _DICOM = "prostate_seg.writing", "prostate_seg.writing.dicom"
_ROWS = (
    Format("nifti", "ctv.nii.gz", f"{_FILES}.nifti:write_ctv", "the mask on the grid of the input", default=True),
    Format(
        "seg-nrrd",
        "ctv.seg.nrrd",
        f"{_FILES}.nrrd:write_structures",
        "the mask for 3D Slicer, with name, colour and terminology",
        structures=True,
        default=True,
    ),
    Format(
        "nrrd",
        "trus.nrrd",
        f"{_FILES}.nrrd:write_image",
        "the volume as it was read, black outside the ultrasound's field of view",
        default=True,
        mask=False,
    ),
    Format(
        "png",
        "overlay.png",
        f"{_FILES}.contact_sheet:write_overlay",
        "the contour on up to 20 slices",
        default=True,
    ),
    Format(
        "dicom-seg",
        "ctv_seg.dcm",
        f"{_DICOM}.segmentation:write_structures",
        "DICOM Segmentation of the mask",
        needs=("dicom",),
        structures=True,
    ),
    Format(
        "dicom-probability",
        "ctv_probability.dcm",
        f"{_DICOM}.segmentation:write_probability",
        "DICOM Segmentation of the probability",
        needs=("dicom", "probability"),
    ),
    Format(
        "dicom-seg-things",
        "things_seg.dcm",
        f"{_DICOM}.segmentation:write_things",
        "DICOM Segmentation with one segment for each needle, seed and calcification",
        needs=("dicom", "things"),
        mask=False,
        things=True,
    ),
    Format(
        "rtstruct",
        "ctv_rtstruct.dcm",
        f"{_DICOM}.planned_structures:write_structures",
        "RT Structure Set: CTV, further structures, and margins (--ptv-margin 3,posterior=0: PTV)",
        needs=("dicom",),
        structures=True,
        things=True,
    ),
    Format(
        "us-series",
        "us_series",
        f"{_DICOM}.derived_series:write_image",
        "the slices as single-frame ultrasound with positions, for viewers",
        needs=("dicom",),
        folder=True,
        mask=False,
    ),
    Format(
        "ct-series",
        "ct_series",
        f"{_DICOM}.ct_series:write_image",
        "the slices declared as CT, plainly marked, for planning systems that refuse ultrasound",
        needs=("dicom",),
        folder=True,
        mask=False,
    ),
    Format(
        "secondary-capture",
        "contours_sc.dcm",
        f"{_DICOM}.secondary_capture:write_structures",
        "the slices with the contours burned in, for viewers that draw no segmentation on ultrasound",
        needs=("dicom",),
        structures=True,
    ),
    Format(
        "panoptic",
        "panoptic",
        f"{_FILES}.panoptic:write_structures",
        "a label map of all structures, and segments.json in the terms of COCO panoptic",
        structures=True,
        folder=True,
        things=True,
    ),
    Format(
        "things",
        "things.json",
        f"{_FILES}.things:write_things_of",
        "needles, seeds and calcifications: both ends in RAS mm, radius, score",
        mask=False,
        things=True,
    ),
    Format(
        "seg-nrrd-things",
        "things.seg.nrrd",
        f"{_FILES}.nrrd:write_things",
        "one segment for each needle, seed and calcification, for 3D Slicer",
        needs=("things",),
        mask=False,
        things=True,
    ),
    Format(
        "planimetry",
        "planimetry.html",
        "prostate_seg.report.planimetry_page:write_planimetry",
        "a page to file: volume from areas every 5 mm, ellipsoid, urethra to rectal wall",
        structures=True,
    ),
    Format("stl", "ctv.stl", f"{_FILES}.surface:write_ctv", "the closed surface, LPS mm"),
    Format("vtk", "ctv.vtk", f"{_FILES}.surface:write_ctv", "the closed surface, LPS mm"),
    Format(
        "slicer",
        "scene.mrb",
        f"{_FILES}.slicer_scene:write_structures",
        "everything as a scene for 3D Slicer",
        structures=True,
        things=True,
    ),
    Format(
        "uncertainty",
        "uncertainty.nii.gz",
        f"{_FILES}.nifti:write_uncertainty",
        "how unsure the model is of each voxel, in bits",
        needs=("probability",),
    ),
    Format(
        "report",
        "report.html",
        "prostate_seg.report:write_report",
        "a page to look at: three planes, contour, uncertainty, surface; opens without a network",
        structures=True,
        default=True,
        things=True,
    ),
)
FORMATS = {row.name: row for row in _ROWS}


def readme_table() -> str:
    """Return the Markdown table for README.md: file, description and name of each format."""
    lines = [
        f"| `{row.file}` | {row.about} | `{row.name}`{', by default' if row.default else ''} |"
        for row in FORMATS.values()
    ]
    return "\n".join(["| file | what | `--format` |", "|---|---|---|", *lines])


def default_formats() -> tuple[str, ...]:
    """Return the formats that ``segment`` writes by default."""
    return tuple(row.name for row in FORMATS.values() if row.default)


def chosen_formats(text: str) -> tuple[str, ...]:
    """Return the formats of a comma-separated list, each once.

    Raise SettingsError if the list is empty or a format is unknown.
    """
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    unknown = [name for name in names if name not in FORMATS]
    if unknown or not names:
        raise SettingsError(
            f"--format has {', '.join(unknown) or 'nothing'}, expected one or more of {', '.join(FORMATS)}."
        )
    return names


def check_source(volume: Volume, formats: Sequence[str]) -> None:
    """Raise OutputError if a format needs DICOM images and the volume was not read from DICOM."""
    for name in formats:
        if "dicom" in FORMATS[name].needs:
            resolve_name(f"{_DICOM}.source:source_header")(volume, name)


def check_probability(ctv: Segmentation, formats: Sequence[str]) -> None:
    """Raise OutputError if a format needs a probability and the mask has none."""
    for name in formats:
        if "probability" in FORMATS[name].needs and ctv.probability is None:
            raise OutputError(
                f"Cannot write {name}: this mask has no probability; it comes with segment, not with a mask that "
                "was read or corrected."
            )


def empty_formats(formats: Sequence[str], *, things: bool) -> tuple[str, ...]:
    """Return the formats that are left out if there are no things."""
    return tuple(name for name in formats if "things" in FORMATS[name].needs and not things)


def write_formats(folder: Path, request: Request) -> list[str]:
    """Write the formats of a request into a folder and return the file names. Raise OutputError.

    A format of things is left out if there are none; the manifest then has a warning.
    """
    check_probability(request.contoured.ctv, request.formats)
    empty = empty_formats(request.formats, things=bool(request.contoured.ctv.things))
    if empty and request.manifest is not None:
        files = ", ".join(FORMATS[name].file for name in empty)
        request.manifest["warnings"].append(f"{files} was not written: no needle, seed or calcification was found.")
    formats = [name for name in request.formats if name not in empty]
    for name in sorted(formats, key=lambda name: FORMATS[name].file.endswith(".html")):
        FORMATS[name].write(folder / FORMATS[name].file, request)  # pages last: they show warnings of the others
    return [FORMATS[name].file for name in formats]
