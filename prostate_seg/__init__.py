"""Prostate clinical target volume (CTV) segmentation in transrectal ultrasound (TRUS).

>>> import prostate_seg
>>> volume = prostate_seg.read("study/")                       # DICOM, NIfTI, NRRD, MetaImage
>>> ctv = prostate_seg.segment(volume)                         # the released model
>>> prostate_seg.write(ctv, "ctv.nii.gz")

Submodules are imported when a name is first used, so importing this package is fast.
"""

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
