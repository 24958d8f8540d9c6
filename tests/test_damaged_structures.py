"""Segmentations and structure sets with any attribute broken: one sentence of ours, soon, without their values."""

import os
import time
import warnings

import pydicom
import pytest
from judges import study
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from prostate_seg.errors import InputError
from prostate_seg.reading.masks import read_mask
from prostate_seg.writing.dicom.segmentation import write_dicom_seg
from prostate_seg.writing.dicom.structure_set import write_rtstruct

MARK = "Roe^Jane"
LONGEST_S = 10.0
STEP = int(os.environ.get("STRUCTURE_MUTATION_STEP", "7"))  # 1: every attribute, every mutation


NAMES = (0x30060026, 0x00620005)  # ROI Name, Segment Label: what a user chooses by


def refusal(path, like):
    """Why a mask is refused, empty if it is read."""
    try:
        read_mask(path, like=like)
    except InputError as error:
        return str(error)
    return ""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A study with its CTV and urethra as ``seg.dcm`` and ``rt.dcm``."""
    made = study(tmp_path_factory.mktemp("made"), "multiframe")
    write_dicom_seg(made.folder / "seg.dcm", made.contoured)
    write_rtstruct(made.folder / "rt.dcm", made.contoured)
    return made


def places(dataset, path=()):
    """Where the elements of a dataset are, also in the first and last item of each sequence."""
    for element in dataset:
        yield (*path, element.tag)
        if element.VR == "SQ":
            for index in sorted({0, len(element.value) - 1} - {-1}):
                yield from places(element.value[index], (*path, element.tag, index))


def broken(dataset, path, how):
    """Break one element: empty, absent, of another kind, or huge."""
    for step in path[:-1]:
        dataset = dataset[step].value if not isinstance(step, int) else dataset[step]
    element = dataset[path[-1]]
    if how == "absent":
        del dataset[path[-1]]
    elif element.VR == "SQ":
        element.value = Sequence([Dataset()] if how == "other" else [] if how == "empty" else [*element.value] * 2)
    elif how == "empty":
        dataset[path[-1]] = pydicom.DataElement(element.tag, element.VR, None)
    elif how == "other":
        dataset[path[-1]] = pydicom.DataElement(element.tag, "LO", MARK)
    else:
        value = {"US": 65535, "DS": "9e307", "IS": "2147483647", "FD": 1e300, "UL": 2**32 - 1, "FL": 3e38}
        huge = value.get(element.VR, "9" * 64)
        dataset[path[-1]] = pydicom.DataElement(element.tag, element.VR if element.VR in value else "LO", huge)


@pytest.mark.parametrize("how", ["absent", "empty", "other", "huge"])
@pytest.mark.parametrize("file", ["seg.dcm", "rt.dcm"])
def test_d1_a_broken_attribute_is_read_as_before_or_refused_in_one_sentence_within_10_seconds(
    made, file, how, tmp_path, capfd
):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        every = list(places(pydicom.dcmread(made.folder / file)))
        for path in every[::STEP]:
            dataset = pydicom.dcmread(made.folder / file)
            broken(dataset, path, how)
            try:
                dataset.save_as(tmp_path / file)
            except (AttributeError, TypeError, ValueError, OverflowError):
                continue  # pydicom itself does not write it
            capfd.readouterr()
            start = time.monotonic()
            said = refusal(tmp_path / file, made.contoured.ctv)
            assert MARK not in said or path[-1] in NAMES, path
            assert "\n" not in said, path
            assert said == "" or file in said, (path, said)
            assert time.monotonic() - start < LONGEST_S, path
            assert capfd.readouterr().err == "", path


@pytest.mark.parametrize("file", ["seg.dcm", "rt.dcm"])
def test_d1_a_file_cut_at_any_of_20_places_is_refused_by_name(made, file, tmp_path):
    content = (made.folder / file).read_bytes()
    for part in range(20):
        (tmp_path / file).write_bytes(content[: len(content) * part // 20])
        said = refusal(tmp_path / file, made.contoured.ctv)
        assert said == "" or file in said


def test_d1_a_segmentation_of_2_to_the_31_frames_is_refused_before_memory_is_taken(made, tmp_path):
    for keyword, value in (("NumberOfFrames", 2**31 - 1), ("Rows", 65535)):
        dataset = pydicom.dcmread(made.folder / "seg.dcm")
        setattr(dataset, keyword, value)
        dataset.save_as(tmp_path / "seg.dcm")
        with pytest.raises(
            InputError, match=r"at most 536870912 voxels|fewer than its 24 frames of 65535 x 80 pixels"
        ):
            read_mask(tmp_path / "seg.dcm")


def test_d1_two_frames_1000_km_apart_are_refused_before_memory_is_taken(made, tmp_path):
    dataset = pydicom.dcmread(made.folder / "seg.dcm")
    place = dataset.PerFrameFunctionalGroupsSequence[0].PlanePositionSequence[0]
    place.ImagePositionPatient = ["0", "0", "1e9"]
    dataset.save_as(tmp_path / "seg.dcm")
    with pytest.raises(InputError, match="expected at most 536870912 voxels"):
        read_mask(tmp_path / "seg.dcm")
