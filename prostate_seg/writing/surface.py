"""The closed surface of a mask in LPS mm, and its STL and VTK files.

The surface is smooth, encloses the volume of the mask, and its triangles face outward.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import ndimage
from scipy.optimize import brentq
from skimage.measure import marching_cubes

from ..errors import OutputError
from ..geometry.extent import bounding_box
from ..geometry.volume import Array, Segmentation, reindexed, spacing_of, swap_ras_lps, volume_ml
from ..system.atomic import checked_suffix, replacing
from .request import Request

SMOOTHING_MM = 1.0  # standard deviation of the Gaussian, but at least SMOOTHING_VOXELS
SMOOTHING_VOXELS = 0.6
FINEST_MM = 0.7  # a finer grid does not improve the surface
SMALLER = 2  # voxels are merged in pairs while the grid is finer than needed
VOLUME_TOLERANCE = 0.002
TRIES = 4  # of levels by the number of voxels above them, before bisection


@dataclass(frozen=True, eq=False)
class Surface:
    """A triangle mesh.

    Attributes
    ----------
    points
        (P, 3) float, LPS mm.
    triangles
        (T, 3) indices, counter-clockwise when seen from outside.
    """

    points: Array
    triangles: Array

    @property
    def volume_ml(self) -> float:
        """The enclosed volume in mL (divergence theorem); positive if the triangles face outward."""
        a, b, c = (self.points[self.triangles[:, n]].astype(np.float64) for n in range(3))
        return float(np.einsum("ij,ij->", a, np.cross(b, c)) / 6000.0)

    @property
    def centroid_lps_mm(self) -> Array:
        """Centroid of the enclosed volume in LPS mm, (3,)."""
        a, b, c = (self.points[self.triangles[:, n]].astype(np.float64) for n in range(3))
        tetrahedra = np.einsum("ij,ij->i", a, np.cross(b, c))
        return np.asarray(tetrahedra @ (a + b + c) / (4 * tetrahedra.sum()))


def surface_of(segmentation: Segmentation, name: str | None = None) -> Surface:
    """Return the surface of a structure, by default of the first one.

    It is closed even if the mask touches the image's border.

    The mask is smoothed. The surface level is chosen so that the enclosed volume equals that of the mask. A fixed
    level of 0.5 would shrink all convex parts. Raise OutputError for an empty mask.
    """
    mask = segmentation.mask(name)
    box = bounding_box(mask)
    if box[0].stop == 0:
        raise OutputError("The mask is empty, so it has no surface.")
    field, affine = _smooth(mask[box], segmentation.affine, [edge.start for edge in box])
    wanted_ml = volume_ml(mask[box], segmentation.affine)
    values = np.sort(field, axis=None)[::-1].astype(np.float64)
    count = wanted_ml * 1000 / abs(np.linalg.det(affine[:3, :3]))  # voxels within the surface, nearly
    for _ in range(TRIES):
        at = int(np.clip(count, 1, values.size - 1))
        level = (values[at - 1] + values[at]) / 2
        surface = _cut(field, np.clip(level, 0.01 * values[0], 0.99 * values[0]), affine)
        if abs(surface.volume_ml - wanted_ml) < VOLUME_TOLERANCE * wanted_ml:
            return surface
        count *= wanted_ml / max(surface.volume_ml, 1e-9)
    return _bisected(field, affine, wanted_ml)


def _bisected(field: Array, affine: Array, wanted_ml: float) -> Surface:
    """Return the surface of a field that encloses a volume, by Brent's method; if none does, the nearest one."""

    def excess(level: float) -> float:
        volume_ml = _cut(field, level, affine).volume_ml
        return 0.0 if abs(volume_ml - wanted_ml) < VOLUME_TOLERANCE * wanted_ml else volume_ml - wanted_ml

    low, high = 0.01 * float(field.max()), 0.99 * float(field.max())
    if excess(low) * excess(high) > 0:  # a mask of a few voxels
        return _cut(field, min(low, high, key=lambda level: abs(excess(level))), affine)
    return _cut(field, brentq(excess, low, high, xtol=1e-5), affine)


