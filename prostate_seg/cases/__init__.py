"""Whole cases: from a scan to its results.

``segment`` reads, segments and writes a case. ``export`` converts a mask, for example a corrected one, to other
formats.
"""
