"""Scenes and segmentations opened, corrected and saved with 3D Slicer's own libraries."""

import numpy as np
import pytest
from judges import study, world_points

from prostate_seg.cases.export import ExportOptions, export_case
from prostate_seg.geometry.volume import Segmentation, swap_ras_lps
from prostate_seg.reading.masks import read_mask
from prostate_seg.writing import write
from prostate_seg.writing.slicer_scene import write_scene
from prostate_seg.writing.surface import surface_of

pytestmark = pytest.mark.slicer
RAS = np.diag([-1.0, -1.0, 1.0])


@pytest.fixture(scope="module", params=["axial", "oblique"])
def opened(request, tmp_path_factory):
    """A scene of a phantom, written by us and opened by slicer-core."""
    import slicer_scene

    folder = tmp_path_factory.mktemp("scene")
    probability = np.random.default_rng(0).random((80, 60, 12), dtype=np.float32)
    made = study(folder, "series", turn=request.param, probability=probability)
    write_scene(folder / "case.mrb", made.contoured.volume, made.contoured.ctv)
    return slicer_scene.Scene().open(folder / "case.mrb"), made


def ras_of(made):
    points = world_points(made.truth, swap_ras_lps(made.affine)) @ RAS
    return points[np.lexsort(points.round(2).T)]


def ordered(points):
    return points[np.lexsort(points.round(2).T)]


def test_the_segment_has_its_name_colour_terms_voxels_and_place(opened):
    from slicer_scene import segment_voxels, terminology

    scene, made = opened
    node = scene.node("CTV")
    segment = node.GetSegmentation().GetNthSegment(0)
    assert node.GetSegmentation().GetNumberOfSegments() == 1
    assert segment.GetName() == "CTV"
    assert np.round(np.multiply(segment.GetColor(), 255)).tolist() == [230, 159, 0]
    assert terminology(node) == ("130041", "228792002", "41216001")  # RT Target, CTV, prostate
    np.testing.assert_allclose(ordered(segment_voxels(node)), ras_of(made), atol=1e-3)


def test_the_volume_lies_under_the_segmentation_and_behind_the_three_slices(opened):
    import vtk

    scene, made = opened
    volume = scene.node("TRUS")
    matrix = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    affine = np.array([[matrix.GetElement(r, c) for c in range(4)] for r in range(4)])
    np.testing.assert_allclose(affine, made.affine, atol=1e-3)
    assert volume.GetImageData().GetDimensions() == (80, 60, 12)
    assert scene.node("CTV").GetNodeReference("referenceImageGeometryRef") is volume
    for view in ("Red", "Green", "Yellow"):
        composite = scene.scene.GetNodeByID(f"vtkMRMLSliceCompositeNode{view}")
        assert composite.GetBackgroundVolumeID() == volume.GetID()


def test_the_surface_has_the_volume_of_the_segment_within_1_percent_and_its_centroid_within_a_fifth_of_a_mm(opened):
    import vtk

    scene, made = opened
    mesh = scene.node("CTV surface").GetPolyData()
    properties = vtk.vtkMassProperties()
    properties.SetInputData(mesh)
    voxel_ml = abs(np.linalg.det(made.affine[:3, :3])) / 1000
    assert properties.GetVolume() / 1000 == pytest.approx(made.truth.sum() * voxel_ml, rel=0.01)
    ours = surface_of(made.contoured.ctv).centroid_lps_mm @ RAS
    np.testing.assert_allclose(ours, ras_of(made).mean(axis=0), atol=0.2)
    np.testing.assert_allclose(
        np.reshape(mesh.GetBounds(), (3, 2)).mean(axis=1), (ras_of(made).min(0) + ras_of(made).max(0)) / 2, atol=1.5
    )
    edges = vtk.vtkFeatureEdges()
    edges.SetInputData(mesh)
    edges.FeatureEdgesOff()
    edges.ManifoldEdgesOff()
    edges.Update()
    assert edges.GetOutput().GetNumberOfCells() == 0  # closed: no edge with one triangle only, or with three


