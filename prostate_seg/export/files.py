"""Files that are whole or absent, and arrays as image formats hold them."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import OutputError
from ..volume import Segmentation, Volume

Array = np.ndarray[Any, Any]


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Write a file under a temporary name beside its place and rename it there.

    Yields a path in the same folder whose name ends in the whole name asked for, so that writers which
    look at the suffix see ``.nii.gz`` or ``.seg.nrrd``. When the block ends the file is flushed to the
    disk and takes the place of ``path`` in one step; when the block raises it is removed and ``path``
    stays as it was. Raises OutputError for any OSError: no such folder, no permission, no space.
    """
    path = Path(path)
    temporary = path.with_name(f".{secrets.token_hex(4)}-{path.name}")
    if not path.parent.is_dir():
        raise OutputError(f"Cannot write {path.name}: there is no folder {path.parent}; create it first.")
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except OutputError:
        raise
    except OSError as error:
        reason = error.strerror or str(error)
        raise OutputError(
            f"Cannot write {path.name} in {path.parent}: {reason}; give a folder that can be written and has space."
        ) from error
    finally:
        with suppress(OSError):
            temporary.unlink()


def stored_array(item: Volume | Segmentation) -> Array:
    """The pixels of an item in a type that image formats know, black outside the field of view.

    Returns (I, J, K): labels as uint8, bool as uint8, float16 as float32, 64-bit integers as int32, all
    else as it is. Raises OutputError for numbers that this cannot hold.
    """
    if isinstance(item, Segmentation):
        return item.labels
    array = item.array
    if item.field_of_view is not None:
        array = np.where(item.field_of_view, array, np.zeros((), array.dtype))
    if array.dtype == np.bool_:
        return array.astype(np.uint8)
    if array.dtype == np.float16:
        return array.astype(np.float32)
    if array.dtype in (np.int64, np.uint64):
        limits = np.iinfo(np.int32)
        if array.size and not (limits.min <= array.min() and array.max() <= limits.max):
            raise OutputError(
                f"The image holds {array.min()} to {array.max()}, expected 32-bit integers; rescale its values."
            )
        return array.astype(np.int32)
    if array.dtype.kind not in "uif" or array.dtype.itemsize > 8:
        raise OutputError(f"The image holds {array.dtype}, expected real numbers; convert it to float32.")
    return array


def checked_suffix(path: Path, *suffixes: str) -> None:
    """OutputError unless the file's name ends in one of the suffixes, in any case."""
    if not path.name.lower().endswith(suffixes):
        raise OutputError(f"Cannot write {path.name}: its name must end in {' or '.join(suffixes)}.")
