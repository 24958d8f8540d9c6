"""Masks against references.

Pairs, metrics in mm and mL, tables with intervals, several observers, comparisons of evaluations.
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
