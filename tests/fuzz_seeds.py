"""Valid files of every format that is read, small, made on the spot: what :mod:`fuzz` begins with.

A seed is a case: the content of its files by their names, the one that is opened first.
"""

import csv
import io
import json
import shutil
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import gdcm
import numpy as np
import pydicom
import SimpleITK as sitk  # noqa: N813
from PIL import Image
from pydicom.data import get_testdata_file
from pydicom.encaps import encapsulate
from pydicom.examples import get_path
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLSLossless,
)

from prostate_seg.assessment.shape_model import ShapeModel
from prostate_seg.geometry.volume import Segmentation, Volume, affine_from_lps
from prostate_seg.reading.cases import read
from prostate_seg.system.json_files import write_json
from prostate_seg.writing import write
from prostate_seg.writing.contoured_volume import Author, ContouredVolume
from prostate_seg.writing.dicom.ultrasound import ScannerConventions, write_us
from prostate_seg.writing.formats import write_formats
from prostate_seg.writing.manifest import mask_digest
from prostate_seg.writing.request import Request

Seed = dict[str, bytes]
BUNDLE = Path(__file__).resolve().parents[1] / "bundles" / "prostate_us_segmenter"


def sweep(shape: tuple[int, int, int] = (24, 20, 5)) -> Volume:
    """Smooth echoes of grays 20 to 180 without a black surround."""
    i, j, k = np.indices(shape)
    array = 100 + 80 * np.sin(i / 5) * np.cos(j / 4 + k)
    return Volume(array.astype(np.uint8), affine_from_lps(np.eye(3), np.array([0.3, 0.4, 2.0]), np.zeros(3)))


def gland(volume: Volume) -> Segmentation:
    """A box in the middle of a volume."""
    labels = np.zeros(volume.array.shape, np.uint8)
    labels[8:16, 6:14, 1:4] = 1
    return Segmentation(labels, volume.affine, orientation=volume.orientation)


def contents(folder: Path) -> Seed:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*.*"))}


def dicom_of(edit: Callable[[pydicom.Dataset], None], shape: tuple[int, int, int] = (24, 20, 5)) -> Seed:
    """A US Multi-frame after an edit of its data set."""
    with tempfile.TemporaryDirectory() as place:
        dataset = pydicom.dcmread(write_us(sweep(shape), Path(place))[0])
        edit(dataset)
        stream = io.BytesIO()
        dataset.save_as(stream)
    return {"scan.dcm": stream.getvalue()}


def us(**options: object) -> Seed:
    with tempfile.TemporaryDirectory() as place:
        write_us(sweep(), Path(place) / "scan", **options)  # type: ignore[arg-type]
        return contents(Path(place) / "scan")


def in_syntax(uid: str) -> Callable[[pydicom.Dataset], None]:
    return lambda dataset: setattr(dataset.file_meta, "TransferSyntaxUID", uid)


def baseline(dataset: pydicom.Dataset) -> None:
    frames = []
    for frame in dataset.pixel_array:
        stream = io.BytesIO()
        Image.fromarray(frame).save(stream, "JPEG", quality=90)
        frames.append(stream.getvalue())
    dataset.PixelData = encapsulate(frames)
    dataset["PixelData"].VR = "OB"
    dataset.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    dataset.LossyImageCompression, dataset.LossyImageCompressionRatio = "01", "10"


def lossless() -> Seed:
    """JPEG Lossless, which only GDCM writes."""
    with tempfile.TemporaryDirectory() as place:
        plain, packed = Path(place, "plain.dcm"), Path(place, "packed.dcm")
        plain.write_bytes(us()["scan.dcm"])
        reader, change, writer = gdcm.ImageReader(), gdcm.ImageChangeTransferSyntax(), gdcm.ImageWriter()
        reader.SetFileName(str(plain))
        assert reader.Read()
        change.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.JPEGLosslessProcess14_1))
        change.SetInput(reader.GetImage())
        assert change.Change()
        writer.SetFileName(str(packed))
        writer.SetFile(reader.GetFile())
        writer.SetImage(change.GetOutput())
        assert writer.Write()
        return {"scan.dcm": packed.read_bytes()}


def example(path: object) -> Seed:
    """One of the files that come with pydicom, with a calibration."""
    dataset, stream = pydicom.dcmread(str(path)), io.BytesIO()
    dataset.PixelSpacing = [0.4, 0.4]
    if "SequenceOfUltrasoundRegions" in dataset:
        del dataset.SequenceOfUltrasoundRegions
    dataset.save_as(stream)
    return {"scan.dcm": stream.getvalue()}


