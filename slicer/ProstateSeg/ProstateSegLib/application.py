"""What panel and effect share in a running Slicer: the program, the logic, and the timer for replies."""

import importlib.util
import os
import shutil
import sys

import slicer

from . import results
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
    if "logic" not in _shared:
        _shared["logic"] = ProstateSegLogic(slicer.mrmlScene, *program(path, ask))
    elif _shared["path"] != path:
        _shared["logic"].use(*program(path, ask))
    _shared["path"] = path
    return _shared["logic"]


def runningLogic():
    """Return the shared logic. Raise RuntimeError if nothing has been segmented."""
    if "logic" not in _shared:
        raise RuntimeError("No volume is segmented yet; press Segment in the module Prostate segmentation.")
    return _shared["logic"]


def caseOf(volume):
    """Return the case of a volume node, None if it has not been segmented."""
    return _shared["logic"].formerOf(volume) if volume is not None and "logic" in _shared else None


def busy():
    """Return whether a reply is outstanding."""
    return "logic" in _shared and _shared["logic"].client.busy


def listen(function):
    """Call a function whenever a request starts, and whenever all replies have come."""
    _shared.setdefault("listeners", []).append(function)


def unlisten(function):
    """Call a function no more."""
    if function in _shared.get("listeners", ()):
        _shared["listeners"].remove(function)


def watch():
    """Hand over replies by a timer until none is outstanding."""
    import qt

    timer = _shared.get("timer")
    if timer is None:
        timer = _shared["timer"] = qt.QTimer()
        timer.setInterval(POLL_MS)
        timer.connect("timeout()", _poll)
    timer.start()
    _tell()


def saveForUndo(case):
    """Save the segment for the Segment Editor's undo. Return False if the editor does not show it."""
    editor = slicer.modules.segmenteditor.widgetRepresentation().self().editor
    if editor.segmentationNode() is not case.segmentation:
        return False
    editor.saveStateForUndo()
    return True


def stop():
    """End the worker and remove temporary files; for the end of Slicer, too."""
    if "logic" in _shared:
        _shared.pop("logic").close()


def dicomFiles(volume):
    """Return the DICOM files that Slicer loaded a volume from; none if it was not loaded from DICOM.

    Raises
    ------
    RuntimeError
        Some of the files are not in Slicer's database, or not where it says.
    """
    uids = (volume.GetAttribute(results.UIDS) or "").split() if volume is not None else []
    database = getattr(slicer, "dicomDatabase", None)
    files = [database.fileForInstance(uid) for uid in uids] if database is not None else []
    found = [file for file in files if file and os.access(file, os.R_OK)]
    if len(found) < len(uids):
        raise RuntimeError(
            f"{len(found)} of the {len(uids)} DICOM files of {volume.GetName()} are found; import the study again "
            "in Slicer's DICOM module, or give its files as the study."
        )
    return found


def _poll():
    if "logic" in _shared and _shared["logic"].poll():
        return
    _shared["timer"].stop()
    _tell()


def _tell():
    for function in list(_shared.get("listeners", ())):
        function()


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
