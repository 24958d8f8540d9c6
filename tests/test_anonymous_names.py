"""With ``--anonymous-names`` nothing on the terminal names a file or a patient, also when it fails."""

import json
import zipfile
from types import SimpleNamespace

import numpy as np
import pytest
from pydicom import dcmread

from prostate_seg.cases.anonymous import anonymised
from prostate_seg.cases.segment import Options, segment_case
from prostate_seg.cli import main
from prostate_seg.errors import InputError
from prostate_seg.geometry.volume import Segmentation
from prostate_seg.reading.cases import find_cases
from prostate_seg.writing.dicom.ultrasound import write_us

PATIENT = "Mueller"


class Stub:
    """A predictor that labels a box, or raises what it is given about a case."""

    device = "cpu"
    info = SimpleNamespace(name="stub", version="1", sha256="0", config_sha256="1")

    def __init__(self, error=None):
        self.error = error

    def assess(self, volume):
        if self.error is not None:
            try:
                raise KeyError(f"{PATIENT}^Hans")
            except KeyError as error:
                raise self.error from error
        labels = np.zeros(volume.array.shape, np.uint8)
        labels[10:20, 10:20, 2:4] = 1
        return Segmentation(labels, volume.affine), None


@pytest.fixture
def case(nifti_case, tmp_path):
    """An image in a zip in a folder, all of them called after the patient, under an anonymous name."""
    folder = tmp_path / f"{PATIENT}_Hans"
    folder.mkdir()
    with zipfile.ZipFile(folder / f"{PATIENT}.zip", "w") as archive:
        archive.write(nifti_case[0], f"{PATIENT}/{PATIENT} 1.nii.gz")
    (case,) = anonymised(find_cases([folder])[0])
    return case


@pytest.mark.parametrize("kind", [InputError, ValueError])
def test_p2_neither_sentence_nor_traceback_tells_any_of_five_names(case, tmp_path, kind):
    (file,) = case.files
    text = f"{file.archive}:{file.at} and {file.name} and {file.archive.parent} are damaged\nin {file.archive.name}"
    outcome = segment_case(case, Stub(kind(text)), Options(tmp_path / "out", anonymous=True))
    assert outcome.error.startswith(f"{case.name}: ")
    assert "\n" not in outcome.error
    assert PATIENT not in outcome.error
    assert PATIENT not in outcome.traceback
    assert "KeyError" in outcome.traceback
    assert kind.__name__ in outcome.traceback
    assert "in assess" in outcome.traceback


def test_p2_debug_of_a_damaged_file_shows_where_it_failed_and_no_name(nifti_case, tiny_bundle, tmp_path, capfd):
    (tmp_path / f"{PATIENT}.nii.gz").write_bytes(nifti_case[0].read_bytes()[:5000])
    arguments = ["segment", str(tmp_path / f"{PATIENT}.nii.gz"), "-o", str(tmp_path / "out"), "--anonymous-names"]
    assert main([*arguments, "--debug", "--bundle", str(tiny_bundle)]) == 2
    err = capfd.readouterr().err
    assert "Traceback" in err
    assert PATIENT not in err


def test_p2_a_librarys_text_is_in_no_sentence_whether_anonymous_or_not(case, tmp_path):
    for anonymous in (True, False):
        error = ValueError("Invalid value for VR PN: 'Schmidt^Anna'")
        outcome = segment_case(case, Stub(error), Options(tmp_path / "out", anonymous=anonymous))
        assert "unexpected ValueError; run again with --debug for the traceback." in outcome.error
        assert "Schmidt" not in outcome.error


def test_p3_dicom_among_two_anonymous_cases_is_warned_of_once_and_in_each_manifest(
    small_phantom, tiny_bundle, tmp_path, capsys
):
    for number in (1, 2):
        (path,) = write_us(small_phantom.image, tmp_path / "in" / str(number), kind="multiframe")
        dataset = dcmread(path)
        dataset.PatientName, dataset.InstanceNumber = PATIENT, number
        dataset.save_as(path)
    arguments = ["segment", str(tmp_path / "in"), "-o", str(tmp_path / "out"), "--anonymous-names", "--tta", "none"]
    arguments += ["--bundle", str(tiny_bundle), "--format", "nifti,us-series"]
    assert main(arguments) == 0
    warning = (
        "Not anonymous: us_series with the patient's name, ID and dates, as DICOM asks; leave DICOM formats out"
    )
    err = capsys.readouterr().err
    assert err.startswith(f"note: {warning}")
    assert err.count("Not anonymous") == 1
    manifests = [json.loads(path.read_text()) for path in (tmp_path / "out").glob("*/manifest.json")]
    assert [sum(line.startswith(warning) for line in manifest["warnings"]) for manifest in manifests] == [1, 1]
    assert str(dcmread(next((tmp_path / "out").glob("*/us_series/us_0001.dcm"))).PatientName) == PATIENT
