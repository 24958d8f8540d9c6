"""Geometry of volumes and masks in the patient.

Arrays are indexed (i, j, k); affines map to RAS mm. The package holds margins, resampling, and structures with
their codes.
"""
