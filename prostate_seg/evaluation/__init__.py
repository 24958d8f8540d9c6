"""Evaluation of masks against reference masks.

The package pairs masks with references by name, computes metrics in mm and mL, and writes tables with confidence
intervals. It also compares several observers, and several evaluations.
"""

from .case import CaseResult, evaluate
from .folders import evaluate_folders, read_patients
from .observers import Observers, between_observers
from .tables import check_results, write_results

__all__ = [
    "CaseResult",
    "Observers",
    "between_observers",
    "check_results",
    "evaluate",
    "evaluate_folders",
    "read_patients",
    "write_results",
]