def test_the_normals_of_the_surface_point_outward(opened):
    import vtk

    scene, _ = opened
    mesh = scene.node("CTV surface").GetPolyData()
    normals = vtk.vtkPolyDataNormals()
    normals.SetInputData(mesh)
    normals.ComputeCellNormalsOn()
    normals.SplittingOff()
    normals.ConsistencyOff()
    normals.Update()
    from vtk.util.numpy_support import vtk_to_numpy

    points = vtk_to_numpy(mesh.GetPoints().GetData())
    outward = points - points.mean(axis=0)
    of_points = vtk_to_numpy(normals.GetOutput().GetPointData().GetNormals())
    assert ((outward * of_points).sum(axis=1) > 0).mean() > 0.9


def test_uncertainty_and_colours_are_in_the_scene(opened):
    scene, _ = opened
    image = scene.node("CTV uncertainty").GetImageData()
    assert image.GetDimensions() == (80, 60, 12)
    assert 95 < image.GetScalarRange()[1] <= 100  # percent of a bit
    assert scene.node("Prostate structures").GetColorName(1) == "CTV"


def test_a_correction_saved_by_slicer_comes_back_as_seg_rtstruct_and_nifti_with_identical_voxels(tmp_path):
    import highdicom
    import slicer_scene
    from judges import dice, plastimatch_masks

    made = study(tmp_path, "multiframe")
    write(made.contoured.ctv, tmp_path / "ctv.seg.nrrd")
    scene = slicer_scene.Scene()
    node = scene.load_segmentation(tmp_path / "ctv.seg.nrrd")
    node.GetSegmentation().GetNthSegment(0).SetName("corrected by hand")
    scene.save_segmentation(node, tmp_path / "Segmentation 1.seg.nrrd")
    order = ExportOptions(
        tmp_path / "Segmentation 1.seg.nrrd",
        ("nifti", "seg-nrrd", "dicom-seg", "rtstruct"),
        source=tmp_path / "source",
    )
    done = export_case(order, tmp_path / "out")
    assert done.folder.name == "Segmentation 1"
    assert np.array_equal(read_mask(done.folder / "ctv.nii.gz").labels == 1, made.truth)
    assert np.array_equal(read_mask(done.folder / "ctv.seg.nrrd").labels == 1, made.truth)
    volume = highdicom.seg.segread(done.folder / "ctv_seg.dcm").get_volume(combine_segments=True)
    np.testing.assert_allclose(world_points(volume.array > 0, volume.affine), made.world, atol=1e-3)
    masks = plastimatch_masks(done.folder / "ctv_rtstruct.dcm", made.contoured.volume, tmp_path)
    assert dice(masks["CTV"], made.truth) >= 0.999


def test_two_overlapping_segments_of_slicer_are_told_apart_by_their_names(tmp_path):
    import slicer
    import slicer_scene

    made = study(tmp_path, "series")
    for name, mask in (("ctv", made.truth), ("urethra", made.contoured.structures["urethra"])):
        write(Segmentation(mask.astype(np.uint8), made.affine, {1: name}), tmp_path / f"{name}.seg.nrrd")
    scene = slicer_scene.Scene()
    node, other = (scene.load_segmentation(tmp_path / f"{name}.seg.nrrd") for name in ("ctv", "urethra"))
    segment = slicer.vtkSegment()
    segment.DeepCopy(other.GetSegmentation().GetNthSegment(0))
    node.GetSegmentation().AddSegment(segment, "second")
    scene.save_segmentation(node, tmp_path / "both.seg.nrrd")
    order = ExportOptions(tmp_path / "both.seg.nrrd", ("nifti",), tmp_path / "source", segment="urethra")
    found = read_mask(export_case(order, tmp_path / "out").folder / "ctv.nii.gz")
    assert np.array_equal(found.labels == 1, made.contoured.structures["urethra"])


def test_house_16_slicer_keeps_which_image_a_segment_was_drawn_on(tmp_path):
    import slicer_scene

    mask = Segmentation(np.ones((4, 4, 4), np.uint8), np.eye(4), source_sha256="a1" * 32)
    write(mask, tmp_path / "ctv.seg.nrrd")
    scene = slicer_scene.Scene()
    scene.save_segmentation(scene.load_segmentation(tmp_path / "ctv.seg.nrrd"), tmp_path / "saved.seg.nrrd")
    assert read_mask(tmp_path / "saved.seg.nrrd").source_sha256 == "a1" * 32
