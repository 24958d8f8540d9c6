"""Ultrasound DICOM as scanners write it: the right pixels, and what real files give."""

import contextlib
import os
import time
import tracemalloc
from io import BytesIO
from pathlib import Path

import gdcm
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk  # noqa: N813
from PIL import Image
from pydicom.encaps import encapsulate
from pydicom.examples import get_path
from pydicom.uid import JPEG2000Lossless, JPEGBaseline8Bit, JPEGLSLossless

from prostate_seg.errors import GeometryError, InputError
from prostate_seg.geometry.volume import Volume, affine_from_lps
from prostate_seg.reading.cases import read
from prostate_seg.reading.dicom.pixels import decode_luma
from prostate_seg.reading.dicom.ultrasound import read_header
from prostate_seg.reading.luma import luma
from prostate_seg.writing.dicom.ultrasound import ScannerConventions, write_us

DATA = os.environ.get("PROSTATE_SEG_DATA")
US_FILES = sorted(Path(DATA, "us_dicom").glob("*.dcm")) if DATA else []


def sweep(shape=(24, 20, 5), spacing_mm=(0.3, 0.4, 2.0)):
    array = np.random.default_rng(1).integers(20, 255, shape).astype(np.uint8)
    return Volume(array, affine_from_lps(np.eye(3), np.array(spacing_mm), np.zeros(3)))


@pytest.fixture
def multiframe(tmp_path):
    """Writes a sweep as US Multi-frame after an edit of its data set, and returns its path."""

    def write(edit=lambda dataset: None, conventions=ScannerConventions(), volume=None):  # noqa: B008
        path = write_us(volume or sweep(), tmp_path / "written", conventions=conventions)[0]
        dataset = pydicom.dcmread(path)
        edit(dataset)
        dataset.save_as(tmp_path / "scan.dcm")
        return tmp_path / "scan.dcm"

    return write


class TestPixels:
    @pytest.mark.parametrize("syntax", [JPEGLSLossless, JPEG2000Lossless])
    def test_lossless_compression_gives_the_written_grays(self, multiframe, syntax):
        large = sweep(shape=(72, 64, 2))  # JPEG 2000 wants 64 pixels
        volume = read(multiframe(lambda dataset: dataset.compress(syntax), volume=large))
        np.testing.assert_array_equal(volume.array, large.array)

    def test_lossless_jpeg_gives_the_written_grays(self, multiframe, tmp_path):
        reader, change, writer = gdcm.ImageReader(), gdcm.ImageChangeTransferSyntax(), gdcm.ImageWriter()
        reader.SetFileName(str(multiframe()))
        assert reader.Read()
        change.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.JPEGLosslessProcess14_1))
        change.SetInput(reader.GetImage())
        assert change.Change()
        writer.SetFileName(str(tmp_path / "lossless.dcm"))
        writer.SetFile(reader.GetFile())
        writer.SetImage(change.GetOutput())
        assert writer.Write()
        np.testing.assert_array_equal(read(tmp_path / "lossless.dcm").array, sweep().array)

    def test_baseline_jpeg_gives_the_grays_that_pillow_gives(self, multiframe):
        smooth = sweep().with_array(
            np.add.outer(np.arange(40, 88, 2), np.arange(100, 140, 2))[..., None].astype(np.uint8)
        )
        expected = []

        def compress(dataset):
            buffer = BytesIO()
            Image.fromarray(smooth.array[..., 0].T).save(buffer, "JPEG", quality=90)
            expected.append(np.asarray(Image.open(buffer)).T)
            dataset.PixelData = encapsulate([buffer.getvalue()])
            dataset.file_meta.TransferSyntaxUID = JPEGBaseline8Bit

        volume = read(multiframe(compress, volume=smooth))
        np.testing.assert_array_equal(volume.array[..., 0], expected[0])

    def test_colour_becomes_luma_0_299_0_587_0_114(self, multiframe):
        def paint(dataset):
            pixels = np.zeros((5, 20, 24, 3), np.uint8)
            pixels[:] = (200, 100, 50)  # 59.8 + 58.7 + 5.7 = 124.2
            pixels[:, 0, 0] = 255
            dataset.PixelData, dataset.SamplesPerPixel = pixels.tobytes(), 3
            dataset.PhotometricInterpretation, dataset.PlanarConfiguration = "RGB", 0

        assert np.unique(read(multiframe(paint)).array).tolist() == [124, 255]

    def test_an_undecodable_transfer_syntax_is_named(self, multiframe):
        def jpeg_xl(dataset):
            dataset.PixelData = encapsulate([b"\xff\x0a\0\0"] * 5)
            dataset.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.201"  # pydicom writes only what it knows

        path = multiframe(jpeg_xl)
        path.write_bytes(path.read_bytes().replace(b"1.2.840.10008.1.2.4.201", b"1.2.840.10008.1.2.4.110"))
        with pytest.raises(InputError, match=r"cannot be decoded.*'JPEG XL Lossless'"):
            read(path)

    def test_pixel_data_that_are_cut_short_are_refused(self, multiframe):
        def cut(dataset):
            dataset.PixelData = dataset.PixelData[:1000]

        with pytest.raises(InputError, match="cannot be decoded"):
            read(multiframe(cut))

    def test_200_damaged_headers_are_read_or_refused_never_a_crash(self, multiframe):
        path, random = multiframe(), np.random.default_rng(3)
        whole = path.read_bytes()
        for number in range(200):
            damaged = bytearray(whole[: random.integers(1, len(whole))] if number % 5 == 0 else whole)
            for place in random.integers(132, 2200, 3):
                if place < len(damaged):
                    damaged[place] = random.integers(0, 256)
            path.write_bytes(bytes(damaged))
            with contextlib.suppress(InputError):
                read(path)

    def test_all_black_frames_are_refused_but_some_black_frames_are_not(self, multiframe):
        some, none = sweep().array.copy(), np.zeros((24, 20, 5), np.uint8)
        some[..., 3:] = 0
        assert read(multiframe(volume=sweep().with_array(some))).array.shape == (24, 20, 5)
        with pytest.raises(InputError, match="all 5 frames are black"):
            read(multiframe(volume=sweep().with_array(none)))

    def test_burned_in_annotation_that_is_not_denied_is_warned_of(self, multiframe):
        assert read(multiframe()).warnings == ()
        warned = read(multiframe(lambda dataset: delattr(dataset, "BurnedInAnnotation"))).warnings
        assert "(0028,0301)" in warned[0]


