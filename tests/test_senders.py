"""What hospitals' senders put beside a study: the good one is done, each of the others gets its sentence."""

import io
import json
import os
import re
import subprocess
import sys
import zipfile

import pydicom
import pytest
from PIL import Image
from pydicom.encaps import encapsulate
from pydicom.fileset import FileSet
from pydicom.uid import JPEGBaseline8Bit, RawDataStorage

from prostate_seg.writing.dicom.ultrasound import ScannerConventions, write_us

PATIENT, NUMBER = "Zzyzx^Quirinus", "MRN-77031"
ABOUT_PATIENT = ("Zzyzx", "Quirinus", NUMBER, "19470229")
ODD = {  # how an entry of the folder is named -> what its one sentence is about
    "sr": r"not ultrasound",
    "planning-ct": r"not ultrasound",
    "raw3d": r"not ultrasound",
    "DICOMDIR": r"SOP Class UID is missing",
    "nested": r"zip",
    "rotational": r"rotational sweep",
    "cine": r"--frame-spacing",
    "cut": r"pixel|frame",
    "constant": r"nothing to segment",
    "gaps": r"Instance Number|slice",
    r"gr.{1,8}n\.dcm": r"frames",  # one byte is no UTF-8
}


def edited(files, edit):
    """Files after an edit of their data sets, all of the one patient."""
    for index, file in enumerate(files):
        dataset = pydicom.dcmread(file)
        dataset.PatientName, dataset.PatientID, dataset.PatientBirthDate = PATIENT, NUMBER, "19470229"
        dataset.ImageComments = dataset.StudyID = dataset.SeriesDescription = "Zzyzx"
        edit(dataset, index)
        dataset.save_as(file)
    return files


def other_class(uid, modality):
    def edit(dataset, _):
        dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = uid
        dataset.Modality = modality

    return edit


def report(dataset, index):
    other_class("1.2.840.10008.5.1.4.1.1.88.33", "SR")(dataset, index)
    for keyword in ("PixelData", "Rows", "Columns", "BitsAllocated", "SequenceOfUltrasoundRegions"):
        delattr(dataset, keyword)


def rotational(dataset, _):
    dataset.RotationVector = list(range(int(dataset.NumberOfFrames)))
    dataset.FrameIncrementPointer = 0x00540050


