"""Every written manifest fits the published schema; one that somebody changed does not count as done."""

import json

import pytest
from jsonschema import Draft202012Validator, ValidationError

from prostate_seg.assessment.doubt import FAR_MM
from prostate_seg.cases.earlier_results import segmented_manifest
from prostate_seg.cli import main
from prostate_seg.geometry.volume import Volume
from prostate_seg.reading.cases import read
from prostate_seg.writing import write


@pytest.fixture(scope="module")
def schema(repository):
    return Draft202012Validator(json.loads((repository / "docs" / "manifest.schema.json").read_text()))


@pytest.fixture(scope="module")
def cases(tiny_bundle, tmp_path_factory):
    """Folders of results: NIfTI, DICOM, assumed axes, one slice, exported."""
    place = tmp_path_factory.mktemp("manifests")

    def segmented(source, name, *options):
        command = ["segment", str(source), "-o", str(place / name), "--bundle", str(tiny_bundle), "--device", "cpu"]
        assert main([*command, *options]) == 0
        (folder,) = (place / name).iterdir()
        return folder

    for kind, options in (("nifti", []), ("dicom", []), ("loose", ["--kind", "series-without-positions"])):
        form = "nifti" if kind == "nifti" else "dicom"
        assert main(["phantom", str(place / f"of-{kind}"), "--seed", "3", "--format", form, *options]) == 0
    volume = read(next((place / "of-nifti" / "images").iterdir()))
    write(Volume(volume.array[..., 5:6], volume.affine), place / "slice.nii.gz")
    found = {
        "nifti": segmented(place / "of-nifti" / "images", "nifti", "--format", "nifti,seg-nrrd,nrrd,report"),
        "dicom": segmented(place / "of-dicom" / "images", "dicom", "--format", "nifti,dicom-seg", "--no-refine"),
        "loose": segmented(place / "of-loose" / "images", "loose", "--frame-spacing", "5", "--anonymous-names"),
        "slice": segmented(place / "slice.nii.gz", "slice"),
    }
    assert main(["export", str(found["nifti"]), "-o", str(place / "exported"), "--format", "stl,report"]) == 0
    (found["exported"],) = (place / "exported").iterdir()
    return found


@pytest.mark.parametrize("kind", ["nifti", "dicom", "loose", "slice", "exported"])
def test_5_kinds_of_manifests_fit_the_schema(kind, cases, schema):
    schema.validate(json.loads((cases[kind] / "manifest.json").read_text()))


@pytest.mark.parametrize(
    "change",
    [{"volume_ml": "30 mL"}, {"orientation": "guessed"}, {"warnings": None}, {"bundle": {}}],
)
def test_4_changes_of_a_manifest_do_not_fit_and_do_not_count_as_done(change, cases, schema, tmp_path):
    assert segmented_manifest(cases["nifti"]) is not None
    content = json.loads((cases["nifti"] / "manifest.json").read_text()) | change
    (tmp_path / "manifest.json").write_text(json.dumps(content))
    with pytest.raises(ValidationError):
        schema.validate(content)
    assert segmented_manifest(tmp_path) is None


def test_the_probability_of_an_hd95_above_5_mm_is_called_so(schema):
    entries = schema.schema["properties"]["uncertainty"]["properties"]
    assert f"probability_hd95_above_{FAR_MM:g}_mm" in entries


@pytest.mark.parametrize("entry", ["bundle", "uncertainty", "outputs_sha256"])
def test_a_manifest_without_1_of_3_entries_does_not_count_as_done(entry, cases, tmp_path):
    content = json.loads((cases["nifti"] / "manifest.json").read_text())
    del content[entry]
    (tmp_path / "manifest.json").write_text(json.dumps(content))
    assert segmented_manifest(tmp_path) is None


def test_an_entry_of_another_version_does_not_undo_a_finished_case(cases, tmp_path):
    content = json.loads((cases["nifti"] / "manifest.json").read_text()) | {"new_in_0_2": 1}
    (tmp_path / "manifest.json").write_text(json.dumps(content))
    assert segmented_manifest(tmp_path)["new_in_0_2"] == 1


def test_an_exported_mask_does_not_count_as_segmented(cases):
    assert segmented_manifest(cases["exported"]) is None
