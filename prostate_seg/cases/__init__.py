"""Whole cases: scan to folder.

``segment`` reads, segments and writes a case; ``export`` brings a corrected mask to every format.
"""
