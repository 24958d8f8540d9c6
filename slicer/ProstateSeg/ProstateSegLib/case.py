"""A segmented volume of the scene."""

from dataclasses import dataclass


@dataclass
class Case:
    """Nodes of a segmented volume.

    Attributes
    ----------
    name
        Name of the case for the worker.
    volume, segmentation, uncertainty, hintsNode
        Nodes; the last two are None until they are shown.
    segmentId
        Segment of the CTV.
    folder
        Temporary folder for files.
    grid
        Grid and transverse slices of the image, from the worker.
    isDicom
        Whether the image was read from DICOM files.
    hints
        Accepted hints, in the order in which they were given.
    warnings
        Sentences for the user.
    volumeMl
        Volume of the CTV in millilitres.
    isFromFiles
        Whether the image was read from files of the user instead of the volume node.
    """

    name: str
    volume: object
    segmentation: object
    segmentId: str
    folder: str
    grid: dict
    isDicom: bool
    hints: list
    warnings: list
    volumeMl: float
    uncertainty: object = None
    hintsNode: object = None
    isFromFiles: bool = False
