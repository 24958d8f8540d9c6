"""``prepare`` again into the same folder: what no longer counts goes, and patients keep their number and side."""

import json

import numpy as np
import pytest
from exports import changed, small, study

from prostate_seg.cli import main
from prostate_seg.errors import InputError, OutputError
from prostate_seg.system.locks import only_run
from prostate_seg.training.datalist import load
from prostate_seg.training.found_cases import Found, Item, Loaded, Opened
from prostate_seg.training.prepare import prepare as make
from prostate_seg.training.split import Split, split_of
from prostate_seg.writing import write


def prepare(data, *given):
    return main(["prepare", *map(str, given), "-o", str(data)])


def cases(data, section="training"):
    return [case["case"] for case in load(data / "datalist.json")[section]]


def pair(folder, number):
    """An image and its mask, without a Patient ID: a patient of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    write(small(number).image, folder / f"c{number}.nrrd")
    write(small(number).truth, folder / f"c{number}_mask.nii.gz")


def test_a_case_whose_contours_are_rejected_goes_one_that_is_absent_stays_and_approval_brings_it_back(tmp_path):
    first, second, data = tmp_path / "first", tmp_path / "second", tmp_path / "data"
    _, _, contours = study(first, 0)
    pair(second, 1)
    assert prepare(data, first, second) == 0
    changed(contours, ApprovalStatus="REJECTED")
    assert prepare(data, first) == 2
    assert cases(data) == ["P002-1"]
    assert not list(data.rglob("P001-1*"))
    left = [row["reason"] for row in json.loads((data / "left_over.json").read_text())["left_over"]]
    assert left[0] == "it was rejected, by its approval status"
    assert left[2] == "an earlier case, taken out of the data: its image or contours no longer count"
    changed(contours, ApprovalStatus="APPROVED")
    assert prepare(data, first) == 0
    assert cases(data) == ["P001-1", "P002-1"]


def test_a_patient_is_known_by_the_id_in_a_later_run_with_another_image_and_no_file_holds_the_id(tmp_path):
    data = tmp_path / "data"
    for number in (0, 3):
        study(tmp_path / str(number), number, patient="MRN-SAME")
        assert prepare(data, tmp_path / str(number)) == 0
    assert cases(data) == ["P001-1", "P001-2"]
    assert {case["patient"] for case in load(data / "datalist.json")["training"]} == {"P001"}
    assert not [path for path in data.rglob("*") if path.is_file() and b"SAME" in path.read_bytes()]
    (data / "patients.json").write_text("{")
    assert prepare(data, tmp_path / "3") == 2


def test_a_folder_keeps_its_share_of_validation_and_who_validates(tmp_path):
    """Of two patients every second is P002; of six these are P002, P004 and P006; with 3 it would be P003, P006."""
    data = tmp_path / "data"
    for number in (1, 2):
        pair(tmp_path / "two", number)
    for number in range(3, 7):
        pair(tmp_path / "four", number)
    assert prepare(data, tmp_path / "two", "--validation", "2") == 0
    assert prepare(data, tmp_path / "four") == 0
    assert cases(data, "validation") == ["P002-1", "P004-1", "P006-1"]
    assert prepare(data, tmp_path / "two", "--validation", "3") == 0
    assert cases(data, "validation") == ["P002-1", "P003-1", "P004-1", "P006-1"]
    assert prepare(data, tmp_path / "two", "--validation", "0") == 0
    assert len(cases(data)) == 6


@pytest.mark.parametrize(
    ("patients", "every", "earlier", "held"),
    [
        ("abcdef", 3, Split(), "cf"), ("ab", 5, Split(), "b"), ("a", 2, Split(), ""), ("abc", 0, Split(), ""),
        ("abcd", 2, Split(2, frozenset("bd"), frozenset("a")), "a"),  # c and d trained, or are no second ones
        ("abcdef", 2, Split(2, frozenset("bd"), frozenset("ac")), "acf"),
        ("abcd", 2, Split(3, frozenset("abd"), frozenset("c")), "bcd"),
        ("bc", 2, Split(2, frozenset("b"), frozenset("a")), "c"),
    ],
)  # fmt: skip
def test_patients_stay_on_their_side_unless_the_number_changes(patients, every, earlier, held):
    found = split_of(patients, every, earlier)
    assert found.validation == frozenset(held)
    assert found.training == frozenset(patients) - frozenset(held)


def test_a_second_run_in_the_same_folder_is_refused_and_nothing_is_left_of_it(tmp_path, capsys):
    pair(tmp_path / "export", 1)
    data = tmp_path / "data"
    with only_run(data):
        assert prepare(data, tmp_path / "export") == 2
        assert [path.name for path in data.iterdir()] == [".lock"]
    told = capsys.readouterr().err
    assert f"Another run is writing to {data}; wait until it has ended, or give another folder." in told
    assert not data.exists()
    assert prepare(data, tmp_path / "export") == 0
    assert not (data / ".lock").exists()


def test_a_lock_that_a_killed_run_left_is_taken_over_and_folders_that_stay_empty_go(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data/.lock").touch()
    with only_run(tmp_path / "data"), pytest.raises(OutputError, match="Another run"), only_run(tmp_path / "data"):
        pass
    assert list((tmp_path / "data").iterdir()) == []
    with only_run(tmp_path / "new/folder"):
        assert (tmp_path / "new/folder/.lock").exists()
    assert not (tmp_path / "new").exists()


def test_damaged_contours_and_those_of_another_patient_are_failures_and_a_mask_without_an_image_is_none(
    tmp_path,
):
    export, data = tmp_path / "export", tmp_path / "data"
    _, _, contours = study(export, 0)
    pair(export, 1)
    (export / "alone_mask.nii.gz").write_bytes((export / "c1_mask.nii.gz").read_bytes())
    assert prepare(data, export) == 0
    whole = contours.read_bytes()
    changed(contours, PatientID="another")
    assert prepare(data, export) == 1
    contours.write_bytes(whole[: len(whole) // 2])
    assert prepare(data, export) == 1
    assert cases(data) == ["P002-1"]


def test_an_empty_mask_is_no_case_whatever_its_source(tmp_path):
    image = small(1).image
    opened = Opened({}, lambda: Loaded(image, {"CTV": np.zeros(image.array.shape, bool)}))
    item = Item("a", "key", "P001", "a.nrrd", "a.stl", {}, lambda: opened)
    with pytest.raises(InputError, match=r"\(a\.nrrd: a\.stl encloses no voxel of its image, expected the CTV\)"):
        make(Found((item,), (), "set", frozenset({"key"})), tmp_path / "data")
    assert load(tmp_path / "data/datalist.json")["training"] == []


def test_a_set_for_testing_alone_is_not_offered_for_training(tmp_path, capsys):
    from public_sets import micro_scan

    micro_scan(tmp_path / "set", "test", 1, slices=2)
    assert prepare(tmp_path / "data", "--from", "micro-us", tmp_path / "set") == 0
    assert "1 case, none of them for training; add some before you train" in capsys.readouterr().err
