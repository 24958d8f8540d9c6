"""Correction of a segmentation by hints of a person.

The boundary's error along rays from the gland's centre is estimated by kriging (:mod:`.kriging`), and the
probability is moved accordingly (:mod:`.moved`). Slices between contours follow contours and probability
(:mod:`.between`). Every hint is then obeyed voxel by voxel (:mod:`.obeyed`).
"""
