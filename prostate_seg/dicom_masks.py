"""Structures of DICOM Segmentations and RT Structure Sets as masks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import highdicom
import numpy as np
from pydicom import Dataset, dcmread
from pydicom.errors import InvalidDicomError
from skimage.draw import polygon2mask

from .errors import GeometryError, InputError
from .volume import Array, swap_ras_lps

SEGMENTATION, STRUCTURE_SET = "1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.481.3"
OFF_GRID_VOXELS = 0.5  # how far a contour may run beyond the outer edges of a grid's voxels
OFF_PLANE_SLICES = 0.1  # how far a contour may lie from a slice of the grid


def dicom_kind(path: Path) -> str | None:
    """``segmentation``, ``structure-set``, or None for a file that is neither."""
    try:
        header = dcmread(path, specific_tags=["SOPClassUID"], stop_before_pixels=True)
    except (InvalidDicomError, OSError):
        return None
    kinds = {SEGMENTATION: "segmentation", STRUCTURE_SET: "structure-set"}
    return kinds.get(str(header.get("SOPClassUID")))


def read_segmentation(path: Path) -> tuple[dict[str, Array], Array]:
    """The segments of a DICOM Segmentation by label, bool (I, J, K), and their RAS affine.

    A fractional one is cut at one half. Raises InputError where it cannot be read or is no volume.
    """
    try:
        segmentation = highdicom.seg.segread(path)
        masks, affine = {}, np.eye(4)
        for number in segmentation.segment_numbers:
            volume = segmentation.get_volume(segment_numbers=[number], rescale_fractional=True)
            values = np.asarray(volume.array).reshape(volume.array.shape[:3])  # (slice, row, column)
            masks[str(segmentation.get_segment_description(number).segment_label)] = (
                values.transpose(2, 1, 0) >= 0.5
            )
            affine = swap_ras_lps(np.asarray(volume.affine)[:, [2, 1, 0, 3]])
    except (OSError, ValueError, RuntimeError, AttributeError, LookupError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(f"The DICOM Segmentation {path.name} cannot be read as a volume: {reason}") from error
    return masks, affine


def read_structure_set(path: Path, shape: tuple[int, ...], affine: Array) -> dict[str, Array]:
    """The closed planar contours of an RT Structure Set on a grid (RAS affine), by ROI name: bool (I, J, K).

    A voxel is inside by the even-odd rule at its centre, so that bridges to holes and islands count as meant.
    Raises GeometryError where a contour lies on no slice of the grid, InputError for a damaged file.
    """
    try:
        dataset = dcmread(path)
        names = {int(roi.ROINumber): str(roi.ROIName) for roi in dataset.StructureSetROISequence}
        contours = [(names[int(roi.ReferencedROINumber)], roi) for roi in dataset.get("ROIContourSequence", [])]
    except (OSError, AttributeError, LookupError, ValueError, InvalidDicomError) as error:
        raise InputError(f"The RT Structure Set {path.name} cannot be read ({error}); export it again.") from error
    inverse = np.linalg.inv(swap_ras_lps(affine))
    masks = {name: np.zeros(shape, bool) for name in names.values()}
    for name, roi in contours:
        for contour in roi.get("ContourSequence", []):
            k, line = _on_slice(contour, inverse, shape, f"{name} in {path.name}")
            masks[name][:, :, k] ^= polygon2mask(shape[:2], line)
    return masks


def _on_slice(contour: Dataset, inverse: Array, shape: tuple[int, ...], where: str) -> tuple[int, Array]:
    """The slice k of a contour, and its points (P, 2) in voxels (i, j)."""
    points: Any = np.asarray(contour.ContourData, np.float64).reshape(-1, 3)
    index = points @ inverse[:3, :3].T + inverse[:3, 3]
    k = round(float(index[:, 2].mean()))
    if np.abs(index[:, 2] - k).max() > OFF_PLANE_SLICES or not 0 <= k < shape[2]:
        raise GeometryError(
            f"A contour of {where} lies on no slice of the other mask's grid (at slice {index[0, 2]:.2f} of "
            f"{shape[2]}); give a mask on the slices that were contoured."
        )
    outside = np.maximum(-0.5 - index[:, :2], index[:, :2] - (np.array(shape[:2]) - 0.5)).max()
    if outside > OFF_GRID_VOXELS:
        raise GeometryError(
            f"A contour of {where} leaves the other mask's grid by {outside:.1f} voxels in slice {k}, where it "
            "would be cut off; give a mask on the grid of the whole image."
        )
    return k, index[:, :2]
