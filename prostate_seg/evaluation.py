"""Folders of masks against folders of reference masks: pairs, rows, tables."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from .errors import GeometryError, InputError, OutputError, ProstateSegError
from .export.files import replacing
from .export.manifest import write_manifest
from .masks import SUFFIXES, read_mask, turned_like
from .metrics import Metrics, diagonal_mm, evaluate_masks, orthogonal_spacing_mm
from .summary import summarise
from .volume import Segmentation, same_grid

_IN_CASE_FOLDER = ("ctv.nii.gz", "ctv.seg.nrrd", "ctv_seg.dcm", "ctv_rtstruct.dcm")


@dataclass(frozen=True)
class CaseResult:
    """One case: its metrics, its patient and the diagonal of its reference image in mm, or the reason why not."""

    case: str
    metrics: Metrics | None = None
    diagonal_mm: float | None = None
    error: str = ""
    patient: str = ""

    def as_json(self) -> dict[str, Any]:
        """The case as JSON holds it: null where infinite or undefined, and ``states`` saying which."""
        return {**_without_infinity(_flat(self)), "error": self.error}

    def as_line(self) -> str:
        """Case, Dice, HD, HD95 and ASSD in mm, volume and reference volume in mL, or the reason why not."""
        if self.metrics is None:
            return f"{self.case:24s} {self.error}"
        m = self.metrics
        volumes = ["-" if volume is None else f"{volume:.1f}" for volume in (m.volume_ml, m.reference_volume_ml)]
        return (
            f"{self.case:24s} {m.dice:6.3f} {m.hd_mm:7.2f} {m.hd95_mm:8.2f} {m.assd_mm:8.2f} "
            f"{volumes[0]:>6s} {volumes[1]:>7s}"
        )


def evaluate(prediction: Segmentation, reference: Segmentation) -> Metrics:
    """Compare label 1 of two segmentations on one grid; distances in mm. Raises GeometryError."""
    if not same_grid(prediction, reference):
        raise GeometryError(
            f"The prediction is on {_grid(prediction)}, expected the reference's {_grid(reference)}."
        )
    spacing_mm = orthogonal_spacing_mm(reference.affine)
    return evaluate_masks(prediction.labels == 1, reference.labels == 1, spacing_mm)


def read_patients(path: Path) -> dict[str, str]:
    """Whose case is whose: a CSV file with the columns ``case`` and ``patient``. Raises InputError."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            return {row["case"]: row["patient"] for row in csv.DictReader(stream)}
    except (OSError, LookupError, ValueError) as error:
        raise InputError(f"{path} is no table with the columns case and patient ({error}); write one.") from error


def evaluate_folders(
    predictions: Path, references: Path, *, patients: Mapping[str, str] | None = None
) -> list[CaseResult]:
    """Compare masks paired by name: two folders, or two files (one case, named after the reference).

    A case is a mask file in the folder (``NAME.nii.gz``, ``.nii``, ``.seg.nrrd``, ``.nrrd``, ``.mha``, ``.dcm``)
    or a sub-folder NAME that holds ``ctv.nii.gz``, ``ctv.seg.nrrd``, ``ctv_seg.dcm`` or ``ctv_rtstruct.dcm``, as
    ``prostate-seg segment`` writes them. Masks must share their grid within 0.001 mm; contours of a structure set
    take the other's. patients: of every case, by name, where several cases may be one patient's. One row a
    case, sorted by name; a case that lacks its partner, cannot be read, or lies on another grid is a row with
    its reason. Raises InputError where nothing can be compared at all.
    """
    predictions, references = Path(predictions), Path(references)
    if predictions.is_file() and references.is_file():
        return [_result(_case_name(references), [predictions], [references])]
    for folder in sorted((predictions, references), key=Path.exists):
        if not folder.is_dir():
            what = "is a file" if folder.is_file() else "does not exist"
            raise InputError(f"{folder} {what}; expected two folders of masks, or two mask files.")
    found, expected = _cases(predictions), _cases(references)
    if not found.keys() & expected.keys():
        raise InputError(
            f"No mask in {predictions} ({len(found)} cases) has the name of one in {references} "
            f"({len(expected)} cases); expected NAME.nii.gz or NAME/ctv.nii.gz in one "
            "and NAME.nii.gz in the other."
        )
    names = sorted({*found, *expected})
    if patients is not None and (unknown := [name for name in names if not patients.get(name)]):
        raise InputError(
            f"The table of patients lacks {len(unknown)} of {len(names)} cases ({', '.join(unknown[:5])}); add "
            "them."
        )
    whose = patients or {name: name for name in names}
    return [
        replace(_result(name, found.get(name, []), expected.get(name, [])), patient=whose[name]) for name in names
    ]


