"""Low-passed ultrasound volumes and their masks become new training cases with speckle: images/ and labels/.

    python data_prep/respeckle.py FOLDER -o OUT [--copies 3] [--seed 0] [--leave-out case03 case12]

FOLDER holds images/ and labels/ with NIfTI files of equal names. The only label is 1. OUT gets the file
NAME_respeckledN.nii.gz for each case and copy.

Use the new cases for training only. Keep them in the same part of a datalist as their originals, because a copy is
not a new patient.
"""

import argparse
import hashlib
import sys
from pathlib import Path

import nibabel
import numpy as np
from folders import pairs

from prostate_seg import Segmentation, Volume, write
from prostate_seg.phantom.respeckle import respeckle


def upright(path: Path) -> nibabel.Nifti1Image:
    """Read an image and reorient its axes to left, posterior and superior."""
    return nibabel.load(path).as_reoriented(
        nibabel.orientations.ornt_transform(
            nibabel.io_orientation(nibabel.load(path).affine), nibabel.orientations.axcodes2ornt("LPS")
        )
    )


def main() -> None:
    """Write all copies."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--copies", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--leave-out", nargs="*", default=[])
    options = parser.parse_args()
    cases = pairs(options.folder)
    unknown = set(options.leave_out) - set(cases)
    if unknown:
        sys.exit(f"{options.folder} has no case {', '.join(sorted(unknown))}")
    for part in ("images", "labels"):
        (options.output / part).mkdir(parents=True, exist_ok=True)
    for name in sorted(set(cases) - set(options.leave_out)):
        files = cases[name]
        image, label = (upright(file) for file in files)
        volume = Volume(np.asarray(image.dataobj, np.float32), image.affine)
        mask = Segmentation((np.asarray(label.dataobj) > 0).astype(np.uint8), label.affine)
        for copy in range(options.copies):
            seed = int.from_bytes(hashlib.sha256(f"{options.seed} {copy} {name}".encode()).digest()[:6])
            found, truth = respeckle(volume, mask, seed)
            write(found, options.output / "images" / f"{name}_respeckled{copy}.nii.gz")
            write(truth, options.output / "labels" / f"{name}_respeckled{copy}.nii.gz")
            print(f"{name}, copy {copy}: {mask.volume_ml:.1f} mL, now {truth.volume_ml:.1f} mL")


if __name__ == "__main__":
    main()
