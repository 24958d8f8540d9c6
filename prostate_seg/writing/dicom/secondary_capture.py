"""Slices with the contours burned in, for viewers that draw no segmentation on ultrasound.

One Multi-frame True Color Secondary Capture (PS3.3 A.8.5), a frame for each slice.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MultiFrameTrueColorSecondaryCaptureImageStorage

from ...geometry.volume import Array
from ...system.atomic import checked_suffix, replacing
from ..contoured_volume import RESEARCH_ONLY, SOFTWARE, SOFTWARE_VERSION, ContouredVolume
from ..request import Request
from ..view import View, outlines, view_of
from .derived_series import LOSSY
from .source import content_moment, image_reference, patient_and_study, source_header

SERIES_NUMBER = 403
LONGEST_SIDE = 640  # pixels
MARGIN = 14  # pixels below a slice, for the legend
_TEXT = (255, 255, 255)


def write_secondary_capture(path: Path, contoured: ContouredVolume) -> None:
    """Write the slices with all contours burned in. The same contoured gives the same bytes.

    Raise OutputError if the source is not DICOM or the file cannot be written.
    """
    checked_suffix(path, ".dcm")
    header = source_header(contoured.volume, path.name)
    view = view_of(contoured.volume, list(contoured.masks.values()))
    frames = _frames(view, contoured)
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = MultiFrameTrueColorSecondaryCaptureImageStorage
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPInstanceUID = contoured.uid("secondary capture")
    dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.update(patient_and_study(header))
    dataset.SOPClassUID, dataset.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    dataset.Modality, dataset.ConversionType = "OT", "SYN"
    dataset.SeriesInstanceUID = contoured.uid("secondary capture, series")
    dataset.SeriesNumber, dataset.InstanceNumber = SERIES_NUMBER, 1
    dataset.SeriesDescription = f"Prostate contours burned in, {RESEARCH_ONLY}"
    dataset.Manufacturer, dataset.SoftwareVersions = SOFTWARE, SOFTWARE_VERSION
    dataset.SecondaryCaptureDeviceManufacturer = SOFTWARE
    dataset.ContentDate, dataset.ContentTime = content_moment(header)
    dataset.ImageType, dataset.BurnedInAnnotation = ["DERIVED", "SECONDARY"], "YES"
    dataset.DerivationDescription = f"Contours of {contoured.author.name} {contoured.author.version} burned in"
    dataset.ImageComments = f"Not for measuring: contours are burned in. {RESEARCH_ONLY}."
    dataset.PatientOrientation, dataset.BodyPartExamined = None, "PROSTATE"
    dataset.SourceImageSequence = _sources(contoured)
    dataset.LossyImageCompression = "00"
    for keyword in LOSSY:
        if keyword in header:  # once lossy, always lossy (PS3.3 C.7.6.1.1.5)
            dataset[keyword] = header[keyword]
    count, dataset.Rows, dataset.Columns = frames.shape[:3]
    dataset.NumberOfFrames = count
    dataset.PageNumberVector = list(range(1, count + 1))
    dataset.FrameIncrementPointer = 0x00182001
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation, dataset.PlanarConfiguration = 3, "RGB", 0
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit, dataset.PixelRepresentation = 7, 0
    data = frames.tobytes()
    dataset.PixelData = data + b"\0" * (len(data) % 2)
    dataset["PixelData"].VR = "OB"
    with replacing(path) as temporary:
        dataset.save_as(temporary, enforce_file_format=True)


def _sources(contoured: ContouredVolume) -> list[object]:
    """Return a reference to each source image, once; of a multi-frame image to all its frames."""
    found: dict[str, object] = {}
    for k in range(contoured.volume.array.shape[2]):
        reference = image_reference(contoured.volume, k)
        if "ReferencedFrameNumber" in reference:
            del reference.ReferencedFrameNumber
        found.setdefault(str(reference.ReferencedSOPInstanceUID), reference)
    return list(found.values())


def _frames(view: View, contoured: ContouredVolume) -> Array:
    """Return the frames, uint8 (K, rows, columns, 3), with square pixels."""
    width_mm, height_mm = view.extent_mm
    per_mm = LONGEST_SIDE / max(width_mm, height_mm)
    size = (max(1, round(width_mm * per_mm)), max(1, round(height_mm * per_mm)))
    shown = [(contoured.ctv.meaning(name).colour, view.of(mask)) for name, mask in contoured.masks.items()][::-1]
    scale = np.array(view.pixel_mm) * per_mm
    legend = [(name, contoured.ctv.meaning(name).colour, contoured.remark_on(name)) for name in contoured.masks]
    count = view.gray.shape[2]
    frames = np.zeros((count, size[1] + MARGIN * (len(legend) + 1), size[0], 3), np.uint8)
    for index in range(count):
        gray = Image.fromarray(np.ascontiguousarray(view.gray[:, :, index].T))
        picture = Image.new("RGB", (size[0], size[1] + MARGIN * (len(legend) + 1)))
        picture.paste(gray.resize(size, Image.Resampling.BICUBIC).convert("RGB"))
        brush = ImageDraw.Draw(picture)
        for colour, mask in shown:
            for line in outlines(mask[:, :, index]):
                brush.line([tuple(point) for point in (line * scale).tolist()], fill=colour, width=2)
        brush.text((4, size[1] + 1), f"slice {view.numbers[index]}, {RESEARCH_ONLY}", fill=_TEXT)
        for row, (name, colour, remark) in enumerate(legend, 1):
            brush.text((4, size[1] + 1 + MARGIN * row), f"{name}{' (phantom-trained)' * bool(remark)}", fill=colour)
        frames[index] = np.asarray(picture)
    return frames


def write_structures(path: Path, request: Request) -> None:
    """Write the slices with the CTV and further structures burned in."""
    write_secondary_capture(path, request.contoured)
