"""Segment a study, look at the doubt, write DICOM, evaluate. Arguments: STUDY REFERENCE FOLDER [BUNDLE]."""

import sys
from pathlib import Path

import nibabel
import SimpleITK

import prostate_seg

study, reference, folder, *bundle = sys.argv[1:]
volume = prostate_seg.read(study)  # or an image in memory: prostate_seg.read(nibabel.load(...))
ctv = prostate_seg.segment(volume, bundle=bundle[0] if bundle else None)
print(ctv, ctv.volume_ml, *ctv.warnings, ctv.uncertainty.get("probability_hd95_above_5_mm"))
prostate_seg.write(ctv, Path(folder) / "ctv_seg.dcm", image=volume, format="dicom-seg")
prostate_seg.write(ctv, Path(folder) / "ctv_rtstruct.dcm", image=volume, format="rtstruct")
nibabel.save(prostate_seg.to_nibabel(ctv), Path(folder) / "ctv.nii.gz")
SimpleITK.WriteImage(prostate_seg.to_simpleitk(volume), Path(folder) / "us.mha")
print(prostate_seg.evaluate(ctv, prostate_seg.read_mask(nibabel.load(reference))).dice)
