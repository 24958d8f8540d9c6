"""Nodes of the scene that show what the worker answered."""

import os
import re

import numpy as np

from . import nodes
from .checks import alive
from .client import unpacked

UIDS = "DICOM.instanceUIDs"  # where Slicer keeps which DICOM files a volume was read from
_SUFFIX = " (prostate-seg)"


def imageNode(scene, candidate, *, file, title, grid, isFromFiles):
    """Return the node of a segmented image: a volume of the scene if it shows that image, otherwise a new one.

    Parameters
    ----------
    scene
        Scene of Slicer.
    candidate
        Volume of the scene, or None.
    file
        The image as the worker has read it.
    title
        Name for a new node.
    grid
        Grid of the image, from the worker.
    isFromFiles
        Whether the image was read from files. If not, its voxels are those of ``candidate``.
    """
    fits = candidate is not None and nodes.sameGrid(candidate, grid)
    if fits and not isFromFiles:
        return candidate
    name = title[: -len(_SUFFIX)] if title.endswith(_SUFFIX) else title
    made = nodes.readNode(scene, "ScalarVolume", file, scene.GenerateUniqueName(name + _SUFFIX))
    if fits and nodes.sameVoxels(candidate, made):
        scene.RemoveNode(made)
        return candidate
    if candidate is not None and candidate.GetAttribute(UIDS):
        made.SetAttribute(UIDS, candidate.GetAttribute(UIDS))
    return made


def takeOver(case, former):
    """Let a new case show its result in the nodes of a former one for the same volume, as far as they fit."""
    case.uncertainty, case.hintsNode = alive(former.uncertainty), alive(former.hintsNode)
    segmentation = alive(former.segmentation)
    there = segmentation is not None and segmentation.GetSegmentation().GetSegment(former.segmentId) is not None
    if there and nodes.sameGrid(case.volume, former.grid):
        case.segmentation, case.segmentId = segmentation, former.segmentId


def readSegmentation(scene, case, title):
    """Give a case a new segmentation."""
    file = os.path.join(case.folder, "ctv.seg.nrrd")
    case.segmentation = nodes.readNode(scene, "Segmentation", file, scene.GenerateUniqueName(f"{title} CTV"))
    case.segmentId = case.segmentation.GetSegmentation().GetNthSegmentID(0)


def showMask(scene, case, result):
    """Show mask and hints of an answer."""
    nodes.setMask(case.segmentation, case.segmentId, unpacked(result["mask"]), case.grid["affine"])
    case.answered = nodes.digestOf(case.segmentation, case.segmentId)
    case.volumeMl = result["volume_ml"]
    case.hints = result["hints"]["hints"]
    if case.hints or case.hintsNode:
        case.hintsNode = nodes.setHints(scene, alive(case.hintsNode), case.hints, case.volume)


def showAssessment(scene, case, result):
    """Show warnings and uncertainty of an answer."""
    case.warnings = result["warnings"]
    doubt = np.flip(unpacked(result["doubt"]), nodes.flippedAxes(case.volume, case.grid) or ())
    case.uncertainty = nodes.setUncertainty(scene, alive(case.uncertainty), doubt, case.volume)


def fileTitle(name):
    """Return a name that can be that of a file."""
    return re.sub(r"[^\w .()-]+", "_", name).strip(" .") or "volume"
