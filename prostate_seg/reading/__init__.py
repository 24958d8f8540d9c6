"""Files to volumes and masks.

DICOM ultrasound, NIfTI, NRRD and MetaImage; masks also from DICOM SEG and RTSTRUCT.
"""