def written(name: str, *, mask: bool = False) -> Seed:
    """A volume, or its mask, as the suffix says, by the package's own writers."""
    with tempfile.TemporaryDirectory() as place:
        write(gland(sweep()) if mask else sweep(), Path(place, name))
        return contents(Path(place))


def by_itk(name: str, *, packed: bool = False, colour: bool = False) -> Seed:
    """A volume by SimpleITK, header first."""
    with tempfile.TemporaryDirectory() as place:
        array = sweep().array.T
        image = sitk.GetImageFromArray(np.stack([array] * 3, -1) if colour else array, isVector=colour)
        image.SetSpacing((0.3, 0.4, 2.0))
        sitk.WriteImage(image, str(Path(place, name)), useCompression=packed)
        found = contents(Path(place))
    return {name: found.pop(name), **found}


def ascii_nrrd() -> Seed:
    header = "NRRD0004\ntype: uchar\ndimension: 3\nsizes: 3 2 2\nspacings: 1 1 2\nencoding: ascii\n\n"
    return {"scan.nrrd": (header + " ".join(map(str, range(30, 150, 10)))).encode()}


def zipped(*seeds: Seed) -> Seed:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for number, seed in enumerate(seeds):
            for name, content in seed.items():
                archive.writestr(f"study {number}/{name}", content)
    return {"study.zip": stream.getvalue()}


def case_folder(formats: tuple[str, ...] = ("seg-nrrd", "nrrd")) -> Seed:
    """What ``segment`` leaves of a US Multi-frame: files of formats and the manifest, which comes first."""
    with tempfile.TemporaryDirectory() as place:
        volume = read(write_us(sweep(), Path(place, "scan"))[0])
        ctv, folder = gland(volume), Path(place, "case")
        folder.mkdir()
        outputs = write_formats(folder, Request(ContouredVolume(volume, ctv, Author("fuzz", "1")), formats))
        about = {"acquisition": {"frame_spacing_mm": 2.0, "frame_order": None, "probe_side": None}}
        facts = {"input": {"kind": "us", "sha256": "00"}, "orientation": "assumed", "ctv_sha256": mask_digest(ctv)}
        bundle = {"bundle": {"name": "fuzz", "version": "1", "sha256": "00"}, "drawn": "automatic"}
        write_json(folder / "manifest.json", {**about, **facts, **bundle, "outputs": outputs, "warnings": []})
        found = contents(folder)
    return {"manifest.json": found.pop("manifest.json"), **found}


def dicom_result(name: str, kind: str) -> Seed:
    return {"mask.dcm": case_folder((kind,))[name]}


def explicit(seed: Seed) -> Seed:
    """A DICOM file in explicit VR, whose attributes can be found without a dictionary."""
    dataset = pydicom.dcmread(io.BytesIO(seed["mask.dcm"]))
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    stream = io.BytesIO()
    dataset.save_as(stream)
    return {"mask.dcm": stream.getvalue()}


def bundle() -> Seed:
    """The released bundle with a tiny network of random weights."""
    import torch
    from conftest import shrink

    from prostate_seg.inference.settings import build

    settings = json.loads(
        (BUNDLE / "configs" / "inference.json").read_text().replace("[72, 48, 32]", "[48, 32, 16]")
    )
    shrink(settings)
    stream = io.BytesIO()
    torch.save(build(settings["network_def"]).state_dict(), stream)
    metadata = (BUNDLE / "configs" / "metadata.json").read_bytes()
    return {
        "configs/inference.json": json.dumps(settings, indent=1).encode(),
        "configs/metadata.json": metadata,
        "models/model.pt": stream.getvalue(),
    }


def table() -> Seed:
    rows = [{"case": f"c{n}", "patient": f"p{n}", "dice": 0.9, "hd_mm": 4.5, "hd95_mm": 2.5, "assd_mm": 1.0,
             "diagonal_mm": 90.0, "reference_volume_ml": 30.0, "error": ""} for n in range(4)]  # fmt: skip
    stream = io.StringIO()
    writer = csv.DictWriter(stream, rows[0])
    writer.writeheader()
    writer.writerows(rows)
    return {"metrics.csv": stream.getvalue().encode()}