def write_results(results: Sequence[CaseResult], folder: Path) -> list[Path]:
    """Write ``metrics.csv`` and ``metrics.json`` into a folder, made where absent; returns their paths.

    CSV: one row a case; infinite distances are ``inf``, undefined values empty. JSON: the same under
    ``cases``, with null for both and ``states`` saying which ("infinite", "undefined"), and ``summary``:
    mean, median, standard deviation and 95 % bootstrap interval of the mean over the cases without error.
    Raises OutputError.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"Cannot make the folder {folder}: {error.strerror}; give another one.") from error
    table, summary = folder / "metrics.csv", folder / "metrics.json"
    fields = [*Metrics.__dataclass_fields__, "diagonal_mm"]
    with replacing(table) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ["case", *fields, "patient", "error"], lineterminator="\n")
        writer.writeheader()
        writer.writerows({**_flat(result), "error": result.error} for result in results)
    write_manifest(summary, _document(results))
    return [table, summary]


def _document(results: Sequence[CaseResult]) -> dict[str, Any]:
    measured = [result for result in results if result.metrics is not None]
    summaries = summarise(
        [result.metrics for result in measured if result.metrics is not None],
        [result.diagonal_mm or 0.0 for result in measured],
        patients=[result.patient or result.case for result in measured],
    )
    return {
        "cases": [result.as_json() for result in results],
        "cases_measured": len(measured),
        "cases_with_error": len(results) - len(measured),
        "infinite_distances": "replaced by the diagonal of the reference image, in mm, in every summary",
        "interval": "95 % bootstrap of the mean over patients, 2000 resamples",
        "summary": {name: _without_infinity(asdict(summary)) for name, summary in summaries.items()},
    }


def _flat(result: CaseResult) -> dict[str, Any]:
    values = asdict(result.metrics) if result.metrics else dict.fromkeys(Metrics.__dataclass_fields__)
    patient = result.patient or result.case
    return {"case": result.case, **values, "diagonal_mm": result.diagonal_mm, "patient": patient}


def _without_infinity(values: dict[str, Any]) -> dict[str, Any]:
    states = {name: "undefined" for name, value in values.items() if value is None}
    states |= {name: "infinite" for name, value in values.items() if isinstance(value, float) and math.isinf(value)}
    return {**{name: None if name in states else value for name, value in values.items()}, "states": states}


def _result(case: str, predictions: list[Path], references: list[Path]) -> CaseResult:
    for role, paths in (("prediction", predictions), ("reference", references)):
        if len(paths) != 1:
            got = " and ".join(path.name for path in paths) or "none"
            return CaseResult(case, error=f"Expected one {role} of case {case}, got {got}.")
    try:
        prediction, reference = _read_pair(predictions[0], references[0])
        if not same_grid(prediction, reference):
            raise GeometryError(
                f"The grids of case {case} differ: prediction {_grid(prediction)}, reference "
                f"{_grid(reference)}; resample one to the other."
            )
        spacing = orthogonal_spacing_mm(reference.affine)
    except ProstateSegError as error:
        return CaseResult(case, error=str(error))
    metrics = evaluate_masks(prediction.labels, reference.labels, spacing)
    return CaseResult(case, metrics, diagonal_mm(reference.labels.shape, spacing))


def _read_pair(prediction: Path, reference: Path) -> tuple[Segmentation, Segmentation]:
    """Both masks; contours of a structure set on the grid of the other, axes as the reference's."""
    try:
        expected = read_mask(reference)
    except GeometryError:  # contours: on the prediction's grid
        found = read_mask(prediction)
        return found, read_mask(reference, like=found)
    return turned_like(read_mask(prediction, like=expected), expected), expected


def _grid(mask: Segmentation) -> str:
    shape = " x ".join(str(length) for length in mask.labels.shape)
    spacing = " x ".join(f"{length:.4g}" for length in mask.spacing_mm)
    origin = ", ".join(f"{position:.4g}" for position in mask.affine[:3, 3])
    return f"{shape} voxels of {spacing} mm from ({origin})"


def _cases(folder: Path) -> dict[str, list[Path]]:
    cases: dict[str, list[Path]] = {}
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        if path.is_dir():
            masks = [path / name for name in _IN_CASE_FOLDER if (path / name).is_file()][:1]
            name = path.name
        else:
            masks, name = ([path] if path.name.lower().endswith(SUFFIXES) else []), _case_name(path)
        if masks:
            cases.setdefault(name, []).extend(masks)
    return cases


def _case_name(path: Path) -> str:
    suffix = next((suffix for suffix in SUFFIXES if path.name.lower().endswith(suffix)), path.suffix)
    return path.name[: len(path.name) - len(suffix)]
