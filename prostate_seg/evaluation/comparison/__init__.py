"""Paired comparison of evaluations of the same cases."""

from .differences import HEAD, MAIN, Difference, check_comparison, compare, worst_first, write_comparison
from .tables import Table, paired, read_table, remarks

__all__ = [
    "HEAD",
    "MAIN",
    "Difference",
    "Table",
    "check_comparison",
    "compare",
    "paired",
    "read_table",
    "remarks",
    "worst_first",
    "write_comparison",
]
