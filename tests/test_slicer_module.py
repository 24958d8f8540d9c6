"""The extension's logic with nodes of slicer-core, and prostate-seg as a process of its own."""

from pathlib import Path

import numpy as np
import pydicom
import pytest
from judges import study

from prostate_seg.geometry.volume import volume_ml
from prostate_seg.reading.masks import read_mask

pytestmark = pytest.mark.slicer


def started(*command):
    from slicer_scene import Slicer

    return Slicer(*command)


@pytest.fixture(scope="module")
def application():
    slicer = started()
    yield slicer
    slicer.logic.close()
    assert not Path(slicer.logic.temporary.path).exists()


@pytest.fixture(scope="module")
def case(application, nifti_case):
    return application.ask("segment", application.volume(nifti_case[0]))


def at(case, *index):
    return (np.array(case.grid["affine"]) @ [*index, 1.0])[:3]


def view(case, *index):
    """SliceToRAS of the red view when it shows the slice of a voxel."""
    from slicer_scene import red_view

    return red_view(case.volume, at(case, *index))


def test_the_loaded_volume_gets_a_segment_with_terms_surface_and_uncertainty(case):
    from ProstateSegLib.nodes import maskOf
    from slicer_scene import terminology

    count, millilitres = maskOf(case.segmentation, case.segmentId)
    assert case.volume.GetName() == "scan"
    assert terminology(case.segmentation) == ("130041", "228792002", "41216001")  # RT Target, CTV, prostate
    assert case.segmentation.GetSegmentation().ContainsRepresentation("Closed surface")
    assert millilitres == pytest.approx(count * 1.2 * 1.2 * 5 / 1000, rel=1e-5) == pytest.approx(case.volumeMl)
    assert case.uncertainty.GetImageData().GetDimensions() == (80, 60, 8)
    assert case.uncertainty.GetImageData().GetScalarRange()[0] == 0


def test_apex_at_slice_3_leaves_no_voxel_of_the_segment_below_it_and_undo_brings_them_back(application, case):
    from slicer_scene import segment_voxels

    before = case.volumeMl
    hint = application.logic.plane(case, "apex", view(case, 10, 10, 2))
    assert hint == {"type": "plane", "end": "apex", "slice": 3}
    application.ask("addHint", case, hint)
    inverse = np.linalg.inv(np.array(case.grid["affine"]))
    voxels = segment_voxels(case.segmentation) @ inverse[:3, :3].T + inverse[:3, 3]
    assert round(voxels[:, 2].min()) == 2
    assert case.hintsNode.GetNthControlPointLabel(0) == "1 apex"
    application.ask("undo", case)
    assert (case.volumeMl, case.hints, case.hintsNode.GetNumberOfControlPoints()) == (before, [], 0)


def test_an_export_has_what_was_painted_in_the_scene(application, case, tmp_path):
    from ProstateSegLib.nodes import setMask

    painted = np.zeros((80, 60, 8), bool)
    painted[30:50, 20:40, 2:6] = True
    setMask(case.segmentation, case.segmentId, painted, case.grid["affine"])
    folder, outputs, _ = application.ask("export", case, "files", str(tmp_path))
    assert {"ctv.nii.gz", "ctv.stl", "report.html"} <= set(outputs)
    assert np.array_equal(read_mask(Path(folder) / "ctv.nii.gz").labels == 1, painted)
    with pytest.raises(RuntimeError, match="DICOM exports refer to the images of a DICOM study"):
        application.ask("export", case, "seg", str(tmp_path))
    with pytest.raises(RuntimeError, match="No folder for the export is chosen"):
        application.ask("export", case, "files", "")
    with pytest.raises(RuntimeError, match="cannot be written"):
        application.ask("export", case, "files", "/proc/absent")


def test_two_volumes_have_hints_of_their_own(application, case, nifti_case):
    other = application.ask("segment", application.volume(nifti_case[0], "second"))
    application.ask("addHint", other, application.logic.point("inside", at(other, 40, 30, 4)))
    assert (len(case.hints), len(other.hints)) == (0, 1)
    assert application.logic.caseOf(segmentation=other.segmentation) is other
    again = application.ask("segment", other.volume)
    assert again.segmentation is other.segmentation
    assert again.hints == []
    application.scene.RemoveNode(again.segmentation)
    fresh = application.ask("segment", again.volume)
    assert fresh.segmentation is not again.segmentation


