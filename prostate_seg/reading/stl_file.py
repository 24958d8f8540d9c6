"""Reader of binary STL files."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..errors import InputError
from ..geometry.volume import Array

HEAD_BYTES, MOST_TRIANGLES = 80, 1_000_000
_TRIANGLE = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])  # 50 bytes


def read_stl(path: Path) -> Array:
    """Return the corners of the triangles, (T, 3, 3) float64, in the unit of the file.

    Raise InputError if the file is no binary STL, is cut short, has no triangle, more than a million of them, or
    corners that are not finite.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as stream:
            head = stream.read(HEAD_BYTES + 4)
            count = int.from_bytes(head[HEAD_BYTES:], "little")
            if head.lstrip()[:5] == b"solid" and size != len(head) + count * _TRIANGLE.itemsize:
                raise InputError(f"{path.name} is an STL file of text, expected a binary one; convert it.")
            if len(head) < HEAD_BYTES + 4 or size != len(head) + count * _TRIANGLE.itemsize:
                raise InputError(
                    f"{path.name} has {size} bytes, expected {HEAD_BYTES + 4 + count * _TRIANGLE.itemsize} by its "
                    f"{count} triangles: it is no binary STL file, or damaged; copy it again."
                )
            if not 1 <= count <= MOST_TRIANGLES:
                raise InputError(f"{path.name} has {count} triangles, expected 1 to {MOST_TRIANGLES}.")
            triangles = np.frombuffer(stream.read(), _TRIANGLE, count)
    except OSError as error:
        raise InputError(f"{path.name} cannot be read ({error.strerror}); copy it again.") from error
    corners = triangles["corners"].astype(np.float64)
    if not np.isfinite(corners).all():
        raise InputError(f"{path.name} has corners that are NaN or infinite; copy it again.")
    return corners
