"""Panel and Segment Editor effect with doubles of Qt; nodes, worker and .ui file are real."""

import importlib.util
import json
import re
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

EXECUTABLE = str(Path(sys.executable).parent / "prostate-seg")
EXTENSION = Path(__file__).resolve().parents[1] / "slicer"


@pytest.fixture
def doubles(monkeypatch):
    import slicer_scene
    import slicer_widgets

    keep = slicer_scene.Scene()
    shown, asked = slicer_widgets.install(monkeypatch, keep.scene, EXTENSION)
    from ProstateSegLib import application

    application._shared.clear()
    yield keep, shown, asked
    application.stop()
    application._shared.clear()


def loaded(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def panel(doubles):
    panel = loaded(EXTENSION / "ProstateSeg" / "ProstateSeg.py").ProstateSegWidget()
    panel.setup()
    return panel


def finish():
    """Fire the timer until nothing is outstanding, as Qt would."""
    from ProstateSegLib import application

    end = time.monotonic() + 60
    while application._shared["timer"].running and time.monotonic() < end:
        application._shared["timer"].emit("timeout()")
        time.sleep(0.01)


def segmented(panel, nifti_case, scene):
    from ProstateSegLib.nodes import readNode

    panel.ui.executable.emit("currentPathChanged(QString)", EXECUTABLE)
    panel.ui.volume.setCurrentNode(readNode(scene, "ScalarVolume", str(nifti_case[0]), "scan"))
    panel.ui.segment.click()


@pytest.mark.slicer
def test_segment_cancel_and_segment_again_from_the_panel(panel, doubles, nifti_case):
    keep, shown, _ = doubles
    segmented(panel, nifti_case, keep.scene)
    assert (panel.ui.segment.enabled, panel.ui.cancel.enabled, panel.ui.progress.visible) == (False, True, True)
    panel.ui.cancel.click()
    finish()
    assert shown == ["Cancelled; the hints given so far are kept."]
    panel.ui.segment.click()
    finish()
    assert re.fullmatch(r"\d+\.\d mL", panel.ui.result.text)
    assert (panel.ui.segment.enabled, panel.ui.exportFiles.enabled, panel.ui.exportSeg.enabled) == (
        True,
        True,
        False,
    )
    panel.ui.undo.click()
    assert shown[1:] == ["There is no hint to undo."]


@pytest.mark.slicer
def test_a_click_of_the_effect_is_1_hint_and_a_wrong_one_is_refused_in_its_panel(
    panel, doubles, nifti_case, monkeypatch
):
    keep, _, _ = doubles
    segmented(panel, nifti_case, keep.scene)
    finish()
    (path,) = EXTENSION.rglob("SegmentEditorProstateSegEffect.py")
    effect = effect_of(loaded(path), panel.case)
    centre = [sum(bounds) / 2 for bounds in pairs(panel.case.volume)]
    click(effect, centre)
    finish()
    assert effect.status.text.endswith("mL, 1 hints")
    show_red(monkeypatch, np.array(panel.case.grid["affine"]) @ [40, 30, 2, 1])
    effect.addPlane("apex")
    finish()
    assert (panel.case.hints[1]["type"], panel.case.hints[1]["end"]) == ("plane", "apex")
    assert occupied(panel.case)[0] == 2
    effect.undo()
    finish()
    click(effect, [900, 0, 0])
    finish()
    assert "outside the image" in effect.status.text
    assert len(panel.case.hints) == 1
    effect.scriptedEffect.selected = "another"
    effect.undo()
    assert effect.status.text == "Another segment is selected; select the CTV."
    assert effect.scriptedEffect.saved == 4


def show_red(monkeypatch, ras):
    """Let the red slice view show the slice through a place."""
    import slicer

    node = slicer.vtkMRMLSliceNode()
    for row in range(3):
        node.GetSliceToRAS().SetElement(row, 3, ras[row])
    view = SimpleNamespace(mrmlSliceNode=lambda: node)
    layout = SimpleNamespace(sliceWidget=lambda name: {"Red": view}[name])
    monkeypatch.setattr(slicer, "app", SimpleNamespace(layoutManager=lambda: layout), raising=False)


def occupied(case):
    """Indices of the transverse slices with voxels of the segment."""
    from slicer_scene import segment_voxels

    inverse = np.linalg.inv(np.array(case.grid["affine"]))
    return np.unique(np.rint(segment_voxels(case.segmentation) @ inverse[2, :3] + inverse[2, 3]).astype(int))


@pytest.mark.slicer
def test_the_sample_is_a_phantom_that_is_made_here_as_a_volume_of_the_scene(doubles):
    from ProstateSegLib import application

    application.setExecutable(EXECUTABLE)
    volume = loaded(EXTENSION / "ProstateSeg" / "ProstateSeg.py").makePhantom()
    assert volume.GetName() == "ProstatePhantom"
    assert min(volume.GetImageData().GetDimensions()) > 10


def pairs(volume):
    bounds = [0.0] * 6
    volume.GetRASBounds(bounds)
    return zip(bounds[::2], bounds[1::2], strict=True)


def effect_of(module, case):
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

    effect = module.SegmentEditorProstateSegEffect(Editor())
    effect.setupOptionsFrame()
    return effect


def click(effect, ras):
    """A click of the left button at a place in a slice view."""
    import vtk

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


@pytest.mark.slicer
def test_wrong_uses_of_the_panel_are_one_sentence_each(panel, doubles):
    _, shown, asked = doubles
    panel.ui.executable.emit("currentPathChanged(QString)", "/absent/prostate-seg")
    panel.ui.segment.click()
    panel.ui.executable.emit("currentPathChanged(QString)", EXECUTABLE)
    panel.ui.segment.click()
    panel.ui.suggest.click()
    panel.ui.exportFiles.click()
    assert [sentence.split(";")[0] for sentence in shown] == [
        "There is no program /absent/prostate-seg",
        "No volume is chosen",
        "No result is chosen",
        "No result is chosen",
    ]
    assert asked == []


@pytest.mark.slicer
def test_a_missing_package_is_installed_only_after_yes_and_an_old_python_is_named(doubles, monkeypatch):
    from ProstateSegLib import application

    installed = []
    sys.modules["slicer.util"].pip_install = installed.append
    monkeypatch.setattr(application.importlib.util, "find_spec", lambda name: object() if installed else None)
    with pytest.raises(RuntimeError, match="prostate-seg is not installed; install it, or set the path"):
        application.program("", lambda question: False)
    assert installed == []
    command, _ = application.program("", lambda question: "Install it now" in question)
    assert installed == ["prostate-seg"]
    assert command[1:] == ["-m", "prostate_seg"]
    installed.clear()
    monkeypatch.setattr(application.sys, "version_info", (3, 9, 10))
    with pytest.raises(RuntimeError, match=r"Slicer's Python is 3.9, prostate-seg needs 3.11"):
        application.program("", lambda question: True)


def test_the_build_files_list_every_file_of_the_2_modules_once():
    for module in ("ProstateSeg", "SegmentEditorProstateSeg"):
        text = (EXTENSION / module / "CMakeLists.txt").read_text().replace("${MODULE_NAME}", module)
        listed = re.findall(r"^  (\S+\.(?:py|png|ui))$", text, re.MULTILINE)
        there = [
            str(path.relative_to(EXTENSION / module))
            for path in (EXTENSION / module).rglob("*")
            if path.suffix in (".py", ".png", ".ui")
        ]
        assert sorted(listed) == sorted(there)
        assert f"add_subdirectory({module})" in (EXTENSION / "CMakeLists.txt").read_text()


def test_the_entry_of_the_extensions_index_has_a_category_and_icons_are_128_pixels():
    entry = json.loads((EXTENSION / "ProstateSeg.json").read_text())
    assert (entry["category"], entry["build_dependencies"]) == ("Segmentation", [])
    icons = [path for path in EXTENSION.rglob("*.png") if path.stem != "ProstatePhantom"]
    assert len(icons) == 4
    assert {Image.open(path).size for path in icons} == {(128, 128)}
