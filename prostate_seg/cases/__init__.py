"""Processing of whole cases, from the scan to the folder of results.

``segment`` reads, segments and writes a case. ``export`` converts a mask, for example a corrected one, to other
formats.
"""