def test_reading_takes_less_than_three_times_the_decoded_volume_and_a_second(tmp_path):
    volume = sweep(shape=(512, 512, 230))  # 60 MB
    path = write_us(volume, tmp_path)[0]
    started = time.perf_counter()
    read(path)
    seconds = time.perf_counter() - started
    tracemalloc.start()
    read(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1.5 * volume.array.nbytes
    assert seconds < 5  # half a second on an idle machine


def test_a_region_calibrated_for_another_image_size_is_warned_of_in_pydicoms_own_example():
    with pytest.raises(GeometryError, match="30 frames increment by time"):
        read(get_path("ybr_color"))
    volume = read(get_path("ybr_color"), frame_spacing_mm=1.0)
    assert volume.array.shape == (320, 240, 30)
    assert "reaches column 595 and row 414 of an image of 320 x 240" in volume.warnings[0]
    assert not volume.array[:84].any()


@pytest.mark.parametrize("name", ["rgb_color", "jpeg2k"])
def test_pydicoms_uncalibrated_examples_are_refused(name):
    with pytest.raises(GeometryError, match="no in-plane calibration"):
        read(get_path(name))


def test_pydicoms_palette_example_is_one_slice_of_0_262_mm():
    volume = read(get_path("palette_color"))
    assert volume.array.shape == (800, 350, 1)
    assert volume.spacing_mm[:2] == pytest.approx((0.2622878766, 0.2622878766))


# file -> (columns, rows, frames) and in-plane spacing in mm, or the refusal
REAL = {
    "ITKPOCUS__sonoque_anechoic-3mm-3mm.dcm": ((2083, 1455, 1), 0.0291),
    "cornerstoneWADOImageLoader__US-YBR_FULL_422-EVRLE.dcm": ((800, 555, 1), 0.0616),
    "cornerstoneWADOImageLoader__no-pixel-spacing.dcm": ((800, 600, 1), 0.330542),
    "pydicom-data__JPGLosslessP14SV1_1s_1f_8b.dcm": ((1024, 768, 1), 0.254767),
    "pydicom-data__OBXXXX1A_2frame.dcm": "no distance between its frames",
    "pydicom-data__OBXXXX1A_rle_2frame.dcm": "no distance between its frames",
    "pydicom-data__US1_J2KI.dcm": "no in-plane calibration",
    "pydicom-data__color-pl.dcm": "no in-plane calibration",
    "pydicom-data__gdcm-US-ALOKA-16.dcm": ((640, 480, 1), 0.382653),
    "pydicom_data-1.0.0__color3d_jpeg_baseline.dcm": "120 frames increment by time",
    "pylibjpeg-data__JPEGLosslessP14SV1_3s_2f_u_08_08.dcm": "2 frames increment by time",
}


@pytest.mark.realdata
@pytest.mark.skipif(not DATA, reason="PROSTATE_SEG_DATA is not set")
class TestRealFiles:
    def test_the_table_names_every_file(self):
        assert [path.name for path in US_FILES] == sorted(REAL)

    @pytest.mark.parametrize("path", US_FILES, ids=lambda path: path.name)
    def test_each_file_gives_its_spacing_or_its_refusal(self, path):
        expected = REAL[path.name]
        if isinstance(expected, str):
            with pytest.raises(GeometryError, match=expected):
                read(path)
            return
        volume = read(path)
        assert volume.array.shape == expected[0]
        assert volume.spacing_mm[:2] == pytest.approx((expected[1], expected[1]), rel=1e-4)
        assert volume.array.any()

    @pytest.mark.parametrize("path", US_FILES, ids=lambda path: path.name)
    def test_each_files_pixels_are_those_of_another_decoder(self, path):
        ours = np.stack(list(decode_luma(path, read_header(path))))
        if path.name.startswith("ITKPOCUS"):  # says RGB, is YBR: ITK takes it at its word, Pillow looks
            data = pydicom.dcmread(path).PixelData
            theirs = luma(np.asarray(Image.open(BytesIO(data[data.index(b"\xff\xd8") :])).convert("RGB")))
        else:
            image = sitk.ReadImage(str(path))
            theirs = sitk.GetArrayFromImage(image)
            if image.GetNumberOfComponentsPerPixel() == 3:
                theirs = luma((theirs >> 8).astype(np.uint8) if theirs.dtype == np.uint16 else theirs)
        np.testing.assert_array_equal(ours, theirs.reshape(ours.shape))
