"""The extension's logic when the scene has changed meanwhile: grids, transforms, removed nodes, closed scenes."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from judges import study

from prostate_seg.reading.masks import read_mask

pytestmark = pytest.mark.slicer
STATED = {"frame_spacing_mm": 4.0, "probe_side": "bottom"}


@pytest.fixture(scope="module")
def slicer_():
    from slicer_scene import Slicer

    found = Slicer()
    yield found
    found.logic.close()


@pytest.fixture
def case(slicer_, nifti_case):
    found = slicer_.ask("segment", slicer_.volume(nifti_case[0]))
    yield found
    slicer_.scene.RemoveNode(found.volume)
    slicer_.scene.RemoveNode(found.segmentation)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The file of a multi-frame study of 80 x 60 x 12 voxels."""
    folder = tmp_path_factory.mktemp("study")
    study(folder, "multiframe")
    return [str(path) for path in (folder / "source").rglob("*") if path.is_file()]


def middle(case):
    """Mean position of the voxels of the segment in RAS mm."""
    from slicer_scene import segment_voxels

    return segment_voxels(case.segmentation).mean(axis=0)


def test_the_other_frame_order_gives_nodes_of_its_own_and_leaves_the_former_12_slices(slicer_, files):
    from ProstateSegLib.nodes import affineOf, sameGrid

    first = slicer_.ask("segment", None, study=files[0], acquisition=STATED | {"frame_order": "base-to-apex"})
    before, where = affineOf(first.volume), middle(first)
    again = slicer_.ask("segment", first.volume, acquisition=STATED | {"frame_order": "apex-to-base"})
    assert sameGrid(again.volume, again.grid)
    assert not {first.volume, first.segmentation, first.uncertainty} & {
        again.volume,
        again.segmentation,
        again.uncertainty,
    }
    assert np.array_equal(affineOf(first.volume), before)
    np.testing.assert_allclose(middle(first), where)
    # The slices of the first run down from 0 mm, those of the second up from it.
    assert (before[2, 3], affineOf(again.volume)[2, 3]) == pytest.approx((-44, 0))
    np.testing.assert_allclose(middle(again)[2], -where[2], atol=2)
    same = slicer_.ask("segment", again.volume, acquisition=STATED | {"frame_order": "apex-to-base"})
    assert (same.volume, same.segmentation) == (again.volume, again.segmentation)


