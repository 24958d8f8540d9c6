"""Nodes of Slicer's scene for images, masks, uncertainty and hints. No Qt: works with slicer-core."""

import os

import numpy as np
import slicer
import vtk
from vtk.util.numpy_support import numpy_to_vtk, vtk_to_numpy

SURFACE = "Closed surface"


def affineOf(volume):
    """Return the affine (4, 4) of a volume node: voxel indices to RAS mm."""
    matrix = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    return np.array([[matrix.GetElement(row, column) for column in range(4)] for row in range(4)])


def checkVolume(volume, *, colour=False):
    """Raise RuntimeError unless a node is an image, gray or in colour, that is under no transform."""
    if volume is None:
        raise RuntimeError("No volume is chosen; load an ultrasound volume and choose it.")
    name = volume.GetName()
    if volume.IsA("vtkMRMLLabelMapVolumeNode"):
        raise RuntimeError(f"{name} is a label map, expected the ultrasound image; choose the image.")
    image = volume.GetImageData()
    if image is None or not image.GetNumberOfPoints():
        raise RuntimeError(f"{name} has no voxels; load it again.")
    if image.GetNumberOfScalarComponents() != 1 and not colour:
        raise RuntimeError(
            f"{name} has {image.GetNumberOfScalarComponents()} colour channels, expected one; give its files as "
            "the study."
        )
    if volume.GetParentTransformNode() is not None:
        raise RuntimeError(f"{name} is under a transform; harden the transform first.")


def sameGrid(volume, grid, tolerance_mm=1e-2):
    """Return whether a volume node has a grid, given by ``shape`` and ``affine``."""
    shape = grid["shape"]
    if list(volume.GetImageData().GetDimensions()) != list(shape):
        return False
    corners = np.array([[i, j, k, 1] for i in (0, shape[0]) for j in (0, shape[1]) for k in (0, shape[2])])
    return bool(np.abs(corners @ (affineOf(volume) - np.array(grid["affine"])).T).max() <= tolerance_mm)


def readNode(scene, kind, path, name):
    """Read a file into a new node. Kinds are ``ScalarVolume`` and ``Segmentation``."""
    storages = {
        "ScalarVolume": slicer.vtkMRMLVolumeArchetypeStorageNode,
        "Segmentation": slicer.vtkMRMLSegmentationStorageNode,
    }
    node = scene.AddNewNodeByClass(f"vtkMRML{kind}Node", name)
    storage = storages[kind]()
    scene.AddNode(storage)
    storage.SetFileName(path)
    read = storage.ReadData(node)
    scene.RemoveNode(storage)  # the file is temporary
    if not read:
        scene.RemoveNode(node)
        raise RuntimeError(f"{os.path.basename(path)} cannot be read; segment the volume again.")
    node.CreateDefaultDisplayNodes()
    return node


def writeNode(scene, node, path):
    """Write a volume or a segmentation to a file. Raise RuntimeError if it cannot be written."""
    kind = "Segmentation" if node.IsA("vtkMRMLSegmentationNode") else "VolumeArchetype"
    storage = getattr(slicer, f"vtkMRML{kind}StorageNode")()
    scene.AddNode(storage)
    storage.SetFileName(path)
    written = storage.WriteData(node)
    scene.RemoveNode(storage)
    if not written:
        raise RuntimeError(f"{path} cannot be written; free some space, or choose another folder.")


def orientedImage(mask, affine):
    """Return a mask, bool (I, J, K), as Slicer's oriented image."""
    image = slicer.vtkOrientedImageData()
    image.SetDimensions(mask.shape)
    values = numpy_to_vtk(np.ascontiguousarray(mask.transpose(2, 1, 0), np.uint8).ravel(), deep=True)
    image.GetPointData().SetScalars(values)
    matrix = vtk.vtkMatrix4x4()
    for row in range(4):
        for column in range(4):
            matrix.SetElement(row, column, float(affine[row][column]))
    image.SetGeometryFromImageToWorldMatrix(matrix)
    return image


def setMask(segmentation, segmentId, mask, affine):
    """Replace the voxels of a segment, and keep its name, colour, terms and tags."""
    logic = slicer.vtkSlicerSegmentationsModuleLogic
    image = orientedImage(mask, affine)
    if not logic.SetBinaryLabelmapToSegment(image, segmentation, segmentId, logic.MODE_REPLACE):
        raise RuntimeError(f"The mask cannot be put into {segmentation.GetName()}; segment the volume again.")


def showSurface(segmentation):
    """Show a segmentation as a surface in the 3D views."""
    segmentation.CreateClosedSurfaceRepresentation()
    segmentation.GetDisplayNode().SetPreferredDisplayRepresentationName3D(SURFACE)


def segmentNames(segmentation):
    """Return the names of the segments."""
    found = segmentation.GetSegmentation()
    return [found.GetNthSegment(index).GetName() for index in range(found.GetNumberOfSegments())]


def maskOf(segmentation, segmentId):
    """Return the number of voxels of a segment and its volume in millilitres."""
    image = slicer.vtkOrientedImageData()
    segmentation.GetBinaryLabelmapRepresentation(segmentId, image)
    scalars = image.GetPointData().GetScalars()
    count = 0 if scalars is None else int(np.count_nonzero(vtk_to_numpy(scalars)))
    return count, count * float(np.prod(image.GetSpacing())) / 1000.0


def setUncertainty(scene, node, percent, volume):
    """Put uncertainty in percent, uint8 (I, J, K), into a volume node, by default a new one. Return the node."""
    node = node or scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", f"{volume.GetName()} uncertainty")
    image = vtk.vtkImageData()
    image.SetDimensions(percent.shape)
    image.GetPointData().SetScalars(
        numpy_to_vtk(np.ascontiguousarray(percent.transpose(2, 1, 0)).ravel(), deep=True)
    )
    node.CopyOrientation(volume)
    node.SetAndObserveImageData(image)
    node.CreateDefaultDisplayNodes()
    display = node.GetDisplayNode()
    display.SetAndObserveColorNodeID("vtkMRMLColorTableNodeFileViridis.txt")
    display.AutoWindowLevelOff()
    display.SetWindowLevelMinMax(0, 100)
    display.SetLowerThreshold(5)
    display.ApplyThresholdOn()
    return node


def setHints(scene, node, hints, volume):
    """Show the points of hints as locked markups, by default new ones. Return the node."""
    node = node or scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", f"{volume.GetName()} hints")
    node.CreateDefaultDisplayNodes()
    node.SetLocked(True)
    node.RemoveAllControlPoints()
    for number, hint in enumerate(hints, 1):
        if hint["type"] in ("point", "plane"):
            label = hint.get("side") or hint["end"]
            node.AddControlPoint(vtk.vtkVector3d(*hint["at_mm"]), f"{number} {label}")
    return node
