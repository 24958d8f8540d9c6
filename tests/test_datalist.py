"""The datalist: checked before anything runs."""

import json

import pytest

from prostate_seg import SettingsError
from prostate_seg.training.datalist import check_structures, items, load


def written(folder, content):
    for name in ("a.nii.gz", "b.nii.gz"):
        (folder / name).touch()
    path = folder / "datalist.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return str(path)


CASE = {"image": "a.nii.gz", "label": "b.nii.gz", "patient": "P1"}
NAMELESS = {"image": "a.nii.gz", "label": "b.nii.gz"}


def test_paths_become_absolute_and_the_case_is_named_after_its_image(tmp_path):
    (case,) = load(written(tmp_path, {"training": [CASE]}))["training"]
    assert case["image"] == str(tmp_path / "a.nii.gz")
    assert case["case"] == "a"


def test_two_cases_three_times_and_four_phantoms_are_ten_items_with_seeds_from_one_million(tmp_path):
    (tmp_path / "c.nii.gz").touch()
    path = written(tmp_path, {"training": [CASE, CASE | {"image": "c.nii.gz"}]})
    found = items(path, "training", phantoms=4, repeats=3)
    assert len(found) == 10
    assert [item["phantom"] for item in found[6:]] == [1_000_000, 1_000_001, 1_000_002, 1_000_003]
    assert items(None, "validation", phantoms=1)[0]["phantom"] == 2_000_000


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("{", "is not JSON"),
        ([1], "holds list, expected lists named training, validation, testing"),
        ({"trainning": []}, "holds \\['trainning'\\]"),
        ({"training": [{"image": "a.nii.gz"}]}, "training case 0 .* has \\['image'\\], expected image and label"),
        ({"training": [CASE | {"weight": 2}]}, "has \\['image', 'label', 'patient', 'weight'\\]"),
        ({"training": [CASE | {"label": "c.nii.gz"}]}, "names c.nii.gz as label, which does not exist"),
        ({"training": [CASE], "validation": [CASE]}, "has patient P1 in training and in validation"),
        ({"training": [NAMELESS], "validation": [NAMELESS]}, "has image .*a.nii.gz in training and in validation"),
        ({"training": 5}, "holds 5 as training, expected a list"),
        ({"training": [CASE | {"frame_spacing_mm": "5"}]}, "has frame_spacing_mm '5', expected a length above 0"),
    ],
)
def test_a_wrong_datalist_is_refused_in_one_sentence(tmp_path, content, text):
    with pytest.raises(SettingsError, match=text):
        load(written(tmp_path, content))


def test_no_cases_and_no_phantoms_is_an_error(tmp_path):
    with pytest.raises(SettingsError, match="There are no validation cases"):
        items(written(tmp_path, {"training": [CASE]}), "validation")


def test_a_missing_datalist_is_named(tmp_path):
    with pytest.raises(SettingsError, match="cannot be read"):
        load(tmp_path / "absent.json")


def test_structures_of_a_case_are_found_beside_the_datalist_and_need_no_label(tmp_path):
    for name in ("a.nii.gz", "parts.seg.nrrd"):
        (tmp_path / name).write_bytes(b"")
    case = {"image": "a.nii.gz", "structures": {"Urethra": "parts.seg.nrrd", "Bladder": "parts.seg.nrrd"}}
    (tmp_path / "cases.json").write_text(json.dumps({"training": [case]}))
    (found,) = load(tmp_path / "cases.json")["training"]
    assert found["structures"] == dict.fromkeys(("Urethra", "Bladder"), str(tmp_path / "parts.seg.nrrd"))
    assert "label" not in found


@pytest.mark.parametrize(
    ("structures", "message"),
    [
        ({}, "as structures, expected names and their mask files"),
        (["Urethra"], "as structures, expected names and their mask files"),
        ({"Urethra": "none.nii.gz"}, "names none.nii.gz as 'Urethra', which does not exist beside the datalist"),
        ({"Urethra": 3}, "has 3 as 'Urethra', expected the path of a file"),
        ({"ctv": "b.nii.gz"}, "has the CTV among its structures; give its mask as label"),
        ({"Urethra": "a.nii.gz"}, "names one file as image and label"),
    ],
)
def test_bad_structures_of_a_case_give_one_sentence(tmp_path, structures, message):
    for name in ("a.nii.gz", "b.nii.gz"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "cases.json").write_text(
        json.dumps({"training": [{"image": "a.nii.gz", "structures": structures}]})
    )
    with pytest.raises(SettingsError, match=message):
        load(tmp_path / "cases.json")


def test_a_label_of_a_structure_that_the_network_does_not_have_is_refused():
    with pytest.raises(
        SettingsError, match=r"Case c labels 'Balloon', which is none of .* this training \(urethra\)"
    ):
        check_structures([{"case": "c", "structures": {"Balloon": "x"}}], ["urethra"], "this training")
    with pytest.raises(SettingsError, match="the CTV alone"):
        check_structures([{"case": "c", "structures": {"Urethra": "x"}}], [], "this training")
    check_structures([{"case": "c", "structures": {"Urethra": "x"}}], ["urethra"], "this training")
