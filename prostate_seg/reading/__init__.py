"""Readers of images and masks.

Images: ultrasound DICOM, NIfTI, NRRD and MetaImage. Masks: NIfTI, NRRD, MetaImage, DICOM SEG and RTSTRUCT.
"""
