"""Hidden folders that results are written into before they take their place, and those that killed runs left.

A hidden folder holds ``NAME`` (the new results), for a moment ``NAME.replaced`` (the earlier ones), and
``NAME.lock``, which its process keeps locked: if nobody holds the lock, nobody writes there any more.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

LOCK, REPLACED = ".lock", ".replaced"
_HIDDEN = re.compile(r"\.[0-9a-f]{8}-(.+)", re.DOTALL)

if sys.platform == "win32":
    import msvcrt

    def _take(file: BinaryIO) -> None:
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _take(file: BinaryIO) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


@contextmanager
def hidden_folder(place: Path) -> Iterator[Path]:
    """Yield a new hidden folder beside ``place``, whose parents are made; it is removed when the block ends.

    It stays if it holds earlier results that could not be put back: :func:`remove_abandoned` tries again.
    Raises OSError.
    """
    hidden, lock = _claimed(place)
    try:
        yield hidden
    finally:
        lock.close()
        if not (hidden / f"{place.name}{REPLACED}").exists():
            shutil.rmtree(hidden, ignore_errors=True)


def _claimed(place: Path) -> tuple[Path, BinaryIO]:
    """A hidden folder and its lock, taken; on a disk that knows no locks the folder has none."""
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
            _take(file)
        except BlockingIOError:  # another run took it for an abandoned one, and removes it
            file.close()
            continue
        except OSError:
            lock.unlink()
        else:
            if not lock.exists():
                file.close()
                continue
        return hidden, file


def remove_abandoned(folder: Path) -> None:
    """Remove the hidden folders in ``folder`` whose runs were killed; what they were replacing is put back.

    What another run is filling, or what holds anything else, is left alone, and so is what cannot be removed.
    """
    try:
        names = os.listdir(folder)
    except OSError:
        return
    for found in filter(None, map(_HIDDEN.fullmatch, names)):
        hidden, name = folder / found[0], found[1]
        with suppress(OSError):
            if not hidden.is_symlink() and set(os.listdir(hidden)) <= {name, name + LOCK, name + REPLACED}:
                _remove(hidden, name)


def _remove(hidden: Path, name: str) -> None:
    """Remove the hidden folder of the results ``name``. Raises OSError if its lock is taken or missing."""
    with (hidden / f"{name}{LOCK}").open("r+b") as lock:
        _take(lock)
        place, old = hidden.with_name(name), hidden / f"{name}{REPLACED}"
        if old.exists() and not os.path.lexists(place):
            old.rename(place)
        shutil.rmtree(hidden, ignore_errors=True)
    shutil.rmtree(hidden, ignore_errors=True)  # Windows removes no open file
