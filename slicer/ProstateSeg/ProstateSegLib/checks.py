"""Whether nodes of the scene still are what a request needs. Each refusal is a RuntimeError with one sentence."""

import numpy as np

from . import nodes

TILT_DEGREES = 1.0  # a slice view that is tilted more shows parts of several slices


def alive(node):
    """Return a node if it is in a scene, otherwise None."""
    return node if node is not None and node.GetScene() is not None else None


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
    checkNoTransform(volume)


def checkNoTransform(node):
    """Raise RuntimeError if a node is under a transform: its own coordinates are not those of the views then."""
    if node.GetParentTransformNode() is not None:
        raise RuntimeError(f"{node.GetName()} is under a transform; remove or harden the transform first.")


def checkSegmentation(segmentation):
    """Raise RuntimeError if masks of a segmentation cannot be read and replaced as they are."""
    checkNoTransform(segmentation)
    source = segmentation.GetSegmentation().GetSourceRepresentationName()
    if source != nodes.LABELMAP:
        raise RuntimeError(
            f"The source representation of {segmentation.GetName()} is {source}, expected {nodes.LABELMAP}; change "
            "it in the module Segmentations, under Representations."
        )


def checkCase(case):
    """Raise RuntimeError unless volume, segmentation and segment of a case are there and where they were."""
    if alive(case.volume) is None:
        raise RuntimeError("The volume was removed from the scene; load it again and segment it.")
    if alive(case.segmentation) is None or case.segmentation.GetSegmentation().GetSegment(case.segmentId) is None:
        raise RuntimeError("The segment of the CTV was deleted; segment the volume again.")
    checkVolume(case.volume, colour=True)
    checkSegmentation(case.segmentation)
    if not nodes.sameGrid(case.volume, case.grid):
        raise RuntimeError(
            f"Position, spacing or size of {case.volume.GetName()} has changed since; segment the volume again."
        )


def isPainted(case):
    """Return whether somebody has changed the segment since the last answer."""
    there = alive(case.segmentation) is not None
    if not there or case.segmentation.GetSegmentation().GetSegment(case.segmentId) is None:
        return False
    return nodes.digestOf(case.segmentation, case.segmentId) != case.answered


def sliceNumber(case, view):
    """Return the number of the slice that a slice view shows.

    Parameters
    ----------
    case
        The case of the image.
    view
        SliceToRAS of the view, (4, 4). Its origin may lie anywhere in the plane.

    Raises
    ------
    RuntimeError
        The view is not parallel to the transverse slices, or shows none of them.
    """
    slices, affine = case.grid["slices"], np.array(case.grid["affine"])
    normal = _unit(view[:3, 2])
    others = np.delete(affine[:3, :3], slices["axis"], axis=1)
    cosine = abs(normal @ _unit(np.cross(others[:, 0], others[:, 1])))
    if cosine < np.cos(np.deg2rad(TILT_DEGREES)):
        tilt = np.rad2deg(np.arccos(cosine))
        raise RuntimeError(
            f"The red view is tilted by {tilt:.0f} degrees against the slices of {case.volume.GetName()}; "
            "press Rotate to volume plane in the view's menu."
        )
    middle = affine[:3] @ [*((np.array(case.grid["shape"]) - 1) / 2), 1.0]
    shown = middle + normal * (normal @ (view[:3, 3] - middle))  # below the middle of the image
    number = int(np.rint((np.linalg.inv(affine) @ [*shown, 1.0])[slices["axis"]])) + 1
    if not 1 <= number <= slices["count"]:
        raise RuntimeError(f"The slice view shows no slice of {case.volume.GetName()}; scroll to one.")
    return number


def _unit(vector):
    return vector / np.linalg.norm(vector)
