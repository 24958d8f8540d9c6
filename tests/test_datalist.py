"""The datalist: checked before anything runs."""

import json

import pytest

from prostate_seg import SettingsError
from prostate_seg.training.datalist import items, load


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
