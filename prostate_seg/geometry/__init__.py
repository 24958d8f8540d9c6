"""Volumes and masks in the patient.

Arrays are (i, j, k), affines RAS mm; margins, resampling, structures and their codes.
"""
