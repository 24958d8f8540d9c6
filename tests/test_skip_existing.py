"""A half-done cohort goes on, and what is done is counted as done: exit status, JSON and review."""

import json
import os
import shutil

import pytest

from prostate_seg import report
from prostate_seg.cli import main
from prostate_seg.errors import OutputError


@pytest.fixture(scope="module")
def cohort(nifti_case, tiny_bundle, tmp_path_factory):
    """Two images, of which the first was segmented: (their folder, the folder of the results)."""
    folder = tmp_path_factory.mktemp("cohort")
    for name in ("a", "b"):
        (folder / "in").mkdir(exist_ok=True)
        shutil.copy(nifti_case[0], folder / "in" / f"{name}.nii.gz")
    assert run(tiny_bundle, folder / "in" / "a.nii.gz", "-o", folder / "out", "--format", "nifti") == 0
    return folder / "in", folder / "out"


def run(bundle, *arguments):
    try:
        return main(["segment", *map(str, arguments), "--bundle", str(bundle), "--tta", "none", "--device", "cpu"])
    except SystemExit as left:
        return left.code


@pytest.fixture
def segment(cohort, tiny_bundle, tmp_path, capsys):
    """Runs ``segment`` on a copy of the half-done cohort: (status, stdout, stderr)."""
    images, results = (shutil.copytree(folder, tmp_path / folder.name) for folder in cohort)

    def with_arguments(*arguments, given=images):
        capsys.readouterr()
        return run(tiny_bundle, given, "-o", results, "--format", "nifti", *arguments), *capsys.readouterr()

    return with_arguments


def test_house_20_of_two_cases_the_finished_one_is_skipped_and_both_are_done_with_exit_0(segment, tmp_path):
    before = (tmp_path / "out" / "a" / "manifest.json").read_bytes()
    status, out, err = segment("--skip-existing", "--json")
    assert status == 0
    assert [(case["case"], case["skipped"], case["error"]) for case in json.loads(out)["cases"]] == [
        ("a", True, None),
        ("b", False, None),
    ]
    assert "[1/2] a: done before, skipped, " in err
    assert (tmp_path / "out" / "a" / "manifest.json").read_bytes() == before
    assert sorted(os.listdir(tmp_path / "out")) == ["a", "b"]


def test_house_20_without_it_the_message_names_skip_existing_and_exit_1_stays(segment):
    status, _, err = segment()
    assert status == 1
    assert "a exists already; give --overwrite to replace it, --skip-existing to count it as done" in err


def test_house_20_a_corrected_mask_counts_as_done_and_stays(segment, nifti_case, tmp_path):
    shutil.copy(nifti_case[1], tmp_path / "out" / "a" / "ctv.nii.gz")
    assert segment("--skip-existing")[0] == 0
    assert (tmp_path / "out" / "a" / "ctv.nii.gz").read_bytes() == nifti_case[1].read_bytes()


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--format", "nifti,png"], "exists already but has no overlay.png; give --overwrite"),
        (["--probe-side", "top"], "contradicts"),
    ],
)
def test_house_20_a_folder_that_is_not_what_was_asked_for_is_not_counted_as_done(segment, arguments, reason):
    status, _, err = segment("--skip-existing", *arguments)
    assert status != 0
    assert reason in err


def test_house_20_a_folder_made_of_another_image_of_the_same_name_fails(segment, nifti_case, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    shutil.copy(nifti_case[0], other / "b.nii.gz")
    from prostate_seg import Volume, read, write

    image = read(nifti_case[0])
    write(Volume(image.array[::-1].copy(), image.affine), other / "a.nii.gz")
    status, _, err = segment("--skip-existing", given=other)
    assert status == 1
    assert "was made with another image (or it has changed since); give --overwrite instead" in err


@pytest.mark.parametrize(
    "content", ["{}", '{"outputs": ["manifest.json"]}', '{"outputs": ["manifest.json"], "input": 3}', "["]
)
def test_house_20_a_folder_without_the_manifest_of_segment_is_not_counted_as_done(segment, tmp_path, content):
    (tmp_path / "out" / "a" / "manifest.json").write_text(content)
    status, _, err = segment("--skip-existing")
    assert status == 1
    assert "exists already but has no manifest.json of segment" in err


def test_house_20_overwrite_and_skip_existing_exclude_each_other(segment):
    status, _, err = segment("--skip-existing", "--overwrite")
    assert status == 2
    assert "not allowed with argument" in err


def test_house_14_a_review_that_cannot_be_written_keeps_the_json_of_two_cases_and_exits_1(segment, monkeypatch):
    def full(*_):
        raise OutputError("Cannot write review.csv: No space left on device.")

    monkeypatch.setattr(report, "write_review", full)
    status, out, err = segment("--overwrite", "--review", "--json")
    assert status == 1
    assert [case["error"] for case in json.loads(out)["cases"]] == [None, None]
    assert "prostate-seg: the cases are done, but not the review: Cannot write review.csv: No space" in err
    assert "Traceback" not in err


def test_house_21_anonymous_names_with_identify_exits_2_and_writes_nothing(segment, tmp_path):
    status, out, err = segment("--anonymous-names", "--identify", "--format", "report")
    assert (status, out) == (2, "")
    assert "--anonymous-names keeps names out of the results, --identify puts them into the report" in err
    assert os.listdir(tmp_path / "out") == ["a"]
