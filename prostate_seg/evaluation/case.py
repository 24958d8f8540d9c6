"""Evaluation of one prediction file against its reference file."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import GeometryError, InputError, ProstateSegError
from ..geometry.resample import on_grid_of, turned_like
from ..geometry.structures import CTV
from ..geometry.volume import Segmentation, Volume, same_grid
from ..reading.chosen_structure import check_same_place, same_name, shown
from ..reading.masks import frame_of_reference, has_contours_only, read_mask
from ..writing.current_mask import given_mask, manifest_of
from ..writing.formats import FORMATS
from ..writing.manifest import MANIFEST
from .metrics import Metrics, Panoptic, diagonal_mm, evaluate_masks, orthogonal_spacing_mm, slice_presence
from .pairs import IN_CASE_FOLDER, Pair

LARGEST_CHANGE = 0.05  # largest relative change of a prediction's volume by resampling
NO_PLACE = "Not both files name a frame of reference, so whether the masks lie in the same one is unknown."
NO_DIRECTIONS = "The files do not say how the axes lie in the patient: no thirds, directions or extents."


SHOWN = {  # metrics of a line of the table, and how they are written
    **{"dice": "{:.3f}", "hd_mm": "{:.2f}", "hd95_mm": "{:.2f}", "assd_mm": "{:.2f}"},
    **{"volume_ml": "{:.1f}", "reference_volume_ml": "{:.1f}"},
}


@dataclass(frozen=True)
class CaseResult:
    """The evaluation of one case, or the reason why the case could not be measured.

    Attributes
    ----------
    case
        Name of the case.
    metrics
        The metrics; None if the case could not be measured.
    diagonal_mm
        Diagonal of the reference image in mm; None if the case could not be measured.
    error
        Why the case could not be measured; empty if it was.
    patient
        Name of the patient; empty if unknown.
    observer
        Name of the observer who drew the reference; empty if there is only one reference.
    note
        How the masks were changed, what is missing, and why.
    prediction, reference
        The two files; None if there is not exactly one of each.
    structure
        Name of the requested structure; empty for the CTV.
    slices
        Slice counts of the case, for the panoptic quality of the data set.
    alone
        Whether the prediction or the reference is missing.
    """

    case: str
    metrics: Metrics | None = None
    diagonal_mm: float | None = None
    error: str = ""
    patient: str = ""
    observer: str = ""
    note: str = ""
    prediction: Path | None = None
    reference: Path | None = None
    structure: str = ""
    slices: Panoptic | None = None
    unpaired: bool = False

    @property
    def name(self) -> str:
        """Name of the case, followed by the observer if there are several."""
        return f"{self.case} ({self.observer})" if self.observer else self.case

    def as_row(self) -> dict[str, Any]:
        """Return the case as a row of the table, without files; undefined values are None."""
        values = asdict(self.metrics) if self.metrics else dict.fromkeys(Metrics.__dataclass_fields__)
        return {
            "case": self.case,
            **values,
            "diagonal_mm": self.diagonal_mm,
            "patient": self.patient or self.case,
            "observer": self.observer,
            "note": self.note,
            "error": self.error,
        }

    def as_json(self) -> dict[str, Any]:
        """Return the case for JSON: infinite and undefined values are null, and ``states`` tells them apart."""
        return without_infinity(self.as_row())

    def as_line(self) -> str:
        """Return one line: name, Dice, HD, HD95, ASSD in mm and both volumes in mL; or name and error."""
        if self.metrics is None:
            return f"{self.name:24s} {self.error}"
        return as_line(self.name, {name: getattr(self.metrics, name) for name in SHOWN})


def as_line(name: str, values: Mapping[str, float | None]) -> str:
    """Return one line of the table: a name, and the metrics SHOWN."""
    cells = ["-" if (value := values[one]) is None else form.format(value) for one, form in SHOWN.items()]
    return f"{name:24s} {cells[0]:>6s} {cells[1]:>7s} {cells[2]:>8s} {cells[3]:>8s} {cells[4]:>6s} {cells[5]:>7s}"


def evaluate(prediction: Segmentation, reference: Segmentation) -> Metrics:
    """Compute the metrics of label 1 of two segmentations on the same grid; distances are in mm.

    Metrics that need the patient's directions are None if the orientation of either segmentation is assumed.
    Raise GeometryError if the grids differ or are sheared, and InputError for anything but segmentations.
    """
    for item in (prediction, reference):
        if not isinstance(item, Segmentation):
            raise InputError(f"Two segmentations are compared, got {type(item).__name__}; read_mask reads a file.")
    if not same_grid(prediction, reference):
        raise GeometryError(
            f"The prediction is on {_grid(prediction)}, expected the reference's {_grid(reference)}."
        )
    masks = prediction.mask(), reference.mask()
    if "assumed" in (prediction.orientation, reference.orientation):
        return evaluate_masks(*masks, orthogonal_spacing_mm(reference.affine))
    return evaluate_masks(*masks, affine=reference.affine)


def measured(pair: Pair, *, resample: bool = False, structure: str = "") -> CaseResult:
    """Read and evaluate a pair; a failure is reported in the result, not raised.

    Parameters
    ----------
    pair
        A case with its prediction and its reference.
    resample
        Resample a prediction on another grid to the grid of the reference. The note of the result reports this.
    structure
        Name of the structure to compare, see :func:`read_pair`.
    """
    about: dict[str, Any] = {"case": pair.case, "patient": pair.patient, "observer": pair.observer}
    about["structure"] = structure
    for role, paths in zip(pair.roles, (pair.predictions, pair.references), strict=True):
        if len(paths) != 1:
            got = " and ".join(path.name for path in paths) or "none"
            return CaseResult(
                **about, error=f"Expected one {role} of case {pair.case}, got {got}.", unpaired=not paths
            )
    try:
        files = current_mask(pair.predictions[0]), current_mask(pair.references[0])
        about |= dict(zip(("prediction", "reference"), files, strict=True))
        return _measured(about, *read_pair(*files, resample=resample, structure=structure))
    except ProstateSegError as error:
        return CaseResult(**about, error=str(error))
    except MemoryError:
        return CaseResult(**about, error=f"Case {pair.case} does not fit into memory; give fewer --jobs.")
    except Exception as error:  # from any library, for a damaged file: go on with the other cases
        what = type(error).__name__
        return CaseResult(**about, error=f"Case {pair.case} cannot be measured ({what}); write the masks again.")


def _measured(about: dict[str, Any], prediction: Segmentation, reference: Segmentation, note: str) -> CaseResult:
    """Evaluate two masks that were read; ``note`` tells how they were changed."""
    metrics = evaluate(prediction, reference)
    spacing = orthogonal_spacing_mm(reference.affine)
    empty = [name for name, mask in (("prediction", prediction), ("reference", reference)) if not mask.labels.any()]
    note = " ".join([*([note] if note else []), *(f"The {name} is empty." for name in empty)])
    return CaseResult(
        **about,
        metrics=metrics,
        diagonal_mm=diagonal_mm(reference.labels.shape, spacing),
        note=note,
        slices=slice_presence(prediction.labels, reference.labels),
    )


def current_mask(path: Path) -> Path:
    """Return the mask file to evaluate: the path itself, or a mask in a case's folder.

    In a folder that ``segment`` wrote, a mask that was changed since then takes precedence.
    Raise InputError if two masks were changed and they differ.
    """
    if not path.is_dir():
        return path
    if (path / MANIFEST).is_file() and any((path / FORMATS[name].file).is_file() for name in ("nifti", "seg-nrrd")):
        return given_mask(path).file
    return next(path / name for name in IN_CASE_FOLDER if (path / name).is_file())


def read_pair(
    prediction: Path, reference: Path, *, resample: bool, structure: str = ""
) -> tuple[Segmentation, Segmentation, str]:
    """Read prediction and reference on the grid of the reference, with its axis order.

    Contours of a structure set are drawn on the grid of the other mask.

    Parameters
    ----------
    prediction, reference
        The two files.
    resample
        Resample a prediction on another grid to the grid of the reference.
    structure
        Name of the structure. A reference that names its structures must have this one. If the prediction lacks it,
        the CTV of the prediction is used instead, and the note reports this. Empty: the CTV, or the only structure.

    Returns
    -------
    tuple
        Prediction, reference, and a note that tells how the masks were changed.

    Raises
    ------
    GeometryError
        The grids differ and ``resample`` is False, or both files hold contours only.
    InputError
        A file cannot be read, or it lacks the structure.
    """
    of_prediction, of_reference = ((structure, CTV), (structure,)) if structure else ((), ())
    if has_contours_only(reference):
        if has_contours_only(prediction):
            raise GeometryError(
                f"{prediction.name} and {reference.name} are both RT Structure Sets, whose contours have no grid; "
                "give a mask that has voxels as one of the two."
            )
        found = _read(prediction, of_prediction)
        expected = _read(reference, of_reference, like=found)
    else:
        expected = _read(reference, of_reference)
        found = turned_like(_read(prediction, of_prediction, like=expected), expected)
    check_same_place(found.frame_of_reference, expected.frame_of_reference, prediction.name)
    note = _remark(found, expected, structure)
    if not same_grid(found, expected):
        if not resample:
            raise GeometryError(
                f"The grids differ: prediction {_grid(found)}, reference {_grid(expected)}; resample one to the "
                "other, or give --resample."
            )
        found, how = _resampled(found, expected, prediction.name)
        note = f"{note} {how}".strip()
    if "assumed" in (found.orientation, expected.orientation):
        note = f"{note} {NO_DIRECTIONS}".strip()
    return found, expected, note


def _read(path: Path, structure: Sequence[str], like: Segmentation | None = None) -> Segmentation:
    """Read a mask; its manifest may say "assumed", DICOM files beside it may give its frame of reference."""
    mask = read_mask(path, like=like, structure=structure)
    manifest = manifest_of(path.parent) if path.name in IN_CASE_FOLDER else {}
    if manifest.get("orientation") == "assumed":
        mask = replace(mask, orientation="assumed")
    if manifest and not mask.frame_of_reference:
        beside = [path.with_name(FORMATS[name].file) for name in ("dicom-seg", "rtstruct")]
        places = filter(None, map(frame_of_reference, filter(Path.is_file, beside)))
        mask = replace(mask, frame_of_reference=next(places, ""))
    return mask


def _remark(found: Segmentation, expected: Segmentation, structure: str) -> str:
    """Return remarks on a prediction with another name, and on a frame of reference in only one of the files."""
    told = []
    if structure and not same_name(found.names[1], structure):
        told.append(f"The prediction has no {shown(structure)}; its {shown(found.names[1])} was taken.")
    if bool(found.frame_of_reference) != bool(expected.frame_of_reference):
        told.append(NO_PLACE)
    return " ".join(told)


def _resampled(mask: Segmentation, like: Segmentation, name: str) -> tuple[Segmentation, str]:
    grid = Volume(like.labels, like.affine)
    values, exact = on_grid_of(grid, mask.mask(), mask.affine, name)
    found = replace(mask, labels=values.astype(np.uint8), affine=like.affine)
    change = found.volume_ml / mask.volume_ml - 1 if mask.volume_ml else 0.0
    if abs(change) > LARGEST_CHANGE:
        raise GeometryError(
            f"Brought to the reference's {_grid(like)} the prediction would have {found.volume_ml:.2f} mL instead "
            f"of {mask.volume_ml:.2f}; give both masks on the finer grid."
        )
    how = "its voxels were copied" if exact else "it was interpolated linearly and cut at one half"
    volumes = "" if exact else f", {mask.volume_ml:.2f} mL became {found.volume_ml:.2f}"
    note = f"The prediction on {_grid(mask)} was brought to the reference's {_grid(like)}: {how}{volumes}."
    return found, note


def without_infinity(values: dict[str, Any]) -> dict[str, Any]:
    """Return the values with None in place of infinity; ``states`` tells "undefined" from "infinite"."""
    states = {name: "undefined" for name, value in values.items() if value is None}
    states |= {name: "infinite" for name, value in values.items() if isinstance(value, float) and math.isinf(value)}
    return {**{name: None if name in states else value for name, value in values.items()}, "states": states}


def _grid(mask: Segmentation) -> str:
    shape = " x ".join(str(length) for length in mask.labels.shape)
    spacing = " x ".join(f"{length:.4g}" for length in mask.spacing_mm)
    origin = ", ".join(f"{position:.4g}" for position in mask.affine[:3, 3])
    return f"{shape} voxels of {spacing} mm from ({origin})"
