"""Readers of DICOM files: layout, calibration, frames, pixels and structures.

All rules are described in docs/dicom.md.
"""