def test_a_dicom_study_is_read_with_its_own_spacing_and_exported_with_a_larger_ptv(application, tmp_path):
    made = study(tmp_path, "multiframe")
    files = [str(path) for path in (tmp_path / "source").rglob("*") if path.is_file()]
    wrong = application.volume(write_wrong(made, tmp_path), "as Slicer reads it")  # 1 x 1 x 1 mm
    stated = {"frame_order": "base-to-apex", "probe_side": "bottom", "frame_spacing_mm": 4.0}
    case = application.ask("segment", wrong, dicomFiles=files, acquisition=stated)
    assert case.isDicom
    assert case.volume is not wrong
    assert case.volume.GetSpacing() == pytest.approx((1.2, 1.0, 4.0), rel=1e-3)
    seg, outputs, _ = application.ask("export", case, "seg", str(tmp_path / "out"))
    assert "ctv_seg.dcm" in outputs
    uid = made.contoured.volume.source.header.StudyInstanceUID
    assert pydicom.dcmread(Path(seg) / "ctv_seg.dcm").StudyInstanceUID == uid
    folder, *_ = application.ask("export", case, "rtstruct", str(tmp_path / "out"), margin="3")
    structures = pydicom.dcmread(Path(folder) / "ctv_rtstruct.dcm")
    assert [roi.ROIName for roi in structures.StructureSetROISequence] == ["CTV", "PTV"]
    assert application.ask("segment", case.volume, acquisition=stated).isDicom  # again, from the same files


def write_wrong(made, folder):
    from prostate_seg import Volume, write

    write(Volume(made.contoured.volume.array, np.eye(4)), folder / "wrong.nrrd")
    return folder / "wrong.nrrd"


def test_a_study_that_is_not_loaded_comes_as_a_new_volume(application, nifti_case):
    case = application.ask("segment", None, study=str(nifti_case[0]))
    assert case.volume.GetName() == "scan.nii.gz (prostate-seg)"
    assert volume_ml(np.ones((80, 60, 8), bool), np.array(case.grid["affine"])) == pytest.approx(276.48)
    with pytest.raises(RuntimeError, match="absent: no such file or folder"):
        application.ask("segment", None, study="absent")


def test_what_is_no_ultrasound_image_is_refused_before_anything_is_started(nifti_case):
    import slicer

    other = started(["/absent"])
    labels = other.scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "labels")
    empty = other.scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "empty")
    moved = other.volume(nifti_case[0], "moved")
    transform = slicer.vtkMRMLLinearTransformNode()
    other.scene.AddNode(transform)
    moved.SetAndObserveTransformNodeID(transform.GetID())
    for node, sentence in (
        (None, "No volume is chosen"),
        (labels, "labels is a label map"),
        (empty, "empty has no voxels"),
        (moved, "moved is under a transform"),
    ):
        with pytest.raises(RuntimeError, match=sentence):
            other.ask("segment", node)
    with pytest.raises(RuntimeError, match="/absent cannot be started"):
        other.ask("segment", other.volume(nifti_case[0], "good"))
    with pytest.raises(RuntimeError, match="This volume has not been segmented yet"):
        other.logic.caseOf(volume=moved)
    other.logic.close()


def test_hints_that_cannot_be_are_refused_and_the_segment_stays(application, nifti_case):
    case = application.ask("segment", application.volume(nifti_case[0], "third"))
    before = case.volumeMl
    with pytest.raises(RuntimeError, match="There is no hint to undo"):
        application.ask("undo", case)
    with pytest.raises(RuntimeError, match="outside the image"):
        application.ask("addHint", case, application.logic.point("inside", (900, 0, 0)))
    with pytest.raises(RuntimeError, match="The slice view shows no slice of third"):
        application.logic.plane(case, "apex", view(case, 0, 0, 30))
    application.ask("addHint", case, application.logic.plane(case, "apex", view(case, 0, 0, 5)))
    with pytest.raises(RuntimeError, match="the apex lies above the base"):
        application.ask("addHint", case, application.logic.plane(case, "base", view(case, 0, 0, 2)))
    application.ask("undo", case)
    assert case.volumeMl == before
    case.segmentation.GetSegmentation().RemoveSegment(case.segmentId)
    with pytest.raises(RuntimeError, match="The segment of the CTV was deleted"):
        application.ask("export", case, "files", "anywhere")
