"""The panel when something else has happened meanwhile: another volume, another program, painting, moved files."""

import os
from types import SimpleNamespace

import numpy as np
import pytest

pytestmark = pytest.mark.slicer


@pytest.fixture
def running(monkeypatch):
    from slicer_panel import running_slicer

    with running_slicer(monkeypatch) as found:
        yield found


@pytest.fixture
def panel(running):
    from slicer_panel import opened_panel

    return opened_panel()


@pytest.fixture
def volumes(running, nifti_case):
    from slicer_panel import loaded_volume

    return [loaded_volume(running, nifti_case[0], name) for name in ("first", "second")]


def test_an_answer_that_comes_when_another_volume_is_chosen_leaves_that_volume_and_its_result(
    panel, running, volumes
):
    from slicer_panel import finish, segmented

    first, second = volumes
    panel.ui.volume.setCurrentNode(first)
    panel.ui.segment.click()
    panel.ui.volume.setCurrentNode(second)
    assert (panel.ui.segment.enabled, panel.ui.cancel.enabled, panel.ui.progress.visible) == (False, True, True)
    finish()
    assert (panel.ui.volume.currentNode(), panel.case, panel.ui.result.text) == (second, None, "")
    assert panel.ui.status.text == "first is segmented; choose it to see the result."
    late = segmented(panel, second)
    panel.ui.volume.setCurrentNode(first)
    for button in (panel.ui.assess, panel.ui.suggest):
        panel.ui.volume.setCurrentNode(first)
        button.click()
        panel.ui.volume.setCurrentNode(second)
        finish()
        assert panel.case is late
    assert running.crosshair.GetCrosshairMode() == running.crosshair.NoCrosshair  # not for the second volume
    assert running.shown == []


def test_a_suggestion_moves_the_crosshair_to_its_slice(panel, running, volumes):
    from slicer_panel import finish, segmented

    case = segmented(panel, volumes[0])
    panel.ui.suggest.click()
    finish()
    at = np.linalg.inv(np.array(case.grid["affine"])) @ [*running.crosshair.GetCrosshairRAS(), 1.0]
    assert panel.ui.status.text.endswith(f"near the crosshair, on slice {round(at[2]) + 1}.")
    assert running.crosshair.GetCrosshairMode() == running.crosshair.ShowSmallBasic
    red = running.views["Red"].GetSliceToRAS()
    assert [red.GetElement(row, 3) for row in range(3)] == pytest.approx(running.crosshair.GetCrosshairRAS())


def test_hints_and_painting_are_dropped_only_after_a_yes(panel, running, volumes):
    from slicer_panel import finish, segmented

    case = segmented(panel, volumes[0])
    hinted(case)
    running.agrees = False
    panel.ui.segment.click()
    assert running.asked == ["This drops the hints (1). Go on?"]
    assert (panel.case, len(case.hints)) == (case, 1)
    painted(case)
    panel.ui.segment.click()
    panel.ui.undo.click()
    assert running.asked[1:] == [
        "This drops the hints (1) and what was changed by hand in the Segment Editor. Go on?",
        "This drops what was changed by hand in the Segment Editor. Go on?",
    ]
    running.editor.node = case.segmentation  # its undo brings the painting back
    panel.ui.undo.click()
    finish()
    assert (len(case.hints), len(running.asked), running.editor.saved) == (0, 3, 1)
    panel.ui.segment.click()
    finish()
    assert (len(running.asked), running.editor.saved) == (3, 2)
    assert panel.case is not case
    assert panel.case.segmentation is case.segmentation


def hinted(case):
    """Give the hint that the middle of a volume lies inside the gland."""
    from slicer_panel import click, effect_of, finish, pairs

    click(effect_of(case), [sum(bounds) / 2 for bounds in pairs(case.volume)])
    finish()


def painted(case):
    """Paint a box into the segment, as somebody would do in the Segment Editor."""
    from ProstateSegLib.nodes import setMask

    box = np.zeros(case.grid["shape"], bool)
    box[30:50, 20:40, 2:6] = True
    setMask(case.segmentation, case.segmentId, box, case.grid["affine"])


def test_another_executable_keeps_the_1_hint_of_a_volume_that_is_not_chosen(panel, running, volumes, tmp_path):
    from slicer_panel import EXECUTABLE, finish, segmented

    first = segmented(panel, volumes[0])
    hinted(first)
    os.symlink(EXECUTABLE, tmp_path / "other")
    panel.ui.executable.emit("currentPathChanged(QString)", str(tmp_path / "other"))
    segmented(panel, volumes[1])
    panel.ui.volume.setCurrentNode(volumes[0])
    assert panel.ui.result.text.endswith("mL, 1 hints")
    panel.ui.assess.click()
    assert panel.ui.status.text == "prostate-seg is started again, with 1 hints."
    finish()
    assert (panel.case.hints, running.shown) == (first.hints, [])


def test_the_panel_is_empty_when_it_is_entered_after_its_volume_was_removed(panel, running, volumes):
    from slicer_panel import segmented

    segmented(panel, volumes[0])
    running.keep.scene.RemoveNode(volumes[0])
    assert panel.ui.result.text != ""
    panel.enter()
    assert (panel.ui.result.text, panel.ui.exportFiles.enabled) == ("", False)


def test_a_volume_with_1_of_2_dicom_files_left_is_refused(panel, running, volumes, monkeypatch, nifti_case):
    import slicer

    files = {"1.2.3": str(nifti_case[0]), "1.2.4": "/absent/file"}
    monkeypatch.setattr(slicer, "dicomDatabase", SimpleNamespace(fileForInstance=files.get), raising=False)
    volumes[0].SetAttribute("DICOM.instanceUIDs", "1.2.3 1.2.4")
    panel.ui.volume.setCurrentNode(volumes[0])
    panel.ui.segment.click()
    (sentence,) = running.shown
    assert sentence.startswith("1 of the 2 DICOM files of first are found; import the study again in Slicer's")
    assert panel.ui.segment.enabled


def test_the_doubles_refuse_properties_and_signals_that_the_classes_of_slicer_do_not_have(panel):
    with pytest.raises(AttributeError):
        panel.ui.study.path = "/x"
    with pytest.raises(AttributeError):
        panel.ui.volume.setNode(None)
    with pytest.raises(KeyError):
        panel.ui.segment.connect("pressed(bool)", print)
