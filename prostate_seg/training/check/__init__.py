"""Check of training data before a training: files, geometry, masks, copies, and patients in two sections."""

from .findings import Finding, worst_first
from .run import Checked, check_data

__all__ = ["Checked", "Finding", "check_data", "worst_first"]
