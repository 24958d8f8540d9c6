"""Evaluation of masks against reference masks.

The package pairs masks with references by name, computes metrics in mm and mL, and writes tables with confidence
intervals. It also compares several observers, and several evaluations.
"""

from .case import CaseResult, evaluate
from .folders import evaluate_folders, read_patients
from .observers import Observers, between_observers
from .structures import (
    StructureResults,
    check_structure_results,
    evaluate_structures,
    structure_rows,
    structures_as_json,
    write_structure_results,
)
from .tables import check_results, write_results

__all__ = [
    "CaseResult",
    "Observers",
    "StructureResults",
    "between_observers",
    "check_results",
    "check_structure_results",
    "evaluate",
    "evaluate_folders",
    "evaluate_structures",
    "read_patients",
    "structure_rows",
    "structures_as_json",
    "write_results",
    "write_structure_results",
]
