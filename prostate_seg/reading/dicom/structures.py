"""Readers of DICOM Segmentations and RT Structure Sets, which return masks."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import highdicom
import numpy as np
from pydicom import Dataset, dcmread
from skimage.draw import polygon2mask

from ...errors import GeometryError, InputError, ProstateSegError
from ...geometry.volume import Array, Segmentation, swap_ras_lps
from ..chosen_structure import check_same_place, chosen_structure, shown
from .pixels import damage_refused

SEGMENTATION, STRUCTURE_SET = "1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.481.3"
OFF_GRID_VOXELS = 0.5  # largest distance of a contour beyond the outer edges of the voxel grid
OFF_PLANE_SLICES = 0.1  # largest distance between a contour and a slice of the grid
CLOSED = ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR")  # contours that enclose an area, by the even-odd rule
TYPES = (*CLOSED, "POINT", "OPEN_PLANAR", "OPEN_NONPLANAR")
MOST_POINTS = 20_000  # of a contour: ten times the points of a voxel-wise prostate outline
MOST_VOXELS = 1 << 29
SAME_PLACE_MM = 1e-3
NEEDED = ("Rows", "Columns", "NumberOfFrames", "BitsAllocated", "SegmentationType")


def dicom_kind(path: Path) -> str | None:
    """Return ``segmentation``, ``structure-set``, or None for any other file. Raises OSError."""
    kinds = {SEGMENTATION: "segmentation", STRUCTURE_SET: "structure-set"}
    return kinds.get(_attribute(path, "SOPClassUID"))


def frame_of_reference(path: Path) -> str:
    """Return the Frame of Reference UID of a DICOM file, or an empty text if it has none. Raises OSError."""
    return _attribute(path, "FrameOfReferenceUID")


def structure_names(path: Path) -> list[str]:
    """Return the names of the segments of a Segmentation, or of the ROIs of a structure set that enclose an area.

    The list is empty for any other file. InputError is raised if the file is damaged.
    """
    kind = dicom_kind(path)
    with _damage_refused(f"{path.name} cannot be read"):
        if kind == "segmentation":
            header = dcmread(path, stop_before_pixels=True)
            return [str(one.SegmentLabel) for one in header.get("SegmentSequence") or []]
        if kind != "structure-set":
            return []
        dataset = dcmread(path)
        kinds: dict[int, set[str]] = {}
        for roi in dataset.get("ROIContourSequence") or []:
            for contour in roi.get("ContourSequence") or []:
                kinds.setdefault(int(roi.ReferencedROINumber), set()).add(str(contour.get("ContourGeometricType")))
        rois = dataset.get("StructureSetROISequence") or []
        closed = {number for number, found in kinds.items() if found <= set(CLOSED)}
        return [str(roi.ROIName) for roi in rois if int(roi.ROINumber) in closed]


def _attribute(path: Path, keyword: str) -> str:
    try:
        with damage_refused("it"):
            return str(dcmread(path, specific_tags=[keyword], stop_before_pixels=True).get(keyword) or "")
    except InputError as error:
        if isinstance(error.__cause__, OSError):
            raise error.__cause__ from None
        return ""


def read_segmentation(path: Path, wanted: Sequence[str] = ()) -> Segmentation:
    """Read a segment of a DICOM Segmentation as label 1.

    A fractional segment is thresholded at 0.5 (inclusive).

    Parameters
    ----------
    path
        The file.
    wanted
        Names of the segment, as in :func:`.chosen_structure`.

    Raises
    ------
    InputError
        The file cannot be read, is not a regular volume or is too large, or no segment or several segments match.
    """
    with _damage_refused(f"The DICOM Segmentation {path.name} cannot be read as a volume"):
        header = dcmread(path, stop_before_pixels=True)
        segments = [(int(one.SegmentNumber), str(one.SegmentLabel)) for one in header.get("SegmentSequence") or []]
        number, name = segments[chosen_structure(segments, wanted, path.name)]
        _check_size(header, path)
        volume = highdicom.seg.segread(path).get_volume(segment_numbers=[number], rescale_fractional=True)
        values = np.asarray(volume.array).reshape(volume.array.shape[:3])  # (slice, row, column)
        affine = swap_ras_lps(np.asarray(volume.affine)[:, [2, 1, 0, 3]])
        mask = (values.transpose(2, 1, 0) >= 0.5).astype(np.uint8)
        place = str(header.get("FrameOfReferenceUID") or "")
        return Segmentation(mask, affine, {1: name}, frame_of_reference=place)


def _check_size(header: Dataset, path: Path) -> None:
    """Raise InputError if a Segmentation lacks an attribute, is too large, or is shorter than its frames need."""
    missing = [keyword for keyword in NEEDED if not header.get(keyword)]
    if missing:
        raise InputError(f"The DICOM Segmentation {path.name} has no {' and no '.join(missing)}; export it again.")
    frames, rows, columns = int(header.NumberOfFrames), int(header.Rows), int(header.Columns)
    slices = max(frames, _slices(header))
    if min(frames, rows, columns) < 1 or slices * rows * columns > MOST_VOXELS:
        raise InputError(
            f"The DICOM Segmentation {path.name} has {slices} slices of {rows} x {columns} voxels by its header, "
            f"expected at most {MOST_VOXELS} voxels; export it again."
        )
    syntax, size = header.file_meta.TransferSyntaxUID, path.stat().st_size
    packed = syntax.is_compressed or syntax.is_deflated
    if not packed and frames * rows * columns * int(header.BitsAllocated) / 8 > size:
        raise InputError(
            f"The DICOM Segmentation {path.name} has {size} bytes, fewer than its {frames} frames of {rows} x "
            f"{columns} pixels need; it is cut short, copy it again."
        )


def _slices(header: Dataset) -> int:
    """Estimate the number of slices of a Segmentation, at most 2**40.

    It is the extent of the frame positions divided by the smallest distance between two positions (or by Spacing
    Between Slices if that is smaller), plus 1.
    """
    groups = [group.get("PlanePositionSequence") for group in header.PerFrameFunctionalGroupsSequence]
    positions = np.array([group[0].ImagePositionPatient for group in groups if group], np.float64).reshape(-1, 3)
    if not np.isfinite(positions).all():
        raise InputError("its Image Positions (Patient) are no finite numbers; export it again.")
    shared = header.SharedFunctionalGroupsSequence[0].get("PixelMeasuresSequence")
    hint = abs(float(shared[0].get("SpacingBetweenSlices") or np.inf)) if shared else np.inf
    span = float(np.linalg.norm(np.ptp(positions, axis=0))) if len(positions) else 0.0
    steps = np.linalg.norm(np.diff(np.unique(positions, axis=0), axis=0), axis=1)
    gap = min([hint, *steps[steps > SAME_PLACE_MM].tolist()])
    return int(min(span / gap + 1, float(1 << 40))) if gap > 0 else 1 << 40


def read_structure_set(path: Path, like: Segmentation, wanted: Sequence[str] = ()) -> Segmentation:
    """Read a structure of an RT Structure Set as label 1 on the grid of another mask.

    The even-odd rule decides whether the centre of a voxel is inside. Contours with holes and islands, and bridges
    to them, are therefore filled correctly.

    Parameters
    ----------
    path
        The file.
    like
        Mask with the grid.
    wanted
        Names of the structure, as in :func:`.chosen_structure`.

    Raises
    ------
    GeometryError
        A contour is not on a slice of the grid or extends beyond the grid, or the frame of reference differs.
    InputError
        The file is damaged, no structure or several structures match, or a contour encloses no area.
    """
    name, place, lines = read_contours(path, wanted)
    check_same_place(place, like.frame_of_reference, path.name)
    where = f"{shown(name)} in {path.name}"
    inverse, shape = np.linalg.inv(swap_ras_lps(like.affine)), like.labels.shape
    mask = np.zeros(shape, bool)
    for points in lines:
        k, line = _on_slice(points, inverse, shape, where)
        mask[:, :, k] ^= polygon2mask(shape[:2], line)
    return Segmentation(mask.astype(np.uint8), like.affine, {1: name}, frame_of_reference=place)


def read_contours(path: Path, wanted: Sequence[str] = ()) -> tuple[str, str, list[Array]]:
    """Read the closed contours of a structure of an RT Structure Set.

    Parameters
    ----------
    path
        The file.
    wanted
        Names of the structure, as in :func:`.chosen_structure`.

    Returns
    -------
    str
        Name of the structure.
    str
        Its Frame of Reference UID, or an empty text.
    list
        Contours, each (P, 3) in LPS mm.

    Raises
    ------
    InputError
        The file is damaged, no structure or several structures match, or a contour encloses no area.
    """
    with _damage_refused(f"The RT Structure Set {path.name} cannot be read"):
        dataset = dcmread(path)
        rois = [(int(roi.ROINumber), str(roi.ROIName)) for roi in dataset.StructureSetROISequence]
        index = chosen_structure(rois, wanted, path.name)
        number, name = rois[index]
        place = str(dataset.StructureSetROISequence[index].get("ReferencedFrameOfReferenceUID") or "")
        own = [roi for roi in dataset.get("ROIContourSequence") or [] if roi.ReferencedROINumber == number]
        return name, place, _lines(own, f"{shown(name)} in {path.name}")


def _lines(rois: Sequence[Dataset], where: str) -> list[Array]:
    """Return the closed contours of a structure, each (P, 3) in LPS mm. Raises InputError for other contours."""
    contours = [contour for roi in rois for contour in roi.get("ContourSequence") or []]
    kinds = [str(contour.get("ContourGeometricType") or "") for contour in contours]
    others = sorted({kind if kind in TYPES else "of unknown type" for kind in kinds if kind not in CLOSED})
    if others:
        raise InputError(
            f"{where} has contours that enclose no area ({', '.join(others)}), expected CLOSED_PLANAR ones only; "
            "choose another structure with --structure NAME, or close them."
        )
    return [_points(contour, where) for contour in contours]


def _points(contour: Dataset, where: str) -> Array:
    data: Any = np.asarray(contour.get("ContourData") if contour.get("ContourData") is not None else [], np.float64)
    count, told = data.size // 3, contour.get("NumberOfContourPoints")
    if data.size % 3 or count < 3 or count > MOST_POINTS or (told is not None and int(told) != count):
        raise InputError(
            f"A contour of {where} has {data.size} coordinates and {told} points by its (3006,0046) Number of "
            f"Contour Points, expected 3 a point and 3 to {MOST_POINTS} points; export it again."
        )
    if not (np.abs(data) < 1e6).all():
        raise InputError(f"A contour of {where} has a coordinate that is no number of mm; export it again.")
    return np.asarray(data.reshape(-1, 3))


def _on_slice(points: Array, inverse: Array, shape: tuple[int, ...], where: str) -> tuple[int, Array]:
    """Return the slice k of a contour (P, 3), and its points (P, 2) in voxels (i, j). Raises GeometryError."""
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


@contextmanager
def _damage_refused(what: str) -> Iterator[None]:
    """Turn errors of pydicom and highdicom into InputError, and silence the messages of highdicom.

    highdicom raises more types of errors than :func:`.damage_refused` handles, such as those of sqlite3.
    """
    log = logging.getLogger("highdicom")
    level = log.level
    log.setLevel(logging.CRITICAL)
    try:
        with damage_refused(what):
            yield
    except ProstateSegError:
        raise
    except Exception as error:
        raise InputError(f"{what} ({type(error).__name__}); the file is damaged, export it again.") from error
    finally:
        log.setLevel(level)
