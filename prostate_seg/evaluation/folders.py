"""Evaluation of folders of masks against folders of reference masks, several cases at a time."""

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
from .pairs import ROLES, Pair, case_name, find_pairs, observer_names

PAIRS_PER_PROCESS = 8  # for fewer pairs, starting another process takes longer than evaluating them


def read_patients(path: Path) -> dict[str, str]:
    """Read the patient of each case from a CSV file with the columns ``case`` and ``patient``.

    Raises
    ------
    InputError
        The file cannot be read, lacks a column, or gives one case to two patients.
    """
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
    roles: tuple[str, str] = ROLES,
) -> list[CaseResult]:
    """Evaluate masks against reference masks of the same name, in two folders or in two files.

    A case is a mask file in the folder (``NAME.nii.gz``, ``.nii``, ``.seg.nrrd``, ``.nrrd``, ``.mha``, ``.dcm``),
    or a sub-folder NAME that holds ``ctv.nii.gz``, ``ctv.seg.nrrd``, ``ctv_seg.dcm`` or ``ctv_rtstruct.dcm``, as
    ``prostate-seg segment`` writes them. Two files are one case. It has the name of the reference, or the name of
    the prediction if there are several references.

    Parameters
    ----------
    predictions
        Folder of masks, or one mask file.
    references
        Folder of reference masks, or one mask file; a sequence holds one for each observer.
    patients
        Patient of every case, by the name of the case. None: every case is a patient of its own.
    resample
        Resample masks on another grid. Without it, the grids must agree within 0.001 mm. Contours of a structure
        set are always drawn on the grid of the other mask.
    structure
        Name of the structure to compare, see :func:`.read_pair`. Empty: the CTV, or the only structure.
    jobs
        Number of processes, see :mod:`prostate_seg.system.parallel`. None: one for each core, but at most one for
        every eight pairs.
    roles
        What a prediction and a reference are called in messages.

    Returns
    -------
    list
        One result for each case and observer, sorted by name. A case that cannot be measured has a result with the
        reason: its partner is missing, a file cannot be read, or the grids differ.

    Raises
    ------
    InputError
        There is nothing to compare, or ``patients`` lacks a case.
    """
    pairs = paired(predictions, references, patients=patients, roles=roles)
    return results_of(pairs, partial(measured, resample=resample, structure=structure), jobs=jobs)


def paired(
    predictions: str | Path,
    references: str | Path | Sequence[str | Path],
    *,
    patients: Mapping[str, str] | None = None,
    roles: tuple[str, str] = ROLES,
) -> list[Pair]:
    """Return the pairs that :func:`evaluate_folders` evaluates; parameters and errors are the same."""
    places = [Path(path) for path in ([references] if isinstance(references, str | Path) else references)]
    names = observer_names(places)
    case = case_name(Path(predictions)) if len(places) > 1 else None  # one name for all references
    pairs = [
        replace(pair, roles=roles)
        for place, observer in zip(places, names, strict=True)
        for pair in find_pairs(Path(predictions), place, observer, case=case)
    ]
    return _with_patients(sorted(pairs, key=lambda pair: pair.case), patients)


def _with_patients(pairs: Sequence[Pair], patients: Mapping[str, str] | None) -> list[Pair]:
    cases = {pair.case for pair in pairs}
    if patients is not None and (unknown := sorted(case for case in cases if not patients.get(case))):
        raise InputError(
            f"The table of patients lacks {len(unknown)} of {len(cases)} cases ({', '.join(unknown[:5])}); add "
            "them."
        )
    whose = patients or {case: case for case in cases}
    return [replace(pair, patient=whose[pair.case]) for pair in pairs]


def results_of(
    pairs: Sequence[Pair], measure: Callable[[Pair], CaseResult], *, jobs: int | None
) -> list[CaseResult]:
    """Return the result of each pair, measured in ``jobs`` processes (see :func:`evaluate_folders`)."""
    if jobs is None:
        jobs = min(os.cpu_count() or 1, -(-len(pairs) // PAIRS_PER_PROCESS))
    jobs = min(jobs, len(pairs))
    results: Iterable[CaseResult | None] = map(measure, pairs) if jobs <= 1 else in_processes(measure, pairs, jobs)
    died = "Its process died: too little memory, or a damaged file; give fewer --jobs."
    return [
        result or CaseResult(pair.case, patient=pair.patient, observer=pair.observer, error=died)
        for pair, result in zip(pairs, results, strict=True)
    ]
