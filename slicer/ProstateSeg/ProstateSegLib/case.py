"""A segmented volume of the scene."""

from dataclasses import dataclass, field


@dataclass
class Case:
    """Nodes of a segmented volume.

    Attributes
    ----------
    name
        Name of the case for the worker; no other case has it, also not in another scene.
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
    study
        File or folder of the user that the image was read from; empty if none.
    files
        Copies of the DICOM files that the image was read from.
    hints
        Accepted hints, in the order in which they were given.
    warnings
        Sentences for the user.
    volumeMl
        Volume of the CTV in millilitres.
    answered
        Digest of the voxels of the last answer. It differs from those in the scene if somebody painted.
    """

    name: str
    volume: object
    segmentation: object
    segmentId: str
    folder: str
    grid: dict
    isDicom: bool
    study: str = ""
    files: list = field(default_factory=list)
    hints: list = field(default_factory=list)
    warnings: list = field(default_factory=list)
    volumeMl: float = 0.0
    uncertainty: object = None
    hintsNode: object = None
    answered: str = ""

    @property
    def isFromFiles(self):
        """Whether the image was read from files instead of the volume node."""
        return bool(self.study or self.files)