def test_mask_and_uncertainty_of_a_volume_whose_slices_slicer_reverses_lie_where_the_worker_says(slicer_, files):
    from ProstateSegLib.nodes import affineOf

    case = slicer_.ask("segment", None, study=files[0], acquisition=STATED | {"frame_order": "base-to-apex"})
    worker = read_mask(Path(case.folder) / "ctv.seg.nrrd")
    inside = np.argwhere(worker.labels == 1)
    expected = inside @ worker.affine[:3, :3].T + worker.affine[:3, 3]
    np.testing.assert_allclose(middle(case), expected.mean(axis=0), atol=0.01)
    node, sent = case.uncertainty, doubt_of_worker(slicer_, case)
    voxels = inside[:: len(inside) // 50]
    there = voxels @ worker.affine[:3, :3].T + worker.affine[:3, 3]
    shown = np.rint(np.linalg.inv(affineOf(node)) @ np.c_[there, np.ones(len(there))].T).astype(int)[:3].T
    percent = [node.GetImageData().GetScalarComponentAsDouble(*index.tolist(), 0) for index in shown]
    assert percent == [sent[tuple(index)] for index in voxels]
    assert len(set(percent)) > 10


def doubt_of_worker(slicer_, case):
    """Uncertainty in percent (I, J, K), as the worker sends it."""
    from ProstateSegLib.client import unpacked

    heard = []
    slicer_.logic.client.send("assess", case.name, done=heard.append)
    slicer_.logic.client.wait()
    return unpacked(heard[0]["doubt"])


def test_a_volume_whose_voxels_were_changed_is_not_taken_for_the_image_of_its_files(slicer_, files):
    from vtk.util.numpy_support import vtk_to_numpy

    stated = STATED | {"frame_order": "apex-to-base"}
    first = slicer_.ask("segment", None, study=files[0], acquisition=stated)
    voxels = vtk_to_numpy(first.volume.GetImageData().GetPointData().GetScalars())
    voxels[:] = 0
    again = slicer_.ask("segment", first.volume, acquisition=stated)
    assert again.volume is not first.volume
    assert again.volume.GetImageData().GetScalarRange()[1] > 0


def test_a_volume_from_dicom_files_stays_dicom_after_its_segmentation_was_deleted(slicer_, files, nifti_case):
    stated = STATED | {"frame_order": "apex-to-base"}
    wrong = slicer_.volume(nifti_case[0], "as Slicer reads it")
    wrong.SetAttribute("DICOM.instanceUIDs", "1.2.3")
    first = slicer_.ask("segment", wrong, dicomFiles=files, acquisition=stated)
    slicer_.scene.RemoveNode(first.segmentation)
    with pytest.raises(RuntimeError, match="The segment of the CTV was deleted; segment the volume again"):
        slicer_.ask("suggest", first)
    again = slicer_.ask("segment", first.volume, acquisition=stated)
    assert (again.isDicom, again.volume) == (True, first.volume)
    assert again.volume.GetAttribute("DICOM.instanceUIDs") == "1.2.3"
    assert not Path(first.folder).exists()


@pytest.mark.parametrize("moved", ["volume", "segmentation"])
def test_a_transform_of_20_mm_that_was_set_later_is_refused_by_every_request(slicer_, case, tmp_path, moved):
    import slicer
    import vtk

    matrix = vtk.vtkMatrix4x4()
    matrix.SetElement(0, 3, 20.0)
    transform = slicer.vtkMRMLLinearTransformNode()
    slicer_.scene.AddNode(transform)
    transform.SetMatrixTransformToParent(matrix)
    getattr(case, moved).SetAndObserveTransformNodeID(transform.GetID())
    hint = slicer_.logic.point("inside", middle(case))
    case.hints = [hint]  # so that there is one to undo
    for action, *arguments in (
        ("addHint", case, hint),
        ("undo", case),
        ("assess", case),
        ("suggest", case),
        ("export", case, "files", str(tmp_path)),
        ("segment", case.volume),
    ):
        with pytest.raises(RuntimeError, match="is under a transform; remove or harden the transform first"):
            slicer_.ask(action, *arguments)
    slicer_.scene.RemoveNode(transform)
    assert slicer_.ask("addHint", case, hint).hints[0]["side"] == "inside"


def test_a_volume_that_was_moved_and_a_segmentation_that_is_a_surface_are_refused_with_their_remedy(slicer_, case):
    origin = case.volume.GetOrigin()
    case.volume.SetOrigin(0, 0, 7)
    with pytest.raises(
        RuntimeError, match=r"Position, spacing or size of .* has changed since; segment the volume"
    ):
        slicer_.ask("suggest", case)
    case.volume.SetOrigin(origin)
    case.segmentation.GetSegmentation().SetSourceRepresentationName("Closed surface")
    with pytest.raises(
        RuntimeError, match="is Closed surface, expected Binary labelmap; change it in the module Seg"
    ):
        slicer_.ask("export", case, "files", "anywhere")


def test_a_view_tilted_by_20_degrees_gives_no_plane_and_one_panned_by_30_mm_the_same_slice_4(slicer_, case):
    from slicer_scene import red_view

    affine = np.array(case.grid["affine"])
    centre = (affine @ [40, 30, 3, 1])[:3]
    with pytest.raises(RuntimeError, match="The red view is tilted by 20 degrees against the slices of scan"):
        slicer_.logic.plane(case, "apex", red_view(case.volume, centre, degrees=20))
    for across in (-30, 0, 30):
        panned = centre + across * affine[:3, 1] / np.linalg.norm(affine[:3, 1])
        for degrees in (0.0, 0.9):
            view = red_view(case.volume, centre, degrees=degrees)
            view[:3, 3] += view[:3, 1] * across
            assert slicer_.logic.plane(case, "apex", view)["slice"] == 4
        assert slicer_.logic.plane(case, "base", red_view(case.volume, panned))["slice"] == 4


@pytest.mark.parametrize("end", ["volume removed", "scene closed", "scene closed under a study"])
def test_what_comes_for_a_scene_that_is_gone_is_dropped_and_its_copies_too(nifti_case, end):
    from slicer_scene import Slicer

    own = Slicer()
    volume = own.volume(nifti_case[0], "old")
    known = own.ask("segment", volume)
    heard = []
    study = str(nifti_case[0]) if "study" in end else ""
    own.logic.segment(None if study else volume, study=study, done=heard.append, failed=heard.append)
    if end == "volume removed":
        own.scene.RemoveNode(volume)
    else:
        own.scene.Clear(0)
    assert not Path(known.folder).exists()
    new = own.volume(nifti_case[0], "new")
    count = own.scene.GetNumberOfNodes()
    own.logic.client.wait()
    assert "was dropped." in heard[0]
    assert (len(heard), own.scene.GetNumberOfNodes(), own.logic.cases) == (1, count, {})
    assert [path.name for path in Path(own.logic.temporary.path).iterdir()] == ["in-use.lock"]
    assert own.logic.formerOf(new) is None
    own.logic.close()


def test_dicom_files_that_are_gone_are_one_sentence_and_nothing_is_left(slicer_, nifti_case):
    there = set(Path(slicer_.logic.temporary.path).iterdir())
    with pytest.raises(
        RuntimeError, match=r"cannot be copied \(No such file or directory\); import the study again"
    ):
        slicer_.ask(
            "segment", slicer_.volume(nifti_case[0], "gone"), dicomFiles=[str(nifti_case[0]), "/gone/a.dcm"]
        )
    assert set(Path(slicer_.logic.temporary.path).iterdir()) == there


def test_the_copies_of_a_slicer_that_was_killed_are_removed_by_the_next_and_those_of_a_running_one_stay(
    tmp_path, monkeypatch
):
    import tempfile

    from ProstateSegLib.temporary import TemporaryFolder

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    code = (
        "from ProstateSegLib.temporary import TemporaryFolder, copied\n"
        "folder = TemporaryFolder()\n"
        "print(copied([__import__('sys').executable], folder.new())[0], flush=True)\n"
        "input()"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "TMPDIR": str(tmp_path)}
    streams = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", code], env=environment, **streams) as other:
        copy = Path(other.stdout.readline().strip())
        assert tmp_path in copy.parents
        TemporaryFolder().close()
        assert copy.is_file()
        other.send_signal(signal.SIGKILL)
        other.wait()
    assert copy.is_file()
    TemporaryFolder().close()
    assert list(tmp_path.iterdir()) == []
