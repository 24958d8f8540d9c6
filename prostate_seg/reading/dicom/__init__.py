"""DICOM in: layout, calibration, frames, pixels, structures. Every rule stands in docs/dicom.md."""
