"""Exports of a planning system for tests: studies of phantoms with hashed names, and their structure sets."""

import hashlib

import numpy as np
import pydicom

from prostate_seg import read
from prostate_seg.geometry.things import Thing
from prostate_seg.geometry.volume import Segmentation
from prostate_seg.phantom import make_phantom
from prostate_seg.training.export_pairs import Wanted, pair_export
from prostate_seg.training.roi_choice import patterns_of
from prostate_seg.writing import write
from prostate_seg.writing.dicom.ultrasound import write_us

NAMES = ("CTV", "Urethra", "Rectal wall")
SHAPE, SPACING = (64, 48, 12), (1.2, 1.2, 4.0)


def hashed(name):
    return hashlib.sha256(name.encode()).hexdigest()[:16]


def study(folder, number, *, patient=None, contours=True):
    """One patient: a series of slices with hashed names, and a structure set in another folder."""
    phantom = make_phantom(60 + number, shape=SHAPE, spacing_mm=SPACING)
    place = folder / hashed(f"study{number % 2}") / hashed(f"series{number}")
    place.mkdir(parents=True)
    write_us(phantom.image, place, kind="series", seed=60 + number)
    for file in sorted(place.glob("*.dcm")):
        dataset = pydicom.dcmread(file)
        dataset.PatientID = patient or f"MRN{number}"
        dataset.PatientName = f"Doe^{number}"
        dataset.save_as(place / hashed(file.name))  # no suffix, as systems export
        file.unlink()
    truth = np.zeros(SHAPE, np.uint8)
    if not contours:
        return phantom, truth, None
    volume = read(place)
    masks = [phantom.structures[name] for name in ("ctv", "urethra", "rectal_wall")]
    lines = (Thing("Needle", volume_point(volume, (30, 20, 2)), volume_point(volume, (30, 20, 9)), 0.65),)
    found = Segmentation(
        masks[0].astype(np.uint8), volume.affine, structures={"uretra": masks[1], "Rectum_wall": masks[2]},
        things=lines,
    )  # fmt: skip
    target = folder / hashed("structure sets")
    target.mkdir(parents=True, exist_ok=True)
    file = target / hashed(f"rs{number}")
    made = target / f"rs{number}.dcm"
    write(found, made, format="rtstruct", image=volume)
    dataset = pydicom.dcmread(made)
    dataset.StructureSetROISequence[0].ROIName = "Prostate"
    dataset.save_as(file)
    made.unlink()
    return phantom, masks, file


def volume_point(volume, index):
    x, y, z, _ = volume.affine @ [*index, 1.0]
    return (float(x), float(y), float(z))


def changed(file, **values):
    dataset = pydicom.dcmread(file)
    for name, value in values.items():
        setattr(dataset, name, value)
    dataset.save_as(file)


def paired(export, *roi, **options):
    return pair_export([export], Wanted(patterns_of(roi), **options))


def reasons(found):
    return {one.name: one.reason for one in found.left_over}


def without_images(file, *, of_series=True):
    """Take the references to single images out of a structure set."""
    dataset = pydicom.dcmread(file)
    for roi in dataset.ROIContourSequence:
        for contour in roi.ContourSequence:
            if "ContourImageSequence" in contour:
                del contour.ContourImageSequence
    series = (
        dataset.ReferencedFrameOfReferenceSequence[0].RTReferencedStudySequence[0].RTReferencedSeriesSequence[0]
    )
    if "ContourImageSequence" in series:
        del series.ContourImageSequence
    if not of_series:
        series.SeriesInstanceUID = "1.2.3"
    dataset.save_as(file)


def move(file, number):
    """Move the contours of an ROI off the image."""
    dataset = pydicom.dcmread(file)
    for contour in dataset.ROIContourSequence[number].ContourSequence:
        contour.ContourData = [f"{float(value) + 500:.3f}" for value in contour.ContourData]
    dataset.save_as(file)


def small(number):
    return make_phantom(number, shape=(40, 30, 8), spacing_mm=(2.0, 2.0, 4.0))
