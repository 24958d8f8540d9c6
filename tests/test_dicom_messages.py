"""Refusals of DICOM quote nothing of a file that may name the patient, and nothing else is printed beside them."""

import logging

import numpy as np
import pydicom
import pytest
from pydicom.encaps import encapsulate
from pydicom.uid import JPEG2000Lossless

from prostate_seg.errors import InputError
from prostate_seg.geometry.volume import Volume, affine_from_lps
from prostate_seg.reading.cases import find_cases, read
from prostate_seg.writing.dicom.ultrasound import write_us

NAME = "SMITH^ANNE"


@pytest.fixture
def multiframe(tmp_path):
    """Writes a sweep of 72 x 64 x 2 as US Multi-frame after an edit of its data set, and returns its path."""

    def write(edit):
        grays = np.random.default_rng(1).integers(20, 255, (72, 64, 2)).astype(np.uint8)
        volume = Volume(grays, affine_from_lps(np.eye(3), np.array([0.3, 0.4, 2.0]), np.zeros(3)))
        dataset = pydicom.dcmread(write_us(volume, tmp_path / "written")[0])
        edit(dataset)
        dataset.save_as(tmp_path / "scan.dcm")
        return tmp_path / "scan.dcm"

    return write


def refusal(path):
    with pytest.raises(InputError) as caught:
        read(path)
    return str(caught.value)


def set_raw(dataset, keyword, value, vr):
    """Write a value under another VR than the dictionary's."""
    dataset.pop(keyword, None)
    dataset.add_new(keyword, vr, value)


@pytest.mark.parametrize("modality", [NAME, "SMITH", None, ["US", "SMITH"]])
def test_p1_a_modality_that_is_no_term_of_the_standard_is_unknown(multiframe, modality):
    def edit(dataset):
        dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = "1.2.3.4"
        dataset.Modality = modality

    assert "(0008,0060) Modality unknown" in refusal(multiframe(edit))


@pytest.mark.parametrize("uid", [NAME, "1.2.3.4", ""])
def test_p1_a_sop_class_that_is_none_of_the_standard_is_unknown(multiframe, uid):
    def edit(dataset):
        set_raw(dataset, "SOPClassUID", uid, "LO")
        del dataset.Modality

    assert "Modality unknown" in refusal(multiframe(edit))


def test_p1_a_known_modality_is_named(multiframe, tmp_path):
    def edit(dataset):
        dataset.SOPClassUID, dataset.Modality = "1.2.840.10008.5.1.4.1.1.4", "MR"

    assert "Modality MR" in refusal(multiframe(edit))
    with pytest.raises(InputError, match="Modality MR"):
        find_cases([tmp_path / "scan.dcm"])


def test_p1_a_transfer_syntax_that_is_no_uid_is_unknown(multiframe):
    path = multiframe(lambda dataset: None)
    path.write_bytes(path.read_bytes().replace(b"1.2.840.10008.1.2.1\0", b"SMITH^ANNE^1.2.3.4.5"))
    message = refusal(path)
    assert "transfer syntax 'unknown'" in message
    assert "SMITH" not in message


@pytest.mark.parametrize("keyword", ["BitsAllocated", "BitsStored", "Rows", "Columns", "SamplesPerPixel"])
def test_p1_text_in_place_of_a_number_is_not_quoted(multiframe, keyword):
    message = refusal(multiframe(lambda dataset: set_raw(dataset, keyword, NAME, "LO")))
    assert "is not one whole number" in message
    assert "SMITH" not in message


@pytest.mark.parametrize("keyword", ["SpacingBetweenSlices", "PixelSpacing"])
def test_p1_text_in_place_of_a_length_is_not_quoted(multiframe, keyword):
    message = refusal(multiframe(lambda dataset: set_raw(dataset, keyword, NAME, "LO")))
    assert "is not made of numbers" in message
    assert "SMITH" not in message


def test_p1_an_unknown_photometric_interpretation_is_not_quoted(multiframe):
    message = refusal(multiframe(lambda dataset: setattr(dataset, "PhotometricInterpretation", "SMITH ANNE")))
    assert "(0028,0004) Photometric Interpretation is unknown" in message
    assert "SMITH" not in message


def test_d5_a_decoder_that_fails_logs_nothing_beside_the_sentence(multiframe, caplog):
    def spoil(dataset):
        dataset.compress(JPEG2000Lossless)
        frames = list(pydicom.encaps.generate_frames(dataset.PixelData, number_of_frames=2))
        dataset.PixelData = encapsulate([frame[:90] for frame in frames])

    with caplog.at_level(logging.DEBUG):
        path = multiframe(spoil)
        caplog.clear()
        assert "cannot be decoded" in refusal(path)
    assert [record.name for record in caplog.records if record.name.split(".")[0] != "prostate_seg"] == []
