"""The bytes of a DICOM file are held against its header before memory is taken or a decoder is called."""

import struct
import tracemalloc
import zlib
from io import BytesIO

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.encaps import encapsulate
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    RLELossless,
)

from prostate_seg.errors import InputError
from prostate_seg.geometry.volume import Volume, affine_from_lps
from prostate_seg.reading.cases import read
from prostate_seg.writing.dicom.ultrasound import write_us

MEGABYTE = 1 << 20


def sweep(shape=(24, 20, 14)):
    array = np.random.default_rng(1).integers(20, 255, shape).astype(np.uint8)
    return Volume(array, affine_from_lps(np.eye(3), np.array([0.3, 0.4, 2.0]), np.zeros(3)))


@pytest.fixture
def multiframe(tmp_path):
    """Writes a sweep of 24 x 20 x 14 as US Multi-frame after an edit of its data set, and returns its path."""

    def write(edit=lambda dataset: None, shape=(24, 20, 14)):
        dataset = pydicom.dcmread(write_us(sweep(shape), tmp_path / "written")[0])
        edit(dataset)
        dataset.save_as(tmp_path / "scan.dcm")
        return tmp_path / "scan.dcm"

    return write


def compressed(syntax, frames=None):
    """An edit that compresses the pixels, or replaces them by compressed frames."""

    def edit(dataset):
        if frames is None:
            dataset.compress(syntax)
        else:
            dataset.PixelData = encapsulate(frames)
            dataset["PixelData"].is_undefined_length = True
            dataset.file_meta.TransferSyntaxUID = syntax

    return edit


def jpeg(mode="L", size=(24, 20)):
    buffer = BytesIO()
    gray = np.random.default_rng(2).integers(20, 255, size[::-1]).astype(np.uint8)
    Image.fromarray(gray).convert(mode).save(buffer, "JPEG")
    return buffer.getvalue()


def refused(path, text):
    """The peak of memory in bytes of a reading that must be refused with this text."""
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match=text):
            read(path)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


class TestFrames:
    def test_g7_7_declared_frames_of_14_there_are_refused(self, multiframe):
        def halve(dataset):
            dataset.NumberOfFrames = 7
            del dataset.SliceLocationVector

        refused(multiframe(halve), r"6720 bytes in \(7FE0,0010\) Pixel Data, expected 3360 for 7 frames")

    def test_g7_d4_7_frames_there_of_14_declared_are_counted_in_the_sentence(self, multiframe):
        def cut(dataset):
            dataset.PixelData = dataset.PixelData[:3360]

        refused(multiframe(cut), r"cannot be decoded: 3360 bytes .* expected 6720 for 14 frames of 24 x 20 pixels")

    def test_d4_a_file_that_ends_within_its_pixels_tells_the_bytes_that_are_there(self, multiframe):
        path = multiframe()
        path.write_bytes(path.read_bytes()[:-1000])
        refused(path, r"5720 bytes in \(7FE0,0010\) Pixel Data, expected 6720")

    @pytest.mark.parametrize("number", ["0", "-3"])
    def test_g7_a_number_of_frames_below_1_is_refused(self, multiframe, number):
        text = rf"\(0028,0008\) Number of Frames is {number}, expected at least 1"
        refused(multiframe(lambda dataset: setattr(dataset, "NumberOfFrames", number)), text)

    @pytest.mark.parametrize("number", [1, 13, 15])
    @pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless])
    def test_g7_14_compressed_frames_are_no_1_13_or_15(self, multiframe, number, syntax):
        def edit(dataset):
            dataset.compress(syntax)
            dataset.NumberOfFrames = number
            dataset.pop("SliceLocationVector")

        refused(multiframe(edit), rf"14 compressed frames in \(7FE0,0010\) Pixel Data, expected {number} by")

    @pytest.mark.parametrize("number", [1, 2, 4])
    def test_g7_3_frames_without_an_offset_table_are_no_1_2_or_4(self, multiframe, number):
        def edit(dataset):
            compressed(JPEGBaseline8Bit, [jpeg()] * 3)(dataset)
            dataset.PixelData = encapsulate([jpeg()] * 3, has_bot=False)
            dataset.NumberOfFrames = number
            dataset.pop("SliceLocationVector")

        refused(multiframe(edit), f"3 compressed frames .* expected {number} by")

    def test_one_frame_in_3_fragments_is_one_frame(self, multiframe):
        def edit(dataset):
            compressed(JPEGBaseline8Bit, [])(dataset)
            dataset.PixelData = encapsulate([jpeg()], fragments_per_frame=3, has_bot=False)
            dataset.NumberOfFrames = 1

        expected = np.asarray(Image.open(BytesIO(jpeg()))).T
        np.testing.assert_array_equal(read(multiframe(edit)).array[..., 0], expected)


