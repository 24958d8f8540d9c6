"""Evaluation of masks against reference masks.

The package pairs masks with references by name, computes metrics in mm and mL, and writes tables with confidence
intervals. It also compares several observers, and several evaluations.
"""

from .case import CaseResult, evaluate
from .folders import evaluate_folders, read_patients
from .observers import Observers, between_observers
from .panoptic_table import PanopticRow, over_all, panoptic_rows
from .structure_tables import (
    check_structure_results,
    structure_rows,
    structures_as_json,
    write_structure_results,
)
from .structures import StructureResults, evaluate_structures
from .tables import check_results, write_results
from .things import things_alone

__all__ = [
    "CaseResult",
    "Observers",
    "PanopticRow",
    "StructureResults",
    "between_observers",
    "check_results",
    "check_structure_results",
    "evaluate",
    "evaluate_folders",
    "evaluate_structures",
    "over_all",
    "panoptic_rows",
    "read_patients",
    "structure_rows",
    "structures_as_json",
    "things_alone",
    "write_results",
    "write_structure_results",
]
