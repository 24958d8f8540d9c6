"""Hidden folders for results that are not complete yet, and their removal after a run was killed.

A hidden folder holds ``NAME`` (the new results), for a short time ``NAME.replaced`` (the earlier results), and
``NAME.lock``. The process that writes the results keeps this file locked. If the file is not locked, no process
writes there any more.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import sys
from collections.abc import Container, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

LOCK, REPLACED = ".lock", ".replaced"
_HIDDEN = re.compile(r"\.[0-9a-f]{8}-(.+)", re.DOTALL)

if sys.platform == "win32":
    import msvcrt

    def take(file: BinaryIO) -> None:
        """Lock an open file. Raise OSError if it is locked, or if the disk knows no locks."""
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def take(file: BinaryIO) -> None:
        """Lock an open file. Raise BlockingIOError if it is locked, another OSError if the disk knows no locks."""
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


@contextmanager
def hidden_folder(place: Path) -> Iterator[Path]:
    """Yield a new hidden folder beside ``place``, and remove the hidden folder when the block ends.

    Missing parent folders of ``place`` are created. The hidden folder is kept if it holds earlier results that
    could not be put back; :func:`remove_abandoned` tries this again. Raises OSError.
    """
    hidden, lock = _claimed(place)
    try:
        yield hidden
    finally:
        lock.close()
        if not (hidden / f"{place.name}{REPLACED}").exists():
            shutil.rmtree(hidden, ignore_errors=True)


def _claimed(place: Path) -> tuple[Path, BinaryIO]:
    """Create a hidden folder with a locked lock file. On a disk without locks the lock file is removed."""
    while True:
        hidden = place.with_name(f".{secrets.token_hex(4)}-{place.name}")
        hidden.mkdir(parents=True)
        lock = hidden / f"{place.name}{LOCK}"
        try:
            file = lock.open("xb")
        except OSError:
            hidden.rmdir()
            raise
        try:
            take(file)
        except BlockingIOError:  # another run considers the folder abandoned and removes it
            file.close()
            continue
        except OSError:
            lock.unlink()
        else:
            if not lock.exists():
                file.close()
                continue
        return hidden, file


def remove_abandoned(folder: Path, names: Container[str] | None = None) -> None:
    """Remove the hidden folders in ``folder`` that killed runs left, and put earlier results back.

    A hidden folder is kept if another run is filling it, if it holds other files, or if it cannot be removed.

    Parameters
    ----------
    folder
        The folder of the results.
    names
        Names of results; hidden folders of others are kept. Use it if runs on other computers write to the same
        folder: on some network disks their locks are not seen. None: all.
    """
    try:
        entries = os.listdir(folder)
    except OSError:
        return
    for found in filter(None, map(_HIDDEN.fullmatch, entries)):
        hidden, name = folder / found[0], found[1]
        if names is not None and name not in names:
            continue
        with suppress(OSError):
            if not hidden.is_symlink() and set(os.listdir(hidden)) <= {name, name + LOCK, name + REPLACED}:
                _remove(hidden, name)


def _remove(hidden: Path, name: str) -> None:
    """Remove the hidden folder of the results ``name``. Raises OSError if its lock file is locked or missing."""
    with (hidden / f"{name}{LOCK}").open("r+b") as lock:
        take(lock)
        place, old = hidden.with_name(name), hidden / f"{name}{REPLACED}"
        if old.exists() and not os.path.lexists(place):
            old.rename(place)
        shutil.rmtree(hidden, ignore_errors=True)
    shutil.rmtree(hidden, ignore_errors=True)  # again: Windows does not remove open files
