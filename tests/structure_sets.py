"""Structure sets and Segmentations as other programs write them, made from our own by changing attributes."""

from copy import deepcopy

import pydicom
from pydicom.sequence import Sequence


def edited(path, change, to=None):
    """Change a DICOM file's dataset by a function, in place or to another path."""
    dataset = pydicom.dcmread(path)
    change(dataset)
    dataset.save_as(to or path)
    return to or path


def add_roi(dataset, name, kind, points, number=None):
    """Add an ROI of one contour: points (x, y, z) in LPS mm."""
    number = number or max(int(roi.ROINumber) for roi in dataset.StructureSetROISequence) + 1
    roi = deepcopy(dataset.StructureSetROISequence[0])
    roi.ROINumber, roi.ROIName = number, name
    dataset.StructureSetROISequence.append(roi)
    of_roi = deepcopy(dataset.ROIContourSequence[0])
    contour = deepcopy(of_roi.ContourSequence[0])
    contour.ContourGeometricType, contour.NumberOfContourPoints = kind, len(points)
    contour.ContourData = [f"{value:.3f}" for point in points for value in point]
    of_roi.ReferencedROINumber, of_roi.ContourSequence = number, Sequence([contour])
    dataset.ROIContourSequence.append(of_roi)


def first_contour(dataset):
    """The first contour of the first ROI."""
    return dataset.ROIContourSequence[0].ContourSequence[0]