class TestMemory:
    def test_c4_a_million_declared_frames_of_6720_bytes_take_less_than_10_megabytes(self, multiframe):
        def edit(dataset):
            dataset.NumberOfFrames = 1_000_000
            dataset.pop("SliceLocationVector")

        assert refused(multiframe(edit), "6720 bytes .* expected 480000000") < 10 * MEGABYTE

    def test_c4_2_to_the_31_frames_are_refused_in_less_than_10_megabytes(self, multiframe):
        path = multiframe(lambda dataset: dataset.pop("SliceLocationVector"))
        path.write_bytes(path.read_bytes().replace(b"IS\x02\x0014", b"IS\x0a\x002147483647"))
        assert refused(path, "expected 1030792150560 for 2147483647 frames") < 10 * MEGABYTE

    def test_c4_frames_of_65535_x_65535_pixels_are_refused(self, multiframe):
        def edit(dataset):
            dataset.Rows = dataset.Columns = 65535

        assert refused(multiframe(edit), "frames of 65535 x 65535 pixels") < 10 * MEGABYTE

    def test_c4_a_deflated_file_of_512_megabytes_that_promises_6720_is_not_inflated_beyond_72(self, multiframe):
        def deflate(dataset):
            dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian

        path = multiframe(deflate)
        whole = path.read_bytes()
        start = 132 + 12 + pydicom.dcmread(path).file_meta.FileMetaInformationGroupLength
        engine = zlib.compressobj(1, zlib.DEFLATED, -zlib.MAX_WBITS)
        packed = engine.compress(zlib.decompress(whole[start:], -zlib.MAX_WBITS))
        packed += engine.compress(struct.pack("<HH2sHL", 0xFFFC, 0xFFFC, b"OB", 0, 512 * MEGABYTE))  # Padding
        packed += b"".join(engine.compress(bytes(MEGABYTE)) for _ in range(512)) + engine.flush()
        path.write_bytes(whole[:start] + packed)
        assert refused(path, r"deflated file inflates to over \d+ bytes, expected 6720") < 200 * MEGABYTE

    def test_c4_a_deflated_file_that_is_whole_is_read_and_one_that_is_cut_is_refused(self, multiframe):
        def deflate(dataset):
            dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian

        path = multiframe(deflate)
        np.testing.assert_array_equal(read(path).array, sweep().array)
        path.write_bytes(path.read_bytes()[:-500])
        refused(path, r"deflated file ends after \d+ inflated bytes, expected 6720")

    def test_c4_a_jpeg_2000_of_4000_x_4000_is_refused_by_its_own_header_before_it_is_decoded(self, multiframe):
        def edit(dataset):
            dataset.compress(JPEG2000Lossless)
            size, large = struct.pack(">2L", 72, 64), struct.pack(">2L", 4000, 4000)
            dataset.PixelData = dataset.PixelData.replace(size, large)

        text = "frame 1 is compressed as 4000 x 4000 pixels of 1 samples .* expected 72 x 64"
        assert refused(multiframe(edit, (72, 64, 2)), text) < 10 * MEGABYTE

    def test_c4_an_rle_segment_of_32768_bytes_for_480_pixels_is_refused(self, multiframe):
        frame = struct.pack("<16L", 1, 64, *[0] * 14) + b"\x81\x20" * 16384  # runs of 128: 2 million pixels
        text = "RLE segment of frame 1 has 32768 bytes, expected at most 960 for 24 x 20 pixels"
        path = multiframe(compressed(RLELossless, [frame] * 14))
        assert refused(path, text) < MEGABYTE

    def test_c4_an_rle_segment_of_6_bytes_cannot_hold_480_pixels(self, multiframe):
        frame = struct.pack("<16L", 1, 64, *[0] * 14) + b"\x81\x20" * 3
        refused(multiframe(compressed(RLELossless, [frame] * 14)), "frame 1 is no RLE of 24 x 20 pixels")


class TestContents:
    def test_g8_a_constant_image_of_gray_100_is_refused(self, multiframe):
        def fill(dataset):
            dataset.PixelData = b"d" * 6720

        refused(multiframe(fill), "all 14 frames are of the one gray 100; there is nothing to segment")

    def test_g8_a_colour_jpeg_under_a_gray_header_is_refused_with_3_samples(self, multiframe):
        path = multiframe(compressed(JPEGBaseline8Bit, [jpeg("RGB")] * 14))
        refused(
            path, r"frame 1 is compressed as 24 x 20 pixels of 3 samples .* expected 24 x 20 pixels of 1 samples"
        )

    def test_g8_3_samples_of_a_gray_image_are_refused(self, multiframe):
        def edit(dataset):
            dataset.SamplesPerPixel, dataset.PlanarConfiguration = 3, 0

        refused(multiframe(edit), r"\(0028,0002\) Samples per Pixel is 3, expected 1 for MONOCHROME2")

    def test_g8_a_jpeg_of_another_size_in_frame_3_is_refused(self, multiframe):
        frames = [jpeg(), jpeg(), jpeg(size=(32, 20)), *[jpeg()] * 11]
        refused(multiframe(compressed(JPEGBaseline8Bit, frames)), "frame 3 is compressed as 32 x 20 pixels")

    def test_bytes_that_are_no_jpeg_are_refused_before_a_decoder_sees_them(self, multiframe):
        text = "frame 1 does not begin with a JPEG"
        refused(multiframe(compressed(JPEGBaseline8Bit, [b"no picture, but bytes"] * 14)), text)


@pytest.mark.parametrize("syntax", [JPEG2000Lossless, JPEGLSLossless, JPEGBaseline8Bit])
def test_s2_gdcm_decodes_nothing_that_another_decoder_can(multiframe, monkeypatch, syntax):
    class Used(BaseException):
        """Passes pydicom's search for a decoder that works."""

    class Forbidden:
        def __getattr__(self, name):
            raise Used

    monkeypatch.setattr("pydicom.pixels.decoders.gdcm.gdcm", Forbidden())
    frames = [jpeg(size=(72, 64))] * 2 if syntax == JPEGBaseline8Bit else None
    assert read(multiframe(compressed(syntax, frames), (72, 64, 2))).array.shape == (72, 64, 2)
