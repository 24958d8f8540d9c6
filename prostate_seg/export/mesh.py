"""The closed surface of a mask, in LPS mm: smooth, of the mask's own volume, facing outward; STL and VTK files."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import ndimage
from scipy.optimize import brentq
from skimage.measure import marching_cubes

from ..errors import OutputError
from ..volume import Array, Segmentation, bounding_box, spacing_of, swap_ras_lps
from .files import checked_suffix, replacing

SMOOTHING_MM = 1.0  # deviation of the Gaussian, but at least so many voxels:
SMOOTHING_VOXELS = 0.6
FINEST_MM = 0.7  # no finer grid is needed for such a surface
SMALLER = 2  # voxels of the grid are merged two by two while they are finer
VOLUME_TOLERANCE = 0.002


@dataclass(frozen=True, eq=False)
class Surface:
    """points: (P, 3) float, LPS mm. triangles: (T, 3) indices, counter-clockwise seen from outside."""

    points: Array
    triangles: Array

    @property
    def volume_ml(self) -> float:
        """The enclosed volume in mL, by the divergence theorem; positive where the triangles face outward."""
        a, b, c = (self.points[self.triangles[:, n]].astype(np.float64) for n in range(3))
        return float(np.einsum("ij,ij->", a, np.cross(b, c)) / 6000.0)

    @property
    def centroid_lps_mm(self) -> Array:
        """The centre of the enclosed volume, (3,)."""
        a, b, c = (self.points[self.triangles[:, n]].astype(np.float64) for n in range(3))
        tetrahedra = np.einsum("ij,ij->i", a, np.cross(b, c))
        return np.asarray(tetrahedra @ (a + b + c) / (4 * tetrahedra.sum()))


def surface_of(segmentation: Segmentation, label: int = 1) -> Surface:
    """The surface of a label: closed, also where the mask touches the image's border.

    A Gaussian smooths the mask; the level at which it is cut gives back the mask's volume, so that nothing
    shrinks (a plain level of 0.5 takes off whatever is convex). Raises OutputError for an empty mask.
    """
    mask = segmentation.labels == label
    box = bounding_box(mask)
    if box[0].stop == 0:
        raise OutputError("The mask is empty, so it has no surface.")
    field, affine = _smooth(mask[box], segmentation.affine, [edge.start for edge in box])
    wanted_ml = np.count_nonzero(mask[box]) * abs(np.linalg.det(segmentation.affine[:3, :3])) / 1000.0

    def excess(level: float) -> float:
        volume_ml = _cut(field, level, affine).volume_ml
        return 0.0 if abs(volume_ml - wanted_ml) < VOLUME_TOLERANCE * wanted_ml else volume_ml - wanted_ml

    peak = float(field.max())
    return _cut(field, brentq(excess, 0.02 * peak, 0.98 * peak, xtol=1e-5), affine)


def write_surface(path: str | os.PathLike[str], surface: Surface) -> None:
    """Write a surface as binary STL (``.stl``) or VTK poly data (``.vtk``), marked as LPS. Raises OutputError."""
    path = Path(path)
    checked_suffix(path, ".stl", ".vtk")
    content = _stl(surface) if path.suffix.lower() == ".stl" else _vtk(surface)
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def _smooth(mask: Array, affine: Array, start: list[int]) -> tuple[Array, Array]:
    """The mask of a box, blurred on a grid no finer than needed, with room around it; that grid's RAS affine."""
    corner = np.eye(4)
    corner[:3, 3] = start
    affine = affine @ corner
    field = mask.astype(np.float32)
    for axis in range(3):
        while spacing_of(affine)[axis] < FINEST_MM / SMALLER * 1.01 and field.shape[axis] > 4:
            field, affine = _merged(field, affine, axis)
    sigmas = [max(SMOOTHING_MM / spacing, SMOOTHING_VOXELS) for spacing in spacing_of(affine)]
    room = [int(np.ceil(3 * sigma)) + 1 for sigma in sigmas]
    moved = np.eye(4)
    moved[:3, 3] = [-side for side in room]
    return ndimage.gaussian_filter(np.pad(field, [(side, side) for side in room]), sigmas), affine @ moved


def _merged(field: Array, affine: Array, axis: int) -> tuple[Array, Array]:
    """Voxels merged two by two along an axis."""
    if field.shape[axis] % SMALLER:
        field = np.pad(field, [(0, 1 if axis == other else 0) for other in range(3)])
    first, second = (field.take(range(n, field.shape[axis], SMALLER), axis) for n in range(SMALLER))
    coarser = np.eye(4)
    coarser[axis, axis], coarser[axis, 3] = SMALLER, (SMALLER - 1) / 2
    return (first + second) / SMALLER, affine @ coarser


def _cut(field: Array, level: float, affine: Array) -> Surface:
    index, triangles, _, _ = marching_cubes(field, level)
    lps = swap_ras_lps(affine)
    surface = Surface(index @ lps[:3, :3].T + lps[:3, 3], triangles)
    return surface if surface.volume_ml > 0 else Surface(surface.points, triangles[:, ::-1])


def _stl(surface: Surface) -> bytes:
    corners = surface.points[surface.triangles].astype("<f4")  # (T, 3, 3)
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
    facets = np.zeros(len(corners), [("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])
    facets["normal"], facets["corners"] = normals, corners
    head = b"prostate-seg CTV, mm, SPACE=LPS, research use only"
    return head.ljust(80) + np.uint32(len(facets)).tobytes() + facets.tobytes()


def _vtk(surface: Surface) -> bytes:
    """Legacy VTK poly data, binary, big-endian."""
    cells = np.insert(surface.triangles, 0, 3, axis=1).astype(">i4")
    title = "prostate-seg CTV, mm, SPACE=LPS, research use only"
    head = f"# vtk DataFile Version 3.0\n{title}\nBINARY\nDATASET POLYDATA\n"
    points = f"POINTS {len(surface.points)} float\n".encode() + surface.points.astype(">f4").tobytes()
    return head.encode() + points + f"\nPOLYGONS {len(cells)} {cells.size}\n".encode() + cells.tobytes() + b"\n"
