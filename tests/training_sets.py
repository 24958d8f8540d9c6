"""A small set of training data: phantoms without any fault, in which a test can change one thing."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy import ndimage

from prostate_seg import read
from prostate_seg.geometry.volume import Segmentation, Volume, reindexed
from prostate_seg.phantom import make_phantom
from prostate_seg.reading.masks import read_mask
from prostate_seg.writing import write

SHAPE, SPACING_MM = (56, 44, 14), (1.8, 1.8, 4.5)
SEEDS = (300, 301, 302, 303, 304, 305, 307, 309, 312, 313, 317, 319)
ZONES = ("Peripheral zone", "Urethra")


def clean_set(folder):
    """Write twelve patients, four of them for validation; the first one has zones as well."""
    for part in ("images", "labels"):
        (folder / part).mkdir(parents=True)
    cases = []
    for number, seed in enumerate(SEEDS):
        phantom = make_phantom(seed, shape=SHAPE, spacing_mm=SPACING_MM)
        case = {"case": f"c{number}", "patient": f"P{number}", "image": f"images/c{number}.nii.gz"}
        case["label"] = f"labels/c{number}.nii.gz"
        if number == 0:
            case["label"] = "labels/c0.seg.nrrd"
            case["structures"] = dict.fromkeys(ZONES, case["label"])
            zones = {name: phantom.structures[name.lower().replace(" ", "_")] for name in ZONES}
            write(replace(phantom.truth, structures=zones), folder / case["label"])
        else:
            write(phantom.truth, folder / case["label"])
        write(phantom.image, folder / case["image"])
        cases.append(case)
    save(folder, {"training": cases[:8], "validation": cases[8:]})
    return folder


def save(folder, content):
    (folder / "datalist.json").write_text(json.dumps(content))


class Spoiled:
    """A copy of the set in which one thing can be changed."""

    def __init__(self, folder):
        self.folder = folder
        self.content = json.loads((folder / "datalist.json").read_text())
        self.cases = {case["case"]: case for part in self.content.values() for case in part}

    def image(self, name):
        return read(self.folder / self.cases[name]["image"])

    def mask(self, name):
        return read_mask(self.folder / self.cases[name]["label"])

    def put(self, name, *, image=None, mask=None):
        if image is not None:
            write(image, self.folder / self.cases[name]["image"])
        if mask is not None:
            write(mask, self.folder / self.cases[name]["label"])

    def draw(self, name, change):
        """Change the voxels of a mask: a function of its bool array."""
        mask = self.mask(name)
        self.put(name, mask=replace(mask, labels=change(mask.mask()).astype(np.uint8)))

    def both(self, name, change):
        """Change image and mask by a function of array and affine."""
        image, mask = self.image(name), self.mask(name)
        (gray, affine), (labels, _) = (change(array, image.affine) for array in (image.array, mask.labels))
        labels = np.ascontiguousarray(labels)
        self.put(name, image=Volume(np.ascontiguousarray(gray), affine), mask=Segmentation(labels, affine))

    def add(self, name, section, **entries):
        case = {"case": name, "image": f"images/{name}.nii.gz", "label": f"labels/{name}.nii.gz", **entries}
        self.content[section].append(case)
        self.cases[name] = case

    def save(self):
        save(self.folder, self.content)
        return self.folder


def resampled(image, mask, zoom, *, gamma=1.0, mirrored=False):
    """The same scan as another scanner might store it: other spacing and gray, cropped by two columns and rows."""
    gray = ndimage.zoom(image.array.astype(np.float32), zoom, order=1)[2:-2, 2:-2]
    labels = (ndimage.zoom(mask.mask().astype(np.float32), zoom, order=1) >= 0.5)[2:-2, 2:-2].astype(np.uint8)
    gray = (255 * (np.clip(gray, 0, 255) / 255) ** gamma).astype(np.uint8)
    if mirrored:
        gray, labels = gray[::-1], labels[::-1]
    step = np.array(image.array.shape) / np.rint(np.array(image.array.shape) * zoom)
    affine = reindexed(image.affine, shift=(2, 2, 0), scale=step)
    return Volume(np.ascontiguousarray(gray), affine), Segmentation(np.ascontiguousarray(labels), affine)


def copied(folder, name):
    """A copy of the clean set in a new folder."""
    shutil.copytree(folder, Path(name))
    return Spoiled(Path(name))
