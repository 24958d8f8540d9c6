"""DICOM out: segmentation, structure set, derived series, ultrasound."""
