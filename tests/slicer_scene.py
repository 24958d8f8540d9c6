"""Opens scenes and segmentations with 3D Slicer's own libraries (slicer-core), as Slicer does."""

import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import slicer
import vtk
from vtk.util.numpy_support import vtk_to_numpy


class Scene:
    """An open scene; keeps alive what it needs."""

    def __init__(self):
        self.scene = slicer.vtkMRMLScene()
        self.app = slicer.vtkSlicerApplicationLogic()
        self.app.SetMRMLScene(self.scene)
        self.app.GetColorLogic().SetMRMLScene(self.scene)
        self.app.GetColorLogic().AddDefaultColorNodes()
        self.segmentations = slicer.vtkSlicerSegmentationsModuleLogic()
        self.segmentations.SetMRMLApplicationLogic(self.app)
        self.segmentations.SetMRMLScene(self.scene)
        self.markups = slicer.vtkSlicerMarkupsLogic()
        self.markups.SetMRMLApplicationLogic(self.app)
        self.markups.SetMRMLScene(self.scene)
        self.hierarchy = slicer.vtkSlicerSubjectHierarchyModuleLogic()
        self.hierarchy.SetMRMLScene(self.scene)
        self.folder = tempfile.TemporaryDirectory()

    def open(self, path):
        """Open an ``.mrb``."""
        with zipfile.ZipFile(path) as archive:
            archive.extractall(self.folder.name)
        self.scene.SetURL(str(next(Path(self.folder.name).rglob("*.mrml"))))
        assert self.scene.Connect() == 1
        return self

    def node(self, name):
        return self.scene.GetFirstNodeByName(name)

    def load_segmentation(self, path):
        """Load a ``.seg.nrrd`` as Slicer's Add Data does."""
        node = self.scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "loaded")
        storage = slicer.vtkMRMLSegmentationStorageNode()
        self.scene.AddNode(storage)
        storage.SetFileName(str(path))
        assert storage.ReadData(node)
        return node

    def save_segmentation(self, node, path):
        """Save a segmentation as Slicer's Save does: cropped to its extent where Slicer would."""
        storage = slicer.vtkMRMLSegmentationStorageNode()
        self.scene.AddNode(storage)
        storage.SetFileName(str(path))
        storage.SetCropToMinimumExtent(True)
        assert storage.WriteData(node)


class Slicer:
    """A scene with the logic; ``ask`` waits for the answer and returns it, or raises what it failed with."""

    def __init__(self, command=(sys.executable, "-m", "prostate_seg")):
        from ProstateSegLib.logic import ProstateSegLogic

        self.keep = Scene()
        self.scene = self.keep.scene
        self.logic = ProstateSegLogic(self.scene, list(command))

    def volume(self, path, name="scan"):
        from ProstateSegLib.nodes import readNode

        return readNode(self.scene, "ScalarVolume", str(path), name)

    def ask(self, action, *arguments, **options):
        done, failed = [], []
        replies = {"failed": failed.append, "progress": lambda _: None}
        getattr(self.logic, action)(*arguments, done=lambda *got: done.append(got), **replies, **options)
        self.logic.client.wait()
        if failed:
            raise RuntimeError(failed[0])
        return done[0][0] if len(done[0]) == 1 else done[0]


def slice_view(scene, name="Red", orientation="Axial"):
    """A slice view of a scene as Slicer makes it: its node."""
    slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(scene)
    node = scene.AddNewNodeByClass("vtkMRMLSliceNode", name)
    node.SetLayoutName(name)
    assert node.SetOrientation(orientation)
    return node


def red_view(volume, ras, *, degrees=0.0):
    """SliceToRAS (4, 4) of the red view: rotated to a volume's plane, centred at a point, then tilted."""
    from ProstateSegLib.nodes import arrayOf

    node = slice_view(volume.GetScene())
    node.RotateToVolumePlane(volume)
    volume.GetScene().RemoveNode(node)
    view, angle = arrayOf(node.GetSliceToRAS()), np.deg2rad(degrees)
    tilt = np.array([[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]])
    view[:3, :3] = view[:3, :3] @ tilt
    view[:3, 3] = ras
    return view


def segment_voxels(node, index=0):
    """The voxel centres of a segment in RAS mm, (N, 3)."""
    identifier = node.GetSegmentation().GetNthSegmentID(index)
    image = slicer.vtkOrientedImageData()
    node.GetBinaryLabelmapRepresentation(identifier, image)
    matrix = vtk.vtkMatrix4x4()
    image.GetImageToWorldMatrix(matrix)
    affine = np.array([[matrix.GetElement(r, c) for c in range(4)] for r in range(4)])
    x0, x1, y0, y1, z0, z1 = image.GetExtent()
    values = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(z1 - z0 + 1, y1 - y0 + 1, x1 - x0 + 1)
    index = np.argwhere(values.transpose(2, 1, 0) > 0) + np.array([x0, y0, z0])
    return index @ affine[:3, :3].T + affine[:3, 3]


def terminology(node, index=0):
    """Category, type and region codes of a segment."""
    segment = node.GetSegmentation().GetNthSegment(index)
    tag = vtk.mutable("")
    segment.GetTag("TerminologyEntry", tag)
    entry = slicer.vtkSlicerTerminologyEntry()
    assert slicer.vtkSlicerTerminologiesModuleLogic().DeserializeTerminologyEntry(str(tag), entry)
    parts = (entry.GetCategoryObject(), entry.GetTypeObject(), entry.GetRegionObject())
    return tuple(part.GetCodeValue() if part else None for part in parts)
