"""Masks against reference masks, of one observer or several: pairs, rows, tables."""

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
