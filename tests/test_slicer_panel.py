"""Panel and Segment Editor effect with doubles of Qt; nodes, worker and .ui file are real."""

import json
import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

EXTENSION = Path(__file__).resolve().parents[1] / "slicer"


@pytest.fixture
def running(monkeypatch):
    import slicer_panel

    with slicer_panel.running_slicer(monkeypatch) as running:
        yield running


@pytest.fixture
def panel(running):
    import slicer_panel

    return slicer_panel.opened_panel()


@pytest.mark.slicer
def test_segment_cancel_and_segment_again_from_the_panel(panel, running, nifti_case):
    from slicer_panel import finish, loaded_volume

    panel.ui.volume.setCurrentNode(loaded_volume(running, nifti_case[0]))
    panel.ui.segment.click()
    assert (panel.ui.segment.enabled, panel.ui.cancel.enabled, panel.ui.progress.visible) == (False, True, True)
    panel.ui.cancel.click()
    finish()
    assert running.shown == ["Cancelled; the hints given so far are kept."]
    panel.ui.segment.click()
    finish()
    assert re.fullmatch(r"\d+\.\d mL", panel.ui.result.text)
    buttons = (panel.ui.segment, panel.ui.exportFiles, panel.ui.exportSeg)
    assert [button.enabled for button in buttons] == [True, True, False]
    panel.ui.undo.click()
    assert running.shown[1:] == ["There is no hint to undo."]


@pytest.mark.slicer
def test_a_click_of_the_effect_is_1_hint_and_a_wrong_one_is_refused_in_its_panel(panel, running, nifti_case):
    from slicer_panel import click, effect_of, finish, loaded_volume, pairs, segmented

    case = segmented(panel, loaded_volume(running, nifti_case[0]))
    effect = effect_of(case)
    click(effect, [sum(bounds) / 2 for bounds in pairs(case.volume)])
    finish()
    assert effect.status.text.endswith("mL, 1 hints")
    assert panel.ui.result.text.endswith("mL, 1 hints")  # at once, without a visit of the panel
    running.views["Red"].JumpSliceByCentering(*(np.array(case.grid["affine"]) @ [10, 50, 2, 1])[:3])
    effect.addPlane("apex")
    finish()
    assert (case.hints[1]["type"], case.hints[1]["end"]) == ("plane", "apex")
    assert occupied(case)[0] == 2
    effect.undo()
    finish()
    click(effect, [900, 0, 0])
    finish()
    assert "outside the image" in effect.status.text
    running.views["Red"].SetOrientation("Axial")  # 3 degrees off the slices of the phantom
    effect.addPlane("apex")
    assert effect.status.text.startswith("The red view is tilted by 3 degrees against the slices of scan;")
    assert len(case.hints) == 1
    effect.scriptedEffect.selected = "another"
    effect.undo()
    assert effect.status.text == "Another segment is selected; select the CTV."
    assert effect.scriptedEffect.saved == 4


def occupied(case):
    """Indices of the transverse slices with voxels of the segment."""
    from slicer_scene import segment_voxels

    inverse = np.linalg.inv(np.array(case.grid["affine"]))
    return np.unique(np.rint(segment_voxels(case.segmentation) @ inverse[2, :3] + inverse[2, 3]).astype(int))


@pytest.mark.slicer
def test_the_modules_register_a_sample_that_is_a_phantom_made_here_and_shown(running):
    import slicer
    from ProstateSegLib import application
    from slicer_panel import EXECUTABLE, loaded

    for module in ("ProstateSeg", "SegmentEditorProstateSeg"):
        parent = SimpleNamespace()
        getattr(loaded(module), module)(parent)
        assert parent.categories == ["Segmentation"]
    registered, effect = running.signals.functions["startupCompleted()"]
    assert effect.__name__ == "registerEditorEffect"
    registered()
    (source,) = running.samples
    assert Path(source.others["thumbnailFileName"]).is_file()
    application.setExecutable("/absent/prostate-seg")
    assert source.others["customDownloader"](source) is None
    assert running.shown == [
        "There is no program /absent/prostate-seg; set the path of prostate-seg, or leave it empty."
    ]
    application.setExecutable(shutil.which("false"))
    assert source.others["customDownloader"](source) is None
    assert "The phantom was not made" in running.shown[1]
    application.setExecutable(EXECUTABLE)
    volume = source.others["customDownloader"](source)
    assert volume.GetName() == source.nodeNames[0] == "ProstatePhantom"
    views = slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode")
    assert [view.GetBackgroundVolumeID() for view in views] == [volume.GetID()] * 3


@pytest.mark.slicer
def test_wrong_uses_of_the_panel_are_one_sentence_each(panel, running):
    from slicer_panel import EXECUTABLE

    panel.ui.executable.emit("currentPathChanged(QString)", "/absent/prostate-seg")
    panel.ui.segment.click()
    panel.ui.executable.emit("currentPathChanged(QString)", EXECUTABLE)
    panel.ui.segment.click()
    panel.ui.suggest.click()  # disabled
    panel.ui.suggest.emit("clicked(bool)", False)
    panel.ui.exportFiles.emit("clicked(bool)", False)
    assert [sentence.split(";")[0] for sentence in running.shown] == [
        "There is no program /absent/prostate-seg",
        "No volume is chosen",
        "No result is chosen",
        "No result is chosen",
    ]
    assert running.asked == []


@pytest.mark.slicer
def test_a_missing_package_is_installed_only_after_yes_and_an_old_python_is_named(running, monkeypatch):
    import slicer
    from ProstateSegLib import application

    installed = []
    monkeypatch.setattr(slicer.util, "pip_install", installed.append)
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
