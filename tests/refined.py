"""Verbs on a small case with NIfTI as format, and what is in its folder."""

import json

import nibabel
import numpy as np

from prostate_seg.cli import main


def run(verb, image, out, *options):
    """Run a verb with NIfTI as format; return its exit status."""
    return main([verb, str(image), "-o", str(out), "--format", "nifti", *map(str, options)])


def redrawn(case, file, *slices):
    """Write a mask of a case to a file, with a rectangle of 15 x 15 voxels on some slices."""
    before = nibabel.load(case / "ctv.nii.gz")
    drawn = np.asarray(before.dataobj).copy()
    for k in slices:
        drawn[:, :, k] = 0
        drawn[30:45, 20:35, k] = 1
    nibabel.save(nibabel.Nifti1Image(drawn, before.affine, before.header), file)
    return file


def facts(case):
    return json.loads((case / "manifest.json").read_text())


def voxels(case):
    return np.asarray(nibabel.load(case / "ctv.nii.gz").dataobj) > 0
