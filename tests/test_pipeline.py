"""Cases on their own: what one of them raises, replaces or is called does not touch the others."""

import logging
import os
import shutil

import numpy as np
import pytest
from pydicom import dcmread

from prostate_seg.cases.anonymous import anonymised
from prostate_seg.cases.segment import Options, segment_case, segment_cases
from prostate_seg.cli import main
from prostate_seg.errors import OutputError
from prostate_seg.geometry.volume import Segmentation
from prostate_seg.inference.bundle_info import BundleInfo
from prostate_seg.reading.cases import find_cases
from prostate_seg.system.atomic import check_writable, replacing_folder
from prostate_seg.writing.dicom.ultrasound import write_us


class Stub:
    """A predictor that labels the middle of a volume, or raises."""

    device = "cpu"
    info = BundleInfo("stub", "1", "0", "1")

    def __init__(self, error=None):
        self.error = error

    def assess(self, volume):
        if self.error is not None:
            raise self.error
        labels = np.zeros(volume.array.shape, np.uint8)
        labels[10:20, 10:20, 2:4] = 1
        return Segmentation(labels, volume.affine), None


@pytest.fixture
def case(nifti_case):
    return find_cases([nifti_case[0]])[0][0]


def options(tmp_path, **more):
    return Options(tmp_path / "out", ("nifti",), **more)


def test_a_box_of_10_by_10_by_2_voxels_of_1_2_by_1_2_by_5_mm_holds_1_44_ml(case, tmp_path):
    manifest = segment_case(case, Stub(), options(tmp_path)).manifest
    assert manifest["volume_ml"] == pytest.approx(1.44)
    assert manifest["extent_mm"]["axes"] == pytest.approx([12.0, 12.0, 10.0])


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ZeroDivisionError("Mueller^Hans"), "unexpected ZeroDivisionError; run again with --debug"),
        (ZeroDivisionError(), "unexpected ZeroDivisionError; run again with --debug"),
        (MemoryError(), "it does not fit into memory"),
        (RuntimeError("can't allocate memory: 9 bytes"), "it does not fit into memory"),
    ],
)
def test_whatever_a_case_raises_is_its_outcome_and_leaves_nothing(case, tmp_path, error, told):
    outcome = segment_case(case, Stub(error), options(tmp_path))
    assert outcome.error.startswith(f"scan.nii.gz: {told}")
    assert type(error).__name__ in outcome.traceback
    assert not (tmp_path / "out").exists()


def test_no_case_is_no_outcome(tmp_path):
    assert list(segment_cases([], Stub, options(tmp_path))) == []


def test_two_runs_into_one_folder_keep_the_first_result(case, tmp_path):
    class Slow(Stub):
        def assess(self, volume):  # another run is faster
            segment_case(case, Stub(), options(tmp_path))
            return super().assess(volume)

    outcome = segment_case(case, Slow(), options(tmp_path))
    assert "exists already; give --overwrite" in outcome.error
    assert os.listdir(tmp_path / "out") == ["scan"]


def test_overwrite_replaces_all_earlier_files_and_nothing_of_anyone_else(case, tmp_path):
    folder = segment_case(case, Stub(), Options(tmp_path / "out", ("nifti", "png"))).folder
    assert (folder / "overlay.png").exists()
    assert not segment_case(case, Stub(), options(tmp_path, overwrite=True)).error
    assert sorted(os.listdir(folder)) == ["ctv.nii.gz", "manifest.json"]
    (folder / "thesis.txt").write_text("mine")
    outcome = segment_case(case, Stub(), options(tmp_path, overwrite=True))
    assert "holds thesis.txt, which is no earlier result" in outcome.error
    assert (folder / "thesis.txt").read_text() == "mine"


def test_overwrite_does_not_follow_a_link_nor_replace_a_file(case, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "scan").symlink_to(tmp_path / "elsewhere")
    for _ in range(2):
        assert "is not a folder of results" in segment_case(case, Stub(), options(tmp_path, overwrite=True)).error
        (tmp_path / "out" / "scan").unlink()
        (tmp_path / "out" / "scan").write_text("a file")