def cut(dataset, _):
    frames = []
    for frame in dataset.pixel_array:
        stream = io.BytesIO()
        Image.fromarray(frame).save(stream, "JPEG")
        frames.append(stream.getvalue())
    dataset.PixelData = encapsulate([*frames[:5], frames[5][: len(frames[5]) // 2 & ~1]], has_bot=False)
    dataset["PixelData"].VR = "OB"
    dataset.file_meta.TransferSyntaxUID = JPEGBaseline8Bit


def constant(dataset, _):
    dataset.PixelData = bytes([140]) * len(dataset.PixelData)


def numbered(dataset, _):
    dataset.SpacingBetweenSlices = "5"


def half(dataset, _):
    dataset.NumberOfFrames = 2 * int(dataset.NumberOfFrames)
    del dataset.SliceLocationVector
    dataset.FrameIncrementPointer = 0x00180088


def directory(folder, file):
    """The DICOMDIR of an export, without the files that it names."""
    listed = FileSet()
    listed.add(file)
    listed.write(folder / "media")
    (folder / "media" / "DICOMDIR").rename(folder / "DICOMDIR")
    for leftover in sorted((folder / "media").rglob("*"), reverse=True):
        leftover.rmdir() if leftover.is_dir() else leftover.unlink()
    (folder / "media").rmdir()


def without_preamble(file):
    file.write_bytes(file.read_bytes()[132:])


@pytest.fixture(scope="module")
def study(small_phantom, tmp_path_factory):
    """Twelve entries: ``good`` and those in ODD."""
    folder, image = tmp_path_factory.mktemp("senders") / "study", small_phantom.image

    def multiframe(name, edit, **options):
        (file,) = edited(write_us(image, folder / name, kind="multiframe", **options), edit)
        os.rename(os.fsencode(file), os.fsencode(folder / f"{name}.dcm"))
        (folder / name).rmdir()

    good = edited(write_us(image, folder / "good", kind="series"), lambda *_: None)
    directory(folder, good[0])
    for name, edit, count in (
        ("sr", report, 1),
        ("planning-ct", other_class("1.2.840.10008.5.1.4.1.1.2", "CT"), 3),
        ("raw3d", other_class(str(RawDataStorage), "OT"), 1),
    ):
        for file in edited(write_us(image, folder / name, kind="series", seed=len(name)), edit)[count:]:
            file.unlink()
    without_preamble(next((folder / "raw3d").iterdir()))
    multiframe("rotational", rotational)
    multiframe("cine", lambda *_: None, conventions=ScannerConventions(frame_increment="time"))
    multiframe("cut", cut)
    multiframe("constant", constant, photometric="PALETTE COLOR")
    multiframe(os.fsdecode(b"gr\xfcn"), half)
    gaps = edited(write_us(image, folder / "gaps", kind="series-without-positions", seed=5), numbered)
    for file in gaps[2:5]:
        file.unlink()
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as archive:
        archive.write(good[0], "scan.dcm")
    with zipfile.ZipFile(folder / "nested.zip", "w") as archive:
        archive.writestr("nested-inner.zip", inner.getvalue())
    return folder


@pytest.fixture(scope="module")
def run(study, tiny_bundle, tmp_path_factory):
    """The command line over the study: its process, and where it wrote."""
    output = tmp_path_factory.mktemp("results")
    command = [
        sys.executable,
        "-m",
        "prostate_seg",
        "segment",
        study,
        "-o",
        output,
        "--bundle",
        tiny_bundle,
        "--json",
    ]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300), output


def sentences(done):
    """What stderr tells of those that are not done."""
    return [line for line in done.stderr.splitlines() if "skipped " in line or "failed: " in line]


def test_12_senders_the_study_has_12_entries_and_one_of_them_is_good(study):
    assert len(list(study.iterdir())) == 1 + len(ODD) == 12


def test_12_senders_the_good_one_is_done_and_nothing_else_is_written(run):
    done, output = run
    assert done.returncode == 1, done.stderr
    assert [path.name for path in output.iterdir()] == ["good"]
    assert {"ctv.nii.gz", "ctv.seg.nrrd", "trus.nrrd", "overlay.png", "report.html", "manifest.json"} == {
        path.name for path in (output / "good").iterdir()
    }


@pytest.mark.parametrize("name", ODD)
def test_12_senders_each_odd_one_has_one_sentence_that_names_it(run, name):
    found = [line for line in sentences(run[0]) if re.search(rf"(?:skipped |failed: )(?:\S+/)?{name}", line)]
    assert len(found) == 1, run[0].stderr
    assert re.search(ODD[name], found[0]), found[0]


def test_12_senders_stderr_holds_eleven_sentences_the_good_case_and_no_line_of_a_library(run):
    done, _ = run
    assert len(sentences(done)) == len(ODD) == 11, done.stderr
    others = [line for line in done.stderr.splitlines() if line not in sentences(done)]
    assert [line for line in others if not re.match(r"\[\d+/\d+\] good: |  note: |\d+ cases in ", line)] == []


def test_12_senders_json_tells_the_same_eleven(run):
    told = json.loads(run[0].stdout)
    failed = [case for case in told["cases"] if case["error"]]
    assert [case["case"] for case in told["cases"] if not case["error"]] == ["good"]
    assert len(failed) + len(told["skipped"]) == 11


def test_12_senders_no_traceback_and_nothing_of_the_patient_is_told(run):
    done, output = run
    for text in (done.stdout, done.stderr, (output / "good" / "manifest.json").read_text()):
        assert "Traceback" not in text
        assert "unexpected" not in text
        assert [part for part in ABOUT_PATIENT if part in text] == []
