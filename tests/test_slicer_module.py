"""The Slicer module's logic in slicer-core, with prostate-seg as a process of its own."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pydicom
import pytest
from judges import study

from prostate_seg.reading.masks import read_mask

pytestmark = pytest.mark.slicer
EXECUTABLE = str(Path(sys.executable).parent / "prostate-seg")


@pytest.fixture
def logic(repository):
    import slicer_scene

    path = repository / "slicer" / "ProstateSeg.py"
    spec = importlib.util.spec_from_file_location("ProstateSeg", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    scene = slicer_scene.Scene()
    logic = module.ProstateSegLogic(scene.scene)
    logic.keep = scene
    return logic


def test_a_study_is_segmented_loaded_and_handed_over_with_the_voxels_that_slicer_holds(logic, tmp_path):
    from slicer_scene import segment_voxels

    made = study(tmp_path, "multiframe")
    reading = {"frameOrder": "base-to-apex", "probeSide": "bottom"}
    command = logic.segmentCommand(EXECUTABLE, str(tmp_path / "source"), str(tmp_path / "out"), **reading)
    lines = logic.run(command)
    assert any("mL" in line for line in lines)
    (folder,) = logic.cases(lines)
    volume, segmentation = logic.loadCase(folder)
    assert volume.GetImageData().GetDimensions() == (80, 60, 12)
    mask = read_mask(Path(folder) / "ctv.nii.gz")
    assert len(segment_voxels(segmentation)) == np.count_nonzero(mask.labels)
    assert logic.volumeMl(segmentation) == pytest.approx(mask.volume_ml, rel=1e-4)
    assert logic.segmentNames(segmentation) == ["CTV"]
    saved = str(tmp_path / "reviewed.seg.nrrd")
    logic.saveSegmentation(segmentation, saved)
    logic.run(
        logic.exportCommand(
            EXECUTABLE,
            saved,
            str(tmp_path / "source"),
            str(tmp_path / "exported"),
            formats=["nifti", "rtstruct"],
            **reading,
        )
    )
    assert np.array_equal(read_mask(tmp_path / "exported" / "reviewed" / "ctv.nii.gz").labels, mask.labels)
    structures = pydicom.dcmread(tmp_path / "exported" / "reviewed" / "ctv_rtstruct.dcm")
    assert structures.StudyInstanceUID == made.contoured.volume.source.header.StudyInstanceUID


def test_what_prostate_seg_refuses_is_said_in_its_own_words(logic, tmp_path):
    with pytest.raises(RuntimeError, match="absent: no such file or folder"):
        logic.run(logic.segmentCommand(EXECUTABLE, str(tmp_path / "absent"), str(tmp_path / "out")))
    with pytest.raises(RuntimeError, match="nowhere/prostate-seg cannot be started"):
        logic.run(["nowhere/prostate-seg", "info"])
