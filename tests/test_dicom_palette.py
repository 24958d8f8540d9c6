"""Palettes give one image whatever the order of the bytes and the width of their entries."""

import numpy as np
import pydicom
import pytest
from pydicom.examples import get_path
from pydicom.uid import ExplicitVRBigEndian

from prostate_seg.geometry.volume import Volume, affine_from_lps
from prostate_seg.reading.cases import read
from prostate_seg.reading.dicom.pixels import decode_luma
from prostate_seg.reading.dicom.ultrasound import read_header
from prostate_seg.writing.dicom.ultrasound import write_us

COLOURS = ("Red", "Green", "Blue")


def table(dataset, colour):
    return getattr(dataset, f"{colour}PaletteColorLookupTableData")


def set_table(dataset, colour, words, bits):
    """Write a palette of 256 entries in words of a type, told to have this many bits."""
    setattr(dataset, f"{colour}PaletteColorLookupTableDescriptor", [256, 0, bits])
    setattr(dataset, f"{colour}PaletteColorLookupTableData", words.tobytes())


def to_big_endian(dataset, path):
    """Write a data set with words of 16 bits in big endian; pydicom swaps no OW itself."""
    for colour in COLOURS:
        words = np.frombuffer(table(dataset, colour), "<u2").astype(">u2")
        setattr(dataset, f"{colour}PaletteColorLookupTableData", words.tobytes())
    dataset.decode()  # else pydicom writes the bytes that it read
    dataset["PixelData"].VR = "OB"
    dataset.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    pydicom.dcmwrite(path, dataset, implicit_vr=False, little_endian=False)
    return path


@pytest.fixture
def gray_palette(tmp_path):
    """A US Multi-frame of 24 x 20 x 2 whose palette entry n is the gray 255 - n, and its grays."""
    grays = np.random.default_rng(1).integers(20, 255, (24, 20, 2)).astype(np.uint8)
    volume = Volume(grays, affine_from_lps(np.eye(3), np.array([0.3, 0.4, 2.0]), np.zeros(3)))
    return pydicom.dcmread(write_us(volume, tmp_path / "written", photometric="PALETTE COLOR")[0]), grays


def test_g4_pydicoms_palette_example_is_the_same_image_in_big_endian(tmp_path):
    path = to_big_endian(pydicom.dcmread(get_path("palette_color")), tmp_path / "big.dcm")
    little, big = (
        np.stack(list(decode_luma(file, read_header(file)))) for file in (get_path("palette_color"), path)
    )
    assert little.max() == 255
    np.testing.assert_array_equal(big, little)


def test_g4_a_palette_of_big_endian_is_not_inverted(tmp_path, gray_palette):
    dataset, grays = gray_palette
    for colour in COLOURS:  # high byte 255 - n, low byte n: the other order is the negative
        set_table(dataset, colour, np.arange(255, -1, -1, dtype="<u2") * 256 + np.arange(256, dtype="<u2"), 16)
    np.testing.assert_array_equal(read(to_big_endian(dataset, tmp_path / "big.dcm")).array, grays)


@pytest.mark.parametrize("big", [False, True])
def test_g4_entries_of_8_bits_in_words_of_16_are_not_black(tmp_path, gray_palette, big):
    dataset, grays = gray_palette
    for colour in COLOURS:
        set_table(dataset, colour, np.arange(255, -1, -1, dtype="<u2"), 8)
    if big:
        to_big_endian(dataset, tmp_path / "narrow.dcm")
    else:
        dataset.save_as(tmp_path / "narrow.dcm")
    np.testing.assert_array_equal(read(tmp_path / "narrow.dcm").array, grays)


@pytest.mark.parametrize("big", [False, True])
def test_g4_entries_of_8_bits_in_bytes_are_read_two_a_word(tmp_path, gray_palette, big):
    dataset, grays = gray_palette
    for colour in COLOURS:
        set_table(dataset, colour, np.arange(255, -1, -1, dtype=np.uint8), 8)
    if big:
        to_big_endian(dataset, tmp_path / "bytes.dcm")
    else:
        dataset.save_as(tmp_path / "bytes.dcm")
    np.testing.assert_array_equal(read(tmp_path / "bytes.dcm").array, grays)
