"""Folders of masks against folders of reference masks, several cases at a time."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from ..errors import InputError
from ..system.csv_files import read_rows
from ..system.parallel import in_processes
from .case import CaseResult, measured
from .pairs import Pair, case_name, find_pairs, observer_names

PAIRS_PER_PROCESS = 8  # fewer are done sooner than another process has started


def read_patients(path: Path) -> dict[str, str]:
    """Whose case is whose: a CSV file with the columns ``case`` and ``patient``. Raises InputError."""
    columns, rows = read_rows(path)
    if not {"case", "patient"} <= set(columns):
        raise InputError(
            f"{path} has the columns {', '.join(columns) or 'none'}; expected case and patient, separated by "
            "commas."
        )
    patients: dict[str, str] = {}
    for row in rows:
        if patients.setdefault(row["case"], row["patient"]) != row["patient"]:
            raise InputError(f"{path} gives case {row['case']} to two patients; give it to one.")
    return patients


def evaluate_folders(
    predictions: str | Path,
    references: str | Path | Sequence[str | Path],
    *,
    patients: Mapping[str, str] | None = None,
    resample: bool = False,
    structure: str = "",
    jobs: int | None = 1,
) -> list[CaseResult]:
    """Compare masks paired by name: two folders, or two files (one case, named after the reference).

    A case is a mask file in the folder (``NAME.nii.gz``, ``.nii``, ``.seg.nrrd``, ``.nrrd``, ``.mha``, ``.dcm``)
    or a sub-folder NAME that holds ``ctv.nii.gz``, ``ctv.seg.nrrd``, ``ctv_seg.dcm`` or ``ctv_rtstruct.dcm``, as
    ``prostate-seg segment`` writes them. references: one, or one an observer. Masks must share their grid within
    0.001 mm, unless ``resample``; contours of a structure set take the other's. structure: which of the
    structures that files name, by its name; empty: the CTV, or the only one (:func:`.case.read_pair`).
    patients: of every case, by name, where several cases may be one patient's. jobs: how many pairs at a time,
    each in a process (:mod:`prostate_seg.system.parallel`); None: as many as there are cores and enough pairs. One
    row a case and observer, sorted by name; a case that lacks its partner, cannot be read, or lies on another
    grid is a row with its reason. Raises
    InputError where nothing can be compared at all.
    """
    places = [Path(path) for path in ([references] if isinstance(references, str | Path) else references)]
    names = observer_names(places)
    case = case_name(Path(predictions)) if len(places) > 1 else None  # of several references' files
    pairs = [
        pair
        for place, observer in zip(places, names, strict=True)
        for pair in find_pairs(Path(predictions), place, observer, case=case)
    ]
    pairs = _with_patients(sorted(pairs, key=lambda pair: pair.case), patients)
    return _rows(pairs, partial(measured, resample=resample, structure=structure), jobs=jobs)


def _with_patients(pairs: Sequence[Pair], patients: Mapping[str, str] | None) -> list[Pair]:
    cases = {pair.case for pair in pairs}
    if patients is not None and (unknown := sorted(case for case in cases if not patients.get(case))):
        raise InputError(
            f"The table of patients lacks {len(unknown)} of {len(cases)} cases ({', '.join(unknown[:5])}); add "
            "them."
        )
    whose = patients or {case: case for case in cases}
    return [replace(pair, patient=whose[pair.case]) for pair in pairs]


def _rows(pairs: Sequence[Pair], measure: Callable[[Pair], CaseResult], *, jobs: int | None) -> list[CaseResult]:
    if jobs is None:
        jobs = min(os.cpu_count() or 1, -(-len(pairs) // PAIRS_PER_PROCESS))
    jobs = min(jobs, len(pairs))
    results: Iterable[CaseResult | None] = map(measure, pairs) if jobs <= 1 else in_processes(measure, pairs, jobs)
    died = "Its process died: too little memory, or a damaged file; give fewer --jobs."
    return [
        result or CaseResult(pair.case, patient=pair.patient, observer=pair.observer, error=died)
        for pair, result in zip(pairs, results, strict=True)
    ]
