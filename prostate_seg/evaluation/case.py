"""Evaluation of one prediction file against its reference file."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..errors import GeometryError, InputError, ProstateSegError
from ..geometry.structures import CTV, key
from ..geometry.volume import Segmentation, same_grid
from .masks_of_pair import current_mask, grid_text, read_pair, several_masks
from .metrics import (
    Metrics,
    Panoptic,
    diagonal_mm,
    evaluate_masks,
    orthogonal_spacing_mm,
    panoptic_counts,
    slice_presence,
)
from .pairs import Pair

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
    whole
        Counts with the whole structure as one segment.
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
    whole: Panoptic | None = None
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
            f"The prediction is on {grid_text(prediction)}, expected the reference's {grid_text(reference)}."
        )
    masks = prediction.mask(), reference.mask()
    if "assumed" in (prediction.orientation, reference.orientation):
        return evaluate_masks(*masks, orthogonal_spacing_mm(reference.affine))
    return evaluate_masks(*masks, affine=reference.affine)


def measured(pair: Pair, *, resample: bool = False, structure: str = "", strict: bool = False) -> CaseResult:
    """Read and evaluate a pair; a failure is reported in the result, not raised.

    Parameters
    ----------
    pair
        A case with its prediction and its reference.
    resample
        Resample a prediction on another grid to the grid of the reference. The note of the result reports this.
    structure
        Name of the structure to compare, see :func:`.read_pair`.
    strict
        Whether both files must name their structures, see :func:`.read_pair`. A case's folder then gives the file
        that can hold several.
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
        find = several_masks if strict and key(structure) != key(CTV) else current_mask
        files = find(pair.predictions[0]), find(pair.references[0])
        about |= dict(zip(("prediction", "reference"), files, strict=True))
        return _measured(about, *read_pair(*files, resample=resample, structure=structure, strict=strict))
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
        whole=panoptic_counts({"": prediction.mask()}, {"": reference.mask()})[""],
    )


def without_infinity(values: dict[str, Any]) -> dict[str, Any]:
    """Return the values with None in place of infinity; ``states`` tells "undefined" from "infinite"."""
    states = {name: "undefined" for name, value in values.items() if value is None}
    states |= {name: "infinite" for name, value in values.items() if isinstance(value, float) and math.isinf(value)}
    return {**{name: None if name in states else value for name, value in values.items()}, "states": states}
