"""Temporary folders that are removed even if Slicer was killed: by the next start. No Qt, no Slicer."""

import contextlib
import os
import shutil
import sys
import tempfile

PREFIX, LOCK, ATTEMPTS = "prostate-seg-", "in-use.lock", 3

if sys.platform == "win32":
    import msvcrt

    def _take(file):
        """Lock an open file. Raise OSError if another process holds it."""
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _take(file):
        """Lock an open file. Raise OSError if another process holds it."""
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


class TemporaryFolder:
    """A folder for copies of images, which only this user can read.

    It has a file that stays locked while it is used. The operating system releases the lock if the process is
    killed; the next TemporaryFolder then removes the folder.
    """

    def __init__(self):
        sweep()
        for _attempt in range(ATTEMPTS):
            self.path = tempfile.mkdtemp(prefix=PREFIX)
            self._lock = open(os.path.join(self.path, LOCK), "xb")  # noqa: SIM115
            try:
                _take(self._lock)
            except OSError:  # another process sweeps it just now
                self.close()
            else:
                return
        raise RuntimeError(
            f"No temporary folder can be locked in {tempfile.gettempdir()}; set TMPDIR to a local disk."
        )

    def new(self):
        """Return a new folder in it."""
        return tempfile.mkdtemp(dir=self.path)

    def close(self):
        """Remove it with all that it holds."""
        self._lock.close()
        shutil.rmtree(self.path, ignore_errors=True)


def sweep():
    """Remove the folders of processes that were killed."""
    parent = tempfile.gettempdir()
    for name in os.listdir(parent):
        folder = os.path.join(parent, name)
        if not name.startswith(PREFIX) or os.path.islink(folder):
            continue
        with contextlib.suppress(OSError):
            with open(os.path.join(folder, LOCK), "r+b") as lock:
                _take(lock)
            shutil.rmtree(folder, ignore_errors=True)


def copied(dicomFiles, folder):
    """Copy DICOM files into a new folder ``study``, since their own may hold other series. Return the copies.

    Raises
    ------
    RuntimeError
        A file cannot be read, or not be written.
    """
    study = os.path.join(folder, "study")
    copies = []
    try:
        if dicomFiles:
            os.mkdir(study)
        for number, file in enumerate(dicomFiles):
            copies.append(shutil.copyfile(file, os.path.join(study, f"{number:05d}.dcm")))
    except OSError as error:
        raise RuntimeError(
            f"The DICOM files of the volume cannot be copied ({error.strerror}); import the study again in "
            "Slicer's DICOM module, or give its files as the study."
        ) from error
    return copies
