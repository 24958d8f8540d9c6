"""Files and folders that are whole or absent, and arrays as image formats hold them."""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import OutputError
from ..geometry.volume import Segmentation, Volume
from .half_written import REPLACED, hidden_folder, remove_abandoned

SYSTEM_FILES = (".ds_store", "thumbs.db", "desktop.ini")  # what macOS and Windows put into folders, in lower case
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
        raise OutputError(
            f"Cannot write {path.name} in {path.parent}: {reason_of(error)}; give a folder that can be written and "
            "has space."
        ) from error
    finally:
        with suppress(OSError):
            temporary.unlink()


@contextmanager
def replacing_folder(folder: Path, *, may_replace: Callable[[Path], bool] | None = None) -> Iterator[Path]:
    """Fill a folder under a temporary name beside its place and rename it there, as :func:`replacing` does.

    Yields an empty folder of the same name inside a hidden one. When the block ends it takes the place of
    ``folder``, whose parents are made; when the block raises, ``folder`` stays as it was. What killed runs left
    beside it is removed. may_replace: see :func:`check_free`. Raises OutputError.
    """
    remove_abandoned(folder.parent)
    try:
        with hidden_folder(folder) as hidden:
            new = hidden / folder.name
            new.mkdir()
            try:
                yield new
            except OutputError as error:
                raise OutputError(str(error).replace(str(new), str(folder))) from error
            check_free(folder, may_replace=may_replace)
            _exchange(new, folder, hidden / f"{folder.name}{REPLACED}")
    except OutputError:
        raise
    except OSError as error:
        raise OutputError(
            f"{folder} cannot be written ({reason_of(error)}); give a folder that can be written and has space."
        ) from error


def reason_of(error: OSError) -> str:
    """What the system says of an error, or of the one that a library wrapped into it; never the library's text."""
    found: BaseException | None = error
    while found is not None:
        if isinstance(found, OSError) and found.strerror:
            return found.strerror
        found = found.__cause__ or found.__context__
    return "not all of it was stored"


def _exchange(new: Path, place: Path, old: Path) -> None:
    """Move ``place`` to ``old`` and ``new`` to ``place``; ``old`` is deleted, or put back where that fails."""
    try:
        if place.exists():
            place.rename(old)
        new.rename(place)  # fails where another run has filled the place meanwhile
    finally:
        if old.exists():
            if place.exists():
                shutil.rmtree(old, ignore_errors=True)
            else:
                old.rename(place)


def check_free(folder: Path, *, may_replace: Callable[[Path], bool] | None = None) -> None:
    """Raise OutputError where results may not go to ``folder`` because it is there already.

    may_replace: of what is in it, whether it is an earlier result that may be lost, or an OutputError that says
    why not; None: nothing may. A folder that holds anything else is never replaced; files that the system put
    there (``.DS_Store``, ``Thumbs.db``, ``desktop.ini``, ``._*``) do not count.
    """
    if not os.path.lexists(folder):
        return
    if may_replace is None:
        raise OutputError(f"{folder} exists already; give --overwrite to replace it, or another output folder.")
    if folder.is_symlink() or not folder.is_dir():
        raise OutputError(f"{folder} is not a folder of results; move it away or give another output folder.")
    others = [path.name for path in sorted(folder.iterdir()) if not is_of_system(path) and not may_replace(path)]
    if others:
        raise OutputError(
            f"{folder} holds {', '.join(others[:3])}, which is no earlier result and would be lost; move it away "
            "or give another output folder."
        )


def is_of_system(path: Path) -> bool:
    """Whether a file is one that macOS or Windows put beside others, unasked."""
    plain = path.is_file() and not path.is_symlink()
    return plain and (path.name.lower() in SYSTEM_FILES or path.name.startswith("._"))


def check_writable(folder: Path) -> None:
    """Raise OutputError where nothing can be written in a folder, or the folder cannot be made; makes nothing."""
    nearest = Path(os.path.abspath(folder))
    while not os.path.lexists(nearest):
        nearest = nearest.parent
    try:
        with tempfile.TemporaryDirectory(prefix=".", dir=nearest):
            pass
    except OSError as error:
        raise OutputError(
            f"The output folder {folder} cannot be written ({error.strerror}); give another one."
        ) from error


def stored_array(item: Volume | Segmentation) -> Array:
    """The pixels of an item in a type that image formats know, black outside the field of view.

    Returns (I, J, K): labels as uint8, bool as uint8, float16 as float32, 64-bit integers as int32, all
    else as it is. Raises OutputError for numbers that this cannot hold.
    """
    if isinstance(item, Segmentation):
        return item.labels
    array = item.array
    if item.field_of_view is not None:
        array = np.where(item.field_of_view, array, np.asarray(min(0, array.min()), array.dtype))
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
