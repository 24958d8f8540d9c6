"""Evaluations for a comparison: read from ``metrics.csv``, paired by case, with remarks for the reader."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...errors import InputError
from ...geometry.volume import Array
from ...system.csv_files import NUMBER, read_rows
from ..metrics import DISTANCES, SCORES

TABLE = "metrics.csv"
SIGNIFICANT = 0.05
SAME_ML = 1e-3  # largest difference in mL between two readings of the same reference


@dataclass(frozen=True, eq=False)
class Table:
    """One evaluation.

    Attributes
    ----------
    name
        Name of the evaluation.
    cases, patients
        Name of each measured case and of its patient.
    values
        Values (cases,) by metric. Undefined values are NaN, infinite distances are replaced by the diagonal.
    failed
        Names of the cases that could not be measured.
    reference_ml
        Volume of each reference in mL, (cases,); None if unknown.
    missed
        Number of cases with infinite distances.
    """

    name: str
    cases: list[str]
    patients: list[str]
    values: dict[str, Array]
    failed: tuple[str, ...] = ()
    reference_ml: Array | None = None
    missed: int = 0


def read_table(path: Path, name: str | None = None) -> Table:
    """Read the ``metrics.csv`` that ``evaluate -o`` wrote; rows with an error are left out.

    Without a column ``patient``, every case is a patient of its own.

    Parameters
    ----------
    path
        The file, or its folder.
    name
        Name of the table. None: the name of the folder.

    Raises
    ------
    InputError
        There is no such file, or its content is not that of a table of ``evaluate``.
    """
    file = path / TABLE if path.is_dir() else path
    if not file.exists():
        raise InputError(f"There is no {TABLE} in {path}; give a folder that evaluate -o wrote.")
    columns, everything = read_rows(file)
    if missing := [name for name in ("case", "diagonal_mm") if name not in columns]:
        raise InputError(
            f"{file} is no table of prostate-seg evaluate (no column {' and '.join(missing)}); give a folder that "
            "evaluate -o wrote."
        )
    rows = [row for row in everything if not row.get("error")]
    cases, failed = [_name(row) for row in rows], tuple(_name(row) for row in everything if row.get("error"))
    values = {name: _column(file, rows, name) for name in SCORES if name in columns}
    diagonals = _column(file, rows, "diagonal_mm")
    if not (np.isfinite(diagonals) & (diagonals > 0)).all():
        raise InputError(f"{file} has a diagonal_mm that is no positive length in mm; evaluate again.")
    volumes = _column(file, rows, "reference_volume_ml")
    if not cases or len(set(cases)) != len(cases):
        what = "no case without an error" if not cases else "two rows of one case and observer"
        raise InputError(f"{file} has {what}; evaluate again.")
    missed = int(np.isinf(values["hd_mm"]).sum()) if "hd_mm" in values else 0
    for metric in values.keys() & set(DISTANCES):
        values[metric] = np.where(np.isinf(values[metric]), diagonals, values[metric])
    patients = [row.get("patient") or row["case"] for row in rows]
    name = name or file.resolve().parent.name
    return Table(name, cases, patients, values, failed=failed, reference_ml=volumes, missed=missed)


def _column(file: Path, rows: Sequence[Mapping[str, str]], name: str) -> Array:
    """Return the numbers of a column, (cases,); NaN for an empty cell.

    Raises
    ------
    InputError
        A cell is not a number, or it is infinite and the column is not a distance.
    """
    texts = [row.get(name, "") for row in rows]
    for row, text in zip(rows, texts, strict=True):
        known = not text or (name in DISTANCES and text == "inf")
        if not known and not (NUMBER.fullmatch(text) and math.isfinite(float(text))):
            raise InputError(
                f"{file} has {text[:20]!r} as {name} of case {_name(row)}, expected a number such as 0.5, inf for "
                "an infinite distance, or nothing; evaluate again."
            )
    return np.array([float(text or "nan") for text in texts])


def _name(row: Mapping[str, str]) -> str:
    return f"{row['case']} ({row['observer']})" if row.get("observer") else row["case"]


def paired(first: Table, second: Table, metric: str) -> tuple[list[str], Array, Array, Array]:
    """Return the common cases in which a metric is defined: names, first values, second values, patient numbers.

    Each of the three arrays has the shape (cases,). Raise InputError if there is no common case.
    """
    there = {case: index for index, case in enumerate(second.cases)}
    pairs = [(index, there[case]) for index, case in enumerate(first.cases) if case in there]
    if not pairs:
        raise InputError(
            f"{first.name} ({first.cases[0]}, ...) and {second.name} ({second.cases[0]}, ...) have no case in "
            "common; compare evaluations of the same cases and observers."
        )
    at_first, at_second = np.array(pairs).T
    a, b = first.values[metric][at_first], second.values[metric][at_second]
    defined = np.flatnonzero(~(np.isnan(a) | np.isnan(b)))
    people = np.unique([first.patients[at_first[index]] for index in defined], return_inverse=True)[1]
    return [first.cases[at_first[index]] for index in defined], a[defined], b[defined], people


def remarks(tables: Sequence[Table]) -> list[str]:
    """Return remarks for the reader of a comparison: missed cases, cases left out, too few patients.

    Raise InputError if a case has different references in two tables.
    """
    told = [
        f"{table.name}: {table.missed} of {len(table.cases)} cases are missed or invented altogether; their "
        "distances count as the diagonal of their image."
        for table in tables
        if table.missed
    ]
    for first, second in itertools.combinations(tables, 2):
        _check_references(first, second)
        for one, other in ((first, second), (second, first)):
            if alone := [case for case in one.cases if case not in set(other.cases)]:
                why = "they failed" if set(alone) <= set(other.failed) else "there are none"
                told.append(
                    f"{len(alone)} cases of {one.name} are left out, in {other.name} {why} "
                    f"({', '.join(alone[:5])}): the one with fewer cases may look better than it is."
                )
        people = {
            patient for case, patient in zip(first.cases, first.patients, strict=True) if case in second.cases
        }
        if 2 ** (1 - len(people)) >= SIGNIFICANT:
            told.append(
                f"{second.name} - {first.name}: {len(people)} patients are too few for p below {SIGNIFICANT}."
            )
    return list(dict.fromkeys(told))


def _check_references(first: Table, second: Table) -> None:
    if first.reference_ml is None or second.reference_ml is None:
        return
    there = dict(zip(second.cases, second.reference_ml.tolist(), strict=True))
    for case, volume in zip(first.cases, first.reference_ml.tolist(), strict=True):
        if abs(volume - there.get(case, volume)) > SAME_ML:
            raise InputError(
                f"{first.name} and {second.name} have other references of case {case} ({volume:.2f} and "
                f"{there[case]:.2f} mL); evaluate both against the same ones."
            )
