"""Other people's programs that read what we write (dciodvfy, dcmqi, plastimatch), and studies for them."""

import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import SimpleITK as sitk  # noqa: N813
from scipy.spatial.transform import Rotation

from prostate_seg import read
from prostate_seg.geometry.volume import Segmentation, affine_from_lps, swap_ras_lps
from prostate_seg.phantom import make_phantom
from prostate_seg.writing import write
from prostate_seg.writing.contoured_volume import Author, ContouredVolume
from prostate_seg.writing.dicom.ultrasound import write_us

KINDS = ("multiframe", "series", "series-without-positions", "enhanced-volume")
STEP_MM = 4.0
MAKER = Author("prostate_us_segmenter", "0.1.0")
BIN = Path(sys.executable).parent


def phantom_on(turn):
    """A phantom of 80 x 60 x 12 voxels of 1.2 x 1.0 x 4.0 mm, axial, or turned by 20, -15 and 30 degrees."""
    phantom = make_phantom(5, shape=(80, 60, 12), spacing_mm=(1.2, 1.0, STEP_MM))
    angles = (20, -15, 30) if turn == "oblique" else (0, 0, 0)
    direction = Rotation.from_euler("xyz", angles, degrees=True).as_matrix()
    affine = affine_from_lps(direction, np.array(phantom.image.spacing_mm), np.array([-31.5, 12.25, 7.0]))
    return replace(phantom, image=replace(phantom.image, affine=affine))


@dataclass
class Study:
    """A phantom as DICOM, as read, and what is handed over; truth: the CTV, bool (I, J, K)."""

    folder: Path
    contoured: ContouredVolume
    truth: np.ndarray
    affine: np.ndarray

    @property
    def world(self):
        """The truth's voxel centres in LPS mm, in a fixed order."""
        return world_points(self.truth, swap_ras_lps(self.affine))


def study(folder, kind, *, photometric="MONOCHROME2", turn="axial", probability=None):
    """Write a phantom as ultrasound DICOM, read it, and put its truth on what was read."""
    phantom = phantom_on(turn)
    write_us(phantom.image, folder / "source", kind=kind, photometric=photometric, seed=3)
    volume = read(folder / "source", frame_spacing_mm=STEP_MM)
    positioned = kind in ("series", "enhanced-volume")
    affine = phantom.image.affine if positioned else volume.affine
    ctv = Segmentation(phantom.truth.labels, volume.affine, probability=probability)
    structures = {"urethra": phantom.structures["urethra"]}
    return Study(folder, ContouredVolume(volume, ctv, MAKER, structures), phantom.structures["ctv"], affine)


def world_points(mask, lps):
    """Voxel centres of a mask in LPS mm, (N, 3), sorted so that two sets can be compared."""
    points = np.argwhere(mask) @ lps[:3, :3].T + lps[:3, 3]
    return points[np.lexsort(points.round(2).T)]


def dicom_errors(path):
    """What dciodvfy calls an error."""
    done = subprocess.run([BIN / "dciodvfy", "-new", path], capture_output=True, text=True, check=False)
    return [line for line in (done.stdout + done.stderr).splitlines() if line.startswith("Error")]


def dcmqi_mask(path, folder, segment=1):
    """A segment as dcmqi gives it back: bool (I, J, K) and its LPS affine."""
    folder.mkdir(exist_ok=True)
    command = [BIN / "segimage2itkimage", "--inputDICOM", path, "--outputDirectory", folder, "-t", "nrrd"]
    subprocess.run(command, capture_output=True, check=True)
    image = sitk.ReadImage(str(folder / f"{segment}.nrrd"))
    lps = np.eye(4)
    lps[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * image.GetSpacing()
    lps[:3, 3] = image.GetOrigin()
    return sitk.GetArrayFromImage(image).transpose(2, 1, 0) > 0, lps


def plastimatch_masks(path, volume, folder):
    """All structures as plastimatch rasterises them on a volume's grid, bool (I, J, K), by name."""
    reference, prefix = folder / "reference.nrrd", folder / "structures"
    write(volume, reference)
    command = [BIN / "plastimatch", "convert", "--input", path, "--fixed", reference, "--output-prefix", prefix]
    subprocess.run([*command, "--prefix-format", "nrrd"], capture_output=True, check=True)
    return {
        file.stem: sitk.GetArrayFromImage(sitk.ReadImage(str(file))).transpose(2, 1, 0) > 0
        for file in sorted(prefix.iterdir())
    }


def dice(a, b):
    """Dice of two masks."""
    return 2 * np.count_nonzero(a & b) / (np.count_nonzero(a) + np.count_nonzero(b))
