"""The panel and the effect of the extension in a Slicer of doubles, see slicer_widgets; the worker is real."""

import importlib.util
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import slicer_widgets
import vtk
from ProstateSegLib import application
from ProstateSegLib.nodes import readNode

EXECUTABLE = str(Path(sys.executable).parent / "prostate-seg")
EXTENSION = Path(__file__).resolve().parents[1] / "slicer"


@contextmanager
def running_slicer(monkeypatch):
    """A Slicer of doubles; its worker ends with it."""
    running = slicer_widgets.install(monkeypatch, EXTENSION)
    application._shared.clear()
    yield running
    application.stop()
    application._shared.clear()


def loaded(name):
    """Load a file of the extension as a module."""
    (path,) = EXTENSION.rglob(f"{name}.py")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def opened_panel():
    """The panel, as Slicer opens it, with the executable of this environment."""
    panel = loaded("ProstateSeg").ProstateSegWidget()
    panel.setup()
    panel.ui.executable.emit("currentPathChanged(QString)", EXECUTABLE)
    return panel


def loaded_volume(running, path, name="scan"):
    return readNode(running.keep.scene, "ScalarVolume", str(path), name)


def finish():
    """Fire the timer until nothing is outstanding, as Qt would."""
    end = time.monotonic() + 60
    while application._shared["timer"].running and time.monotonic() < end:
        application._shared["timer"].emit("timeout()")
        time.sleep(0.01)


def segmented(panel, volume):
    """Choose a volume, segment it, and return its case."""
    panel.ui.volume.setCurrentNode(volume)
    panel.ui.segment.click()
    finish()
    return panel.case


def pairs(volume):
    bounds = [0.0] * 6
    volume.GetRASBounds(bounds)
    return zip(bounds[::2], bounds[1::2], strict=True)


def effect_of(case):
    """The effect in a Segment Editor that shows a case."""

    class Editor:
        saved, selected = 0, case.segmentId

        def addOptionsWidget(self, widget):
            pass

        def addLabeledOptionsWidget(self, text, widget):
            pass

        def parameter(self, _):
            return "inside"

        def parameterSetNode(self):
            return self

        def GetSegmentationNode(self):
            return case.segmentation

        def GetSelectedSegmentID(self):
            return self.selected

        def saveStateForUndo(self):
            self.saved += 1

    effect = loaded("SegmentEditorProstateSegEffect").SegmentEditorProstateSegEffect(Editor())
    effect.setupOptionsFrame()
    return effect


def click(effect, ras):
    """A click of the left button at a place in a slice view."""

    class Interactor:
        def GetEventPosition(self):
            return (1, 1)

        GetShiftKey = GetControlKey = GetAltKey = lambda self: 0

    class View:
        def className(self):
            return "qMRMLSliceWidget"

    effect.xyToRas = lambda xy, view: ras
    assert effect.processInteractionEvents(Interactor(), vtk.vtkCommand.LeftButtonPressEvent, View())
    assert not effect.processInteractionEvents(Interactor(), vtk.vtkCommand.MouseMoveEvent, View())
