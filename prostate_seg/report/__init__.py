"""HTML pages: case, cohort, comparison, review.

Each page is a single HTML file that needs no network connection.
"""

from .case_page import CaseReport, write_case_page
from .cohort_page import PAGE, check_cohort, write_cohort
from .comparison_page import PAGE as COMPARISON_PAGE
from .comparison_page import check_comparison_page, write_comparison_page
from .review_page import check_review, write_review
from .segmented import case_report_of, write_report
from .viewer import Layer

__all__ = [
    "COMPARISON_PAGE",
    "PAGE",
    "CaseReport",
    "Layer",
    "case_report_of",
    "check_cohort",
    "check_comparison_page",
    "check_review",
    "write_case_page",
    "write_cohort",
    "write_comparison_page",
    "write_report",
    "write_review",
]
