"""Output files and folders that are written completely or not at all, and arrays as image formats store them."""

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

SYSTEM_FILES = (".ds_store", "thumbs.db", "desktop.ini")  # created by macOS and Windows; in lower case
Array = np.ndarray[Any, Any]


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Write a file under a temporary name in the same folder, then rename it to ``path``.

    Yields the temporary path. Its name ends in the full name of ``path``, so that writers that look at the suffix
    find ``.nii.gz`` or ``.seg.nrrd``. At the end of the block the file is flushed to disk and replaces ``path`` in
    one step. If the block raises, the temporary file is removed and ``path`` is not changed.

    Raises
    ------
    OutputError
        There is no such folder, or the system reports an OSError (such as no permission or no space).
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


def made_folder(folder: Path) -> Path:
    """Make a folder, with the folders above it, unless it exists. Raise OutputError if it cannot be made."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"Cannot make the folder {folder}: {reason_of(error)}; give another one.") from error
    return folder


@contextmanager
def replacing_folder(
    folder: Path, *, may_replace: Callable[[Path], bool] | None = None, tidy: bool = True
) -> Iterator[Path]:
    """Fill a temporary folder, then rename it to ``folder``, as :func:`replacing` does for a file.

    Yields an empty folder of the same name inside a hidden folder. At the end of the block it replaces ``folder``.
    If the block raises, ``folder`` is not changed. Missing parent folders are created.

    Parameters
    ----------
    folder
        The output folder.
    may_replace
        See :func:`check_free`.
    tidy
        Whether to remove first the hidden folders that killed runs left in the same place.

    Raises
    ------
    OutputError
        The folder cannot be written, or may not be replaced.
    """
    if tidy:
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
    """Return the system's text for an error, never the text of a library.

    If a library raised the error, the text is that of the system error that caused it.
    """
    found: BaseException | None = error
    while found is not None:
        if isinstance(found, OSError) and found.strerror:
            return found.strerror
        found = found.__cause__ or found.__context__
    return "not all of it was stored"


def _exchange(new: Path, place: Path, old: Path) -> None:
    """Move ``place`` to ``old`` and ``new`` to ``place``. Delete ``old`` then, or put it back on failure."""
    try:
        if place.exists():
            place.rename(old)
        new.rename(place)  # fails if another run has created the folder meanwhile
    finally:
        if old.exists():
            if place.exists():
                shutil.rmtree(old, ignore_errors=True)
            else:
                old.rename(place)


def check_free(folder: Path, *, may_replace: Callable[[Path], bool] | None = None) -> None:
    """Raise OutputError if ``folder`` exists already and may not be replaced.

    Parameters
    ----------
    folder
        The output folder.
    may_replace
        Called with each path in the folder. Returns whether the path is an earlier result that may be deleted, or
        raises OutputError with the reason why not. The folder is replaced only if all its paths may be deleted.
        Files of the system (``.DS_Store``, ``Thumbs.db``, ``desktop.ini``, ``._*``) are ignored. None: an existing
        folder is never replaced.
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
    """Return whether macOS or Windows created this file on its own, such as ``.DS_Store``."""
    plain = path.is_file() and not path.is_symlink()
    return plain and (path.name.lower() in SYSTEM_FILES or path.name.startswith("._"))


def check_writable(folder: Path) -> None:
    """Raise OutputError if a folder cannot be written, or cannot be created.

    The folder is not created. A temporary folder is created and removed in the nearest parent that exists.
    """
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
    """Return the voxels (I, J, K) in a type that image formats can store, black outside the field of view.

    Labels are returned as they are. In images bool becomes uint8, float16 becomes float32, and 64-bit integers
    become int32. Other types are not changed.

    Raises
    ------
    OutputError
        A value does not fit in int32, or the type is not a real number of at most 64 bits.
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
    """Raise OutputError if the file name does not end in one of the suffixes, in upper or lower case."""
    if not path.name.lower().endswith(suffixes):
        raise OutputError(f"Cannot write {path.name}: its name must end in {' or '.join(suffixes)}.")