def write_surface(path: str | os.PathLike[str], surface: Surface) -> None:
    """Write a surface as binary STL (``.stl``) or VTK poly data (``.vtk``) in LPS mm. Raise OutputError."""
    path = Path(path)
    checked_suffix(path, ".stl", ".vtk")
    content = _stl(surface) if path.suffix.lower() == ".stl" else _vtk(surface)
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def _smooth(mask: Array, affine: Array, start: list[int]) -> tuple[Array, Array]:
    """Return a smooth field over a cropped mask, and the RAS affine of the field.

    The field is highest inside, extends a little beyond the mask, and has a similar resolution along all axes. If
    slices are further apart than pixels, outlines change gradually from one slice to the next (shape-based
    interpolation, Raya and Udupa 1990).
    """
    affine, field = reindexed(affine, shift=start), mask.astype(np.float32)
    for axis in range(3):
        while spacing_of(affine)[axis] < FINEST_MM / SMALLER * 1.01 and field.shape[axis] > 4:
            field, affine = _merged(field, affine, axis)
    step_mm = max(spacing_of(affine))  # distance over which the field falls to 0 if slices are interpolated
    room = [int(np.ceil(3 * _sigma(spacing) + step_mm / spacing)) + 1 for spacing in spacing_of(affine)]
    field = np.pad(field, [(side, side) for side in room])
    affine = reindexed(affine, shift=[-side for side in room])
    spacing = spacing_of(affine)
    steps = round(spacing[2] / max(*spacing[:2], FINEST_MM))
    if steps > 1:
        field, affine = _between_slices(field, affine, steps)
    return ndimage.gaussian_filter(field, [_sigma(spacing) for spacing in spacing_of(affine)]), affine


def _sigma(spacing: float) -> float:
    return max(SMOOTHING_MM / spacing, SMOOTHING_VOXELS)


def _between_slices(field: Array, affine: Array, steps: int) -> tuple[Array, Array]:
    """Return a field with ``steps`` times as many slices, and its affine.

    In-plane distances to the outline are interpolated between the slices.
    """
    i_mm, j_mm, k_mm = spacing_of(affine)
    distance = np.empty_like(field)
    for k in range(field.shape[2]):
        inside = field[:, :, k] >= 0.5
        if inside.any():
            within, beyond = (ndimage.distance_transform_edt(part, (i_mm, j_mm)) for part in (inside, ~inside))
            distance[:, :, k] = within - beyond
        else:
            distance[:, :, k] = -k_mm
    slices = np.clip(distance / k_mm, -1, 1)
    at = np.linspace(0, field.shape[2] - 1, (field.shape[2] - 1) * steps + 1)
    low = np.minimum(at.astype(int), field.shape[2] - 2)
    share = (at - low).astype(np.float32)
    fields = slices[:, :, low] * (1 - share) + slices[:, :, low + 1] * share
    return 0.5 + 0.5 * fields, reindexed(affine, scale=(1, 1, 1 / steps), shift=(0, 0, 0))


def _merged(field: Array, affine: Array, axis: int) -> tuple[Array, Array]:
    """Return the field with voxels merged in pairs along an axis, and its affine."""
    if field.shape[axis] % SMALLER:
        field = np.pad(field, [(0, 1 if axis == other else 0) for other in range(3)])
    first, second = (field.take(range(n, field.shape[axis], SMALLER), axis) for n in range(SMALLER))
    merged = np.arange(3) == axis
    coarser = reindexed(affine, scale=np.where(merged, SMALLER, 1), shift=merged * (SMALLER - 1) / 2)
    return (first + second) / SMALLER, coarser


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
    """Return the surface as legacy VTK poly data, binary and big-endian."""
    cells = np.insert(surface.triangles, 0, 3, axis=1).astype(">i4")
    title = "prostate-seg CTV, mm, SPACE=LPS, research use only"
    head = f"# vtk DataFile Version 3.0\n{title}\nBINARY\nDATASET POLYDATA\n"
    points = f"POINTS {len(surface.points)} float\n".encode() + surface.points.astype(">f4").tobytes()
    return head.encode() + points + f"\nPOLYGONS {len(cells)} {cells.size}\n".encode() + cells.tobytes() + b"\n"


def write_ctv(path: Path, request: Request) -> None:
    """Write the surface of the CTV in the format of the path's suffix."""
    write_surface(path, surface_of(request.contoured.ctv))
