"""The voxels inside a closed surface of triangles."""

from __future__ import annotations

import numpy as np

from ..errors import GeometryError
from .volume import Array


def voxels_inside(triangles: Array, shape: tuple[int, int, int]) -> Array:
    """Return the voxels whose centres lie inside a closed surface, bool (I, J, K).

    Along each line of voxel centres in direction k, a centre is inside if an odd number of triangles lies before it
    (ray parity). A line through an edge or a corner crosses exactly one of the triangles that meet there, because
    only the edge itself decides on which side of it the line passes.

    Parameters
    ----------
    triangles
        (T, 3, 3): the corners of each triangle in voxel indices. The part outside the grid counts as well.
    shape
        Number of voxels (I, J, K).

    Raises
    ------
    GeometryError
        The surface is not closed, or parts of it are there twice.
    """
    corners = np.asarray(triangles, np.float64)
    check_closed(corners)
    crossings = np.zeros((shape[0], shape[1], shape[2] + 1), np.uint8)
    for triangle in corners:
        (i, j), depth = _crossed(triangle, shape)
        first = np.clip(np.ceil(depth), 0, shape[2]).astype(int)  # the first voxel behind the triangle
        crossings[i, j, first] ^= 1
    return np.asarray(np.bitwise_xor.accumulate(crossings[..., :-1], axis=2), bool)


def enclosed_volume(triangles: Array) -> float:
    """Return the volume that a closed surface (T, 3, 3) encloses, in its unit cubed (divergence theorem)."""
    a, b, c = np.moveaxis(np.asarray(triangles, np.float64), 1, 0)
    return float(abs(np.einsum("ij,ij->", a, np.cross(b, c))) / 6.0)


def check_closed(triangles: Array) -> None:
    """Raise GeometryError unless each edge of a surface (T, 3, 3) lies between exactly two of its triangles.

    Triangles with two equal corners, as at the pole of a sphere, have no area and do not count.
    """
    points = np.unique(triangles.reshape(-1, 3), axis=0, return_inverse=True)[1].reshape(-1, 3)
    ends = points[:, [0, 1]], points[:, [1, 2]], points[:, [2, 0]]
    flat = np.any([start == end for start, end in (pair.T for pair in ends)], axis=0)
    edges = np.sort(np.concatenate([pair[~flat] for pair in ends]), axis=1)
    counts = np.unique(edges, axis=0, return_counts=True)[1]
    if wrong := int(np.count_nonzero(counts != 2)):
        raise GeometryError(
            f"the surface is not closed, or is there twice: {wrong} of its {len(counts)} edges do not lie between "
            "exactly two triangles."
        )


def _crossed(triangle: Array, shape: tuple[int, int, int]) -> tuple[tuple[Array, Array], Array]:
    """Return the indices (i, j) of the lines that cross a triangle, and the k at which they do."""
    low, high = np.ceil(triangle[:, :2].min(axis=0)), np.floor(triangle[:, :2].max(axis=0))
    spans = [np.arange(max(int(low[n]), 0), min(int(high[n]), shape[n] - 1) + 1) for n in (0, 1)]
    i, j = (part.ravel() for part in np.meshgrid(*spans, indexing="ij"))
    inside = np.zeros(i.shape, bool)
    for start, end in ((0, 1), (1, 2), (2, 0)):
        inside ^= _passed(triangle[start, :2], triangle[end, :2], i, j)
    i, j = i[inside], j[inside]
    normal = np.cross(triangle[1] - triangle[0], triangle[2] - triangle[0])
    if not i.size or normal[2] == 0:
        return (i[:0], j[:0]), np.empty(0)
    along = (i - triangle[0, 0]) * normal[0] + (j - triangle[0, 1]) * normal[1]
    return (i, j), triangle[0, 2] - along / normal[2]


def _passed(one: Array, other: Array, i: Array, j: Array) -> Array:
    """Return whether an edge crosses the half-line from (i, j) to larger i; the same for both its directions."""
    (a_i, a_j), (b_i, b_j) = sorted((tuple(one), tuple(other)), key=lambda point: (point[1], point[0]))
    spans = (a_j <= j) & (j < b_j)
    if not spans.any():
        return spans
    return np.asarray(spans & (i < a_i + (j - a_j) * ((b_i - a_i) / (b_j - a_j))))
