"""What panel and effect share in a running Slicer: the program, the logic, and the timer for replies."""

import importlib.util
import shutil
import sys

import slicer

from .logic import ProstateSegLogic

SETTING = "ProstateSeg/executable"  # empty: the package in Slicer's own Python
PACKAGE = "prostate-seg"
OLDEST_PYTHON = (3, 11)
POLL_MS = 40

_shared = {}


def executable():
    """Return the executable that the user has set; empty if none."""
    import qt

    return str(qt.QSettings().value(SETTING) or "").strip()


def setExecutable(path):
    """Keep the executable for the next start."""
    import qt

    qt.QSettings().setValue(SETTING, path.strip())


def program(path, ask):
    """Return command and environment that start prostate-seg.

    Parameters
    ----------
    path
        Executable of an environment of its own; empty: the package in Slicer's Python, installed on request.
    ask
        Called with a question; returns whether the user agrees.

    Raises
    ------
    RuntimeError
        The package is missing and is not to be installed, or cannot be.
    """
    if path:
        if shutil.which(path) is None:
            raise RuntimeError(f"There is no program {path}; set the path of prostate-seg, or leave it empty.")
        return [path], slicer.util.startupEnvironment()
    if importlib.util.find_spec("prostate_seg") is None:
        _install(ask)
    return [shutil.which("PythonSlicer") or sys.executable, "-m", "prostate_seg"], None


def logic(ask):
    """Return the logic that panel and effect share; ``program`` gives its command."""
    path = executable()
    if _shared.get("path") != path or "logic" not in _shared:
        command, environment = program(path, ask)
        stop()
        _shared.update(path=path, logic=ProstateSegLogic(slicer.mrmlScene, command, environment))
    return _shared["logic"]


def runningLogic():
    """Return the shared logic. Raise RuntimeError if nothing has been segmented."""
    if "logic" not in _shared:
        raise RuntimeError("No volume is segmented yet; press Segment in the module Prostate segmentation.")
    return _shared["logic"]


def watch(finished):
    """Hand over replies by a timer until none is outstanding, then call ``finished``."""
    import qt

    timer = _shared.get("timer")
    if timer is None:
        timer = _shared["timer"] = qt.QTimer()
        timer.setInterval(POLL_MS)
        timer.connect("timeout()", _poll)
    _shared.setdefault("finished", []).append(finished)
    timer.start()


def stop():
    """End the worker and remove temporary files; for the end of Slicer, too."""
    if "logic" in _shared:
        _shared.pop("logic").close()


def dicomFiles(volume):
    """Return the DICOM files that Slicer loaded a volume from; none if it was not DICOM or they are gone."""
    uids = volume.GetAttribute("DICOM.instanceUIDs") if volume is not None else None
    database = getattr(slicer, "dicomDatabase", None)
    if not uids or database is None:
        return []
    return [file for file in (database.fileForInstance(uid) for uid in uids.split()) if file]


def _poll():
    if "logic" in _shared and _shared["logic"].poll():
        return
    _shared["timer"].stop()
    for finished in _shared.pop("finished", []):
        finished()


def _install(ask):
    if sys.version_info < OLDEST_PYTHON:
        found, oldest = (".".join(map(str, version[:2])) for version in (sys.version_info, OLDEST_PYTHON))
        raise RuntimeError(
            f"Slicer's Python is {found}, prostate-seg needs {oldest}; install it into an environment of its own, "
            "and set the path of its executable."
        )
    question = (
        "prostate-seg is not installed in Slicer's Python. Install it now, with PyTorch? That downloads up to some "
        "GB. (Cancel to set the path of an executable instead.)"
    )
    if not ask(question):
        raise RuntimeError("prostate-seg is not installed; install it, or set the path of its executable.")
    try:
        slicer.util.pip_install(PACKAGE)
    except Exception as error:
        raise RuntimeError(
            f"{PACKAGE} could not be installed ({error}); set the path of its executable."
        ) from error
    importlib.invalidate_caches()
    if importlib.util.find_spec("prostate_seg") is None:
        raise RuntimeError(f"{PACKAGE} was installed but is not found; restart Slicer.")
