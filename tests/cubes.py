"""Masks of cubes whose metrics one can work out by hand, and folders of them."""

import numpy as np

from prostate_seg.geometry.volume import Segmentation
from prostate_seg.writing import write

AFFINE = np.diag([-1.0, -1.0, 2.0, 1.0])  # voxels of 1 x 1 x 2 mm: i to the left, j to the posterior
SHAPE = (20, 16, 10)


def cube(first, last, orientation="file"):
    """Voxels first to last - 1 along i, 8 along j, 6 along k."""
    labels = np.zeros(SHAPE, np.uint8)
    labels[first:last, 4:12, 2:8] = 1
    return Segmentation(labels, AFFINE, orientation=orientation)


def fill(folder, **masks):
    """Write masks into a new folder under their names."""
    folder.mkdir(parents=True)
    for name, mask in masks.items():
        write(mask, folder / f"{name}.nii.gz")
    return folder
