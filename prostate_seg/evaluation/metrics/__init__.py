"""Metrics of binary masks: overlap, surface distances in mm, volumes, and regional errors.

A mask is an array of 0 and 1 on an orthogonal grid. The grid may be isotropic or not, and aligned with the
patient's axes or oblique to them. A sheared grid is refused (:func:`orthogonal_spacing_mm`).

Distances are measured in mm between the voxel centres of the two boundaries. The boundary of a mask is the mask
minus its 6-connected erosion; everything beyond the border of the image counts as outside. Axes of length 1 carry
no boundary: a single slice is measured in its plane (4-connected) and has no volume.

This table gives the values for empty masks (undefined: None):

============================================= ========== ================ ===============
metric                                        both empty prediction empty reference empty
============================================= ========== ================ ===============
Dice, IoU, precision, recall, surface Dice    1          0                0
HD, HD95, ASSD, mean distances, centroid      0          inf              inf
volume error, mL                              0          -V(reference)    +V(prediction)
relative volume error                         0          -1               inf
Dice and HD95 of base, mid, apex              undefined  0, inf           undefined
mean distance anterior, posterior, left, right undefined inf              undefined
mean Dice of the slices                       1          0                0
slices missed, slices too many                0, 0       all, 0           0, all
============================================= ========== ================ ===============

Summaries over cases (``prostate_seg.evaluation.summary``) count infinite distances. They replace each by the
diagonal of its reference image (:func:`diagonal_mm`). No finite distance exceeds this diagonal, so a missed case
never improves a score.
"""

from .calibration import Reliability, expected_calibration_error
from .case import DISTANCES, SCORES, Metrics, evaluate_masks
from .masks import diagonal_mm, orthogonal_spacing_mm
from .overlap import Overlap, overlap
from .panoptic import Panoptic, panoptic_counts, panoptic_quality, slice_presence
from .surface import SurfaceDistances, surface_distances

__all__ = [
    "DISTANCES",
    "SCORES",
    "Metrics",
    "Overlap",
    "Panoptic",
    "Reliability",
    "SurfaceDistances",
    "diagonal_mm",
    "evaluate_masks",
    "expected_calibration_error",
    "orthogonal_spacing_mm",
    "overlap",
    "panoptic_counts",
    "panoptic_quality",
    "slice_presence",
    "surface_distances",
]
