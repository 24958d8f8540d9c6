"""A phantom in the module Sample Data, made by prostate-seg on this computer."""

import os
import subprocess
import tempfile

import slicer
from slicer.i18n import tr as _

from . import application
from .nodes import readNode

SEED = 3
THUMBNAIL = os.path.join(os.path.dirname(os.path.dirname(__file__)), "Resources", "Icons", "ProstatePhantom.png")


def registerSampleData():
    """Add a phantom to the module Sample Data. It is made on this computer, not downloaded."""
    from SampleData import SampleDataLogic

    SampleDataLogic.registerCustomSampleDataSource(
        category=_("Prostate segmentation"),
        sampleName="ProstatePhantom",
        uris="",  # the module counts addresses, files and nodes, also if it does not download them
        fileNames="",
        nodeNames="ProstatePhantom",
        customDownloader=makePhantom,
        thumbnailFileName=THUMBNAIL,
    )


def makePhantom(_source=None):
    """Show a new volume with an ultrasound phantom, and return its node; or show an error, and return None."""
    try:
        volume = _phantom()
    except RuntimeError as error:
        slicer.util.errorDisplay(str(error))
        return None
    slicer.util.setSliceViewerLayers(background=volume, fit=True, rotateToVolumePlane=True)
    return volume


def _phantom():
    command, environment = application.program(application.executable(), slicer.util.confirmOkCancelDisplay)
    with tempfile.TemporaryDirectory() as folder:
        arguments = ["phantom", folder, "--seed", str(SEED), "--quiet"]
        try:
            subprocess.run(
                [*command, *arguments],
                env=environment,
                check=True,
                capture_output=True,
                encoding="utf-8",
                errors="replace",
            )
        except (OSError, subprocess.CalledProcessError) as error:
            reason = (getattr(error, "stderr", "") or str(error)).strip()
            raise RuntimeError(f"The phantom was not made ({reason}); set the path of prostate-seg.") from error
        image = os.path.join(folder, "images", f"phantom{SEED}.nii.gz")
        return readNode(slicer.mrmlScene, "ScalarVolume", image, "ProstatePhantom")
