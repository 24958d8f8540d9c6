"""Nodes of Slicer's scene for images, masks, uncertainty and hints. No Qt: works with slicer-core."""

import hashlib
import os

import numpy as np
import slicer
import vtk
from vtk.util.numpy_support import numpy_to_vtk, vtk_to_numpy

LABELMAP, SURFACE = "Binary labelmap", "Closed surface"


def affineOf(volume):
    """Return the affine (4, 4) of a volume node: voxel indices to RAS mm."""
    matrix = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    return arrayOf(matrix)


def arrayOf(matrix):
    """Return a vtkMatrix4x4 as an array (4, 4)."""
    return np.array([[matrix.GetElement(row, column) for column in range(4)] for row in range(4)])


def flippedAxes(volume, grid, tolerance_mm=1e-2):
    """Return the axes along which a volume node runs against a grid, None if its voxels are not those of the grid.

    Slicer reverses the slices of an image with a left-handed affine when it reads it. ``grid`` has ``shape`` and
    ``affine``.
    """
    shape = np.array(grid["shape"])
    if list(volume.GetImageData().GetDimensions()) != shape.tolist():
        return None
    own, affine = affineOf(volume), np.array(grid["affine"])
    axes = tuple(axis for axis in range(3) if own[:3, axis] @ affine[:3, axis] < 0)
    for axis in axes:
        own[:, 3] += own[:, axis] * (shape[axis] - 1)
        own[:, axis] *= -1
    corners = np.array([[i, j, k, 1] for i in (0, shape[0]) for j in (0, shape[1]) for k in (0, shape[2])])
    return axes if np.abs(corners @ (own - affine).T).max() <= tolerance_mm else None


def sameGrid(volume, grid):
    """Return whether the voxels of a volume node lie where those of a grid lie."""
    return flippedAxes(volume, grid) is not None


def sameVoxels(volume, other):
    """Return whether two volume nodes have the same values in the same places."""
    there, expected = _voxels(volume), _voxels(other)
    axes = flippedAxes(volume, {"shape": other.GetImageData().GetDimensions(), "affine": affineOf(other)})
    return axes is not None and np.array_equal(np.flip(there, axes), expected)


def _voxels(volume):
    """Return the values (I, J, K, components) of a volume node."""
    image = volume.GetImageData()
    values = vtk_to_numpy(image.GetPointData().GetScalars())
    return values.reshape(*image.GetDimensions()[::-1], -1).transpose(2, 1, 0, 3)


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
    image = _labelmap(segmentation, segmentId)
    count = len(_filled(image))
    return count, count * float(np.prod(image.GetSpacing())) / 1000.0


def digestOf(segmentation, segmentId):
    """Return a digest of the places of a segment's voxels. It does not depend on the extent that is stored."""
    image = _labelmap(segmentation, segmentId)
    matrix = vtk.vtkMatrix4x4()
    image.GetImageToWorldMatrix(matrix)
    filled = _filled(image)
    placed = filled + np.array(image.GetExtent()[::2])  # (N, 3)
    grid = np.round(arrayOf(matrix), 3) + 0.0 if len(filled) else 0.0
    return hashlib.sha256(placed.astype(np.int64).tobytes() + np.asarray(grid).tobytes()).hexdigest()


def _labelmap(segmentation, segmentId):
    image = slicer.vtkOrientedImageData()
    segmentation.GetBinaryLabelmapRepresentation(segmentId, image)
    return image


def _filled(image):
    """Return the indices (N, 3) of the voxels that are not 0, from the corner of the stored extent."""
    scalars = image.GetPointData().GetScalars()
    if scalars is None:
        return np.empty((0, 3), int)
    return np.argwhere(vtk_to_numpy(scalars).reshape(image.GetDimensions()[::-1]).transpose(2, 1, 0))


def moveCrosshair(scene, ras):
    """Show the crosshair of the slice views at a point."""
    crosshair = scene.GetFirstNodeByClass("vtkMRMLCrosshairNode")
    if crosshair is not None:
        crosshair.SetCrosshairRAS(*ras)
        crosshair.SetCrosshairMode(slicer.vtkMRMLCrosshairNode.ShowSmallBasic)


def setUncertainty(scene, node, percent, volume):
    """Put uncertainty in percent into a volume node, by default a new one, and return the node.

    ``percent`` is uint8 (I, J, K) on the grid of ``volume``.
    """
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
