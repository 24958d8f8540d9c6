"""One run at a time in a folder of results that grows."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from ..errors import OutputError
from .atomic import made_folder, reason_of
from .half_written import take

LOCK = ".lock"


@contextmanager
def only_run(folder: Path) -> Iterator[None]:
    """Keep other runs out of a folder while the block runs; on a disk without locks they are not noticed.

    The folder is made if it does not exist, and those above it. What was made is removed again if the block leaves
    nothing in it. Meanwhile the folder holds the locked file ``.lock``. OutputError is raised if another run is at
    work there, or if the folder cannot be written.
    """
    new = [place for place in (folder, *folder.parents) if not place.exists()]
    lock = made_folder(folder) / LOCK
    file = _locked(lock)
    try:
        yield
    finally:
        with suppress(OSError):  # Windows removes no open file
            lock.unlink()
        file.close()
        for place in new:
            with suppress(OSError):  # it holds results
                place.rmdir()


def _locked(lock: Path) -> BinaryIO:
    while True:
        try:
            file = lock.open("ab")
        except OSError as error:
            raise OutputError(
                f"The output folder {lock.parent} cannot be written ({reason_of(error)}); give another one."
            ) from error
        try:
            take(file)
        except (BlockingIOError, PermissionError) as error:  # PermissionError: Windows
            file.close()
            raise OutputError(
                f"Another run is writing to {lock.parent}; wait until it has ended, or give another folder."
            ) from error
        except OSError:
            return file
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file.fileno()), lock.stat()):
                return file
        file.close()  # another run ended meanwhile and removed this file