def shape_model() -> Seed:
    masks = [(gland(sweep()).labels[:, :, :5] == 1, (0.9 + n / 10, 1.0, 2.0)) for n in range(6)]
    with tempfile.TemporaryDirectory() as place:
        ShapeModel.of(masks).save(Path(place, "model.npz"))
        return contents(Path(place))


def datalist() -> Seed:
    case = {"image": "a.nii.gz", "label": "a_ctv.nii.gz", "patient": "A", "frame_spacing_mm": 2.0}
    listed = {"description": "fuzz", "training": [case], "validation": [], "testing": []}
    return {"datalist.json": json.dumps(listed, indent=1).encode(), "a.nii.gz": b"", "a_ctv.nii.gz": b""}


def hints() -> list[Seed]:
    ring = [[-3.0, -4.0, 4.0], [-5.0, -4.0, 4.0], [-5.0, -6.5, 4.0]]
    rows = [{"type": "plane", "end": "apex", "slice": 2}, {"type": "contour", "slice": 3, "outlines_mm": [ring]},
            {"type": "scribble", "side": "inside", "path_mm": ring, "radius_mm": 1.5}]  # fmt: skip
    points = [
        {"label": f"base {n}", "position": point, "positionStatus": "defined"} for n, point in enumerate(ring)
    ]
    marked = [
        {"type": kind, "coordinateSystem": "RAS", "controlPoints": points} for kind in ("Fiducial", "ClosedCurve")
    ]
    contents = ({"space": "RAS mm", "image_sha256": "", "hints": rows}, {"markups": marked})
    return [{"hints.json": json.dumps(content, indent=1).encode()} for content in contents]


def rle() -> list[Seed]:
    return [
        us(conventions=ScannerConventions(rle=True)),
        us(conventions=ScannerConventions(rle=True), photometric="RGB"),
    ]


FORMATS: dict[str, Callable[[], list[Seed]]] = {
    "dicom-multiframe": lambda: [
        us(),
        us(photometric="RGB"),
        us(kind="enhanced-volume"),
        example(get_path("rgb_color")),
    ],
    "dicom-series": lambda: [us(kind="series"), us(kind="series-without-positions")],
    "dicom-syntaxes": lambda: (
        [dicom_of(in_syntax(uid)) for uid in (DeflatedExplicitVRLittleEndian, ImplicitVRLittleEndian)]
        + [example(get_testdata_file("ExplVR_BigEnd.dcm", download=False))]
    ),
    "dicom-palette": lambda: [us(photometric="PALETTE COLOR"), example(get_path("palette_color"))],
    "dicom-rle": rle,
    "dicom-jpeg": lambda: [dicom_of(baseline), lossless(), example(get_path("ybr_color"))],
    "dicom-jpegls": lambda: [dicom_of(lambda dataset: dataset.compress(JPEGLSLossless))],
    "dicom-jpeg2000": lambda: [
        dicom_of(lambda dataset: dataset.compress(JPEG2000Lossless), (72, 64, 2)),
        example(get_path("jpeg2k")),
    ],
    "nifti": lambda: [written("scan.nii"), written("scan.nii.gz")],
    "nrrd": lambda: [written("scan.nrrd"), by_itk("scan.nhdr"), by_itk("scan.nhdr", packed=True), ascii_nrrd()],
    "metaimage": lambda: [
        written("scan.mha"),
        by_itk("scan.mhd"),
        by_itk("scan.mhd", packed=True),
        by_itk("scan.mha", colour=True),
    ],
    "zip": lambda: [zipped(us(kind="series"), by_itk("scan.mhd")), zipped(written("scan.nii.gz"))],
    "mask-files": lambda: [written(name, mask=True) for name in ("m.nii.gz", "m.seg.nrrd", "m.nrrd", "m.mha")],
    "mask-seg": lambda: [dicom_result("ctv_seg.dcm", "dicom-seg")],
    "mask-rtstruct": lambda: [explicit(dicom_result("ctv_rtstruct.dcm", "rtstruct"))],
    "bundle": lambda: [bundle()],
    "manifest": lambda: [case_folder()],
    "table": lambda: [table()],
    "shape-model": lambda: [shape_model()],
    "datalist": lambda: [datalist()],
    "hints": hints,
}


def put(seed: Seed, folder: Path) -> Path:
    """Write a seed's files into an empty folder; returns the first."""
    shutil.rmtree(folder, ignore_errors=True)
    for name, content in seed.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder / next(iter(seed))