def test_a_folder_whose_filling_fails_stays_as_it_was(tmp_path):
    place = tmp_path / "place"
    place.mkdir()
    (place / "old").write_text("old")
    for error, raised in ((OSError(28, "No space left"), OutputError), (KeyboardInterrupt(), KeyboardInterrupt)):
        with pytest.raises(raised), replacing_folder(place, may_replace=bool):
            raise error
    assert os.listdir(tmp_path) == ["place"]
    assert os.listdir(place) == ["old"]


def test_an_old_result_is_put_back_where_the_new_one_cannot_take_its_place(tmp_path, monkeypatch):
    place = tmp_path / "place"
    place.mkdir()
    (place / "old").write_text("old")
    with (
        pytest.raises(OutputError, match="cannot be written"),
        replacing_folder(place, may_replace=bool) as partial,
    ):
        shutil.rmtree(partial)
    assert os.listdir(place) == ["old"]
    assert os.listdir(tmp_path) == ["place"]


def test_check_writable_makes_nothing(tmp_path):
    check_writable(tmp_path / "a" / "b")
    assert os.listdir(tmp_path) == []


def test_equal_contents_get_names_of_12_digits_and_a_number(nifti_case, tmp_path):
    for name in ("anna", "bert"):
        shutil.copy(nifti_case[0], tmp_path / f"{name}.nii.gz")
    first, second = anonymised(find_cases([tmp_path])[0])
    assert len(first.name) == 12
    assert second.name == f"{first.name}-2"


def test_an_unknown_character_set_in_a_header_is_quoted_nowhere(small_phantom, tiny_bundle, tmp_path, capfd):
    (path,) = write_us(small_phantom.image, tmp_path / "study", kind="multiframe")
    dataset = dcmread(path)
    dataset.SpecificCharacterSet = "MUELLER"
    dataset.PatientName = "Mueller^Hans"
    dataset.save_as(path)
    logging.getLogger("pydicom").addHandler(handler := logging.StreamHandler())
    try:
        status = main(["segment", str(path), "-o", str(tmp_path / "out"), "--bundle", str(tiny_bundle)])
    finally:
        logging.getLogger("pydicom").removeHandler(handler)
    assert status == 0
    assert "mueller" not in "".join(capfd.readouterr()).lower()


def test_anonymous_names_tell_no_name_in_any_output(nifti_case, tiny_bundle, tmp_path, capfd):
    study = tmp_path / "Mueller_Hans"
    study.mkdir()
    for name in ("Mueller Hans", "Schmidt"):
        shutil.copy(nifti_case[0], study / f"{name}.nii.gz")
    (study / "Weber.nii.gz").write_text("damaged")
    (study / "Koch.dcm").write_text("damaged")
    shutil.copy(nifti_case[1], study / "Klein_label.nii.gz")
    (study / "Bauer.mhd").write_text("ObjectType = Image\nNDims = 3\nElementDataFile = Bauer.raw\n")
    settings = ["--bundle", str(tiny_bundle), "--tta", "none", "--anonymous-names"]
    out = tmp_path / "out"
    assert main(["segment", str(study), "-o", str(out), *settings]) == 1
    assert main(["segment", str(study), "-o", str(out), *settings, "--json", "--overwrite"]) == 1
    assert main(["segment", str(study / "Koch.dcm"), "-o", str(out), *settings]) == 2
    assert main(["segment", str(study / "Vogel.dcm"), "-o", str(out), *settings]) == 2
    written = b"".join(path.read_bytes() + path.name.encode() for path in out.rglob("*") if path.is_file())
    said = "".join(capfd.readouterr()) + written.decode("latin-1") + " ".join(os.listdir(out))
    names = ("Mueller", "Schmidt", "Weber", "Koch", "Klein", "Bauer", "Vogel")
    assert [name for name in names if name in said] == []
    assert len(os.listdir(out)) == 2
