"""Writers of DICOM: Segmentation, RT Structure Set, derived series and ultrasound."""
