"""The command line as its users meet it: verbs, outputs, exit 0, 1 and 2."""

import json
import os
import re
import shutil

import nibabel
import numpy as np
import pytest

from prostate_seg import read
from prostate_seg.cli import main
from prostate_seg.reading.masks import read_mask
from prostate_seg.writing.dicom.ultrasound import write_us

FILES = ["ctv.nii.gz", "ctv.seg.nrrd", "manifest.json", "overlay.png", "report.html", "trus.nrrd"]


@pytest.fixture
def run(tiny_bundle, capsys):
    """Runs ``segment`` with the tiny bundle, other verbs as they are: (status, stdout, stderr)."""

    def with_arguments(verb, *arguments):
        bundle = ["--bundle", str(tiny_bundle), "--tta", "none"] if verb == "segment" else []
        try:
            status = main([verb, *map(str, arguments), *bundle])
        except SystemExit as left:
            status = left.code
        return status, *capsys.readouterr()

    return with_arguments


@pytest.fixture(scope="module")
def study(small_phantom, tmp_path_factory):
    """A series with positions; the same without (no gap in the file); and something that is no image."""
    folder = tmp_path_factory.mktemp("Grüße 7") / "study"
    write_us(small_phantom.image, folder / "with positions", kind="series")
    write_us(small_phantom.image, folder / "without", kind="series-without-positions")
    (folder / "notes.txt").write_text("nothing")
    return folder


class TestSegment:
    def test_a_file_becomes_a_folder_of_6_files_whose_paths_are_on_stdout(self, run, nifti_case, tmp_path):
        status, out, err = run("segment", nifti_case[0], "-o", tmp_path / "out")
        assert status == 0
        assert sorted(path.name for path in (tmp_path / "out" / "scan").iterdir()) == FILES
        assert sorted(out.split()) == [str(tmp_path / "out" / "scan" / name) for name in FILES]
        assert err.startswith("[1/1] scan: ")

    def test_the_manifest_has_what_scripts_depend_on_and_no_path(self, run, nifti_case, tmp_path):
        run("segment", nifti_case[0], "-o", tmp_path / "out", "--format", "nifti")
        text = (tmp_path / "out" / "scan" / "manifest.json").read_text()
        manifest = json.loads(text)
        assert {
            *("input", "orientation", "volume_ml", "extent_mm", "spacing_mm", "uncertainty", "warnings"),
            *("outputs", "timing_s", "device", "bundle", "versions"),
        } <= set(manifest)
        assert manifest["outputs"] == ["ctv.nii.gz", "manifest.json"]
        mask = read_mask(tmp_path / "out" / "scan" / "ctv.nii.gz")
        assert manifest["volume_ml"] == pytest.approx(mask.volume_ml, abs=1e-3)
        assert "scan" not in text
        assert str(tmp_path) not in text

    def test_of_two_series_one_fails_for_want_of_a_gap_and_the_other_is_done(self, run, study, tmp_path):
        status, out, err = run("segment", study, "-o", tmp_path / "out")
        assert status == 1
        assert "with_positions" in out
        assert "[2/2] failed: without (8 files): the file gives no distance between its frames ((0018,0088)" in err
        assert sorted(os.listdir(tmp_path / "out")) == ["with_positions"]

    def test_a_frame_spacing_of_5_mm_fills_the_gap(self, run, study, tmp_path):
        status, *_ = run("segment", study / "without", "-o", tmp_path / "out", "--frame-spacing", 5)
        manifest = json.loads((tmp_path / "out" / "without" / "manifest.json").read_text())
        assert status == 0
        assert manifest["spacing_mm"] == [1.2, 1.2, 5.0]
        assert manifest["orientation"] == "assumed"
        assert manifest["extent_mm"]["patient"] is None

    def test_one_slice_is_segmented_in_2d_and_has_no_volume_and_no_third_extent(self, run, study, tmp_path):
        slice_file = sorted((study / "with positions").iterdir())[3]
        status, _, err = run("segment", slice_file, "-o", tmp_path / "out")
        manifest = json.loads((tmp_path / "out" / slice_file.stem / "manifest.json").read_text())
        assert status == 0
        assert "one slice" in err
        assert "2D" in " ".join(manifest["warnings"])
        assert manifest["volume_ml"] is None
        assert manifest["extent_mm"]["axes"][2] is None
        assert manifest["extent_mm"]["patient"]["superior_inferior"] is None

    def test_json_is_all_that_stdout_holds(self, run, study, tmp_path):
        status, out, _ = run("segment", study, "-o", tmp_path / "out", "--json")
        told = json.loads(out)
        assert status == 1
        assert [case["case"] for case in told["cases"]] == ["with_positions", "without"]
        assert told["cases"][0]["manifest"]["bundle"]["name"] == "prostate_us_segmenter"
        assert told["cases"][0]["error"] is told["cases"][1]["manifest"] is None

    def test_2_jobs_give_the_masks_of_1_in_the_same_order(self, run, study, nifti_case, tmp_path):
        inputs = [study / "with positions", nifti_case[0], study / "without"]
        one = run("segment", *inputs, "-o", tmp_path / "1", "--format", "nifti")
        two = run("segment", *inputs, "-o", tmp_path / "2", "--format", "nifti", "--jobs", 2)
        timed = re.compile(r" in \d+ s: ")
        assert timed.sub("", two[2]) == timed.sub("", one[2]).replace(str(tmp_path / "1"), str(tmp_path / "2"))
        for name in ("with_positions", "scan"):
            first, second = (tmp_path / jobs / name / "ctv.nii.gz" for jobs in "12")
            assert first.read_bytes() == second.read_bytes()

    def test_names_with_spaces_links_and_the_current_folder_are_taken(self, run, nifti_case, tmp_path, monkeypatch):
        (tmp_path / "in").mkdir()
        shutil.copy(nifti_case[0], tmp_path / "in" / "Fall é 1.nii.gz")
        (tmp_path / "in" / "link.nii.gz").symlink_to(nifti_case[0])
        monkeypatch.chdir(tmp_path / "in")
        status, *_ = run("segment", ".", "link.nii.gz", "-o", "../out", "--format", "nifti")
        assert status == 0
        assert sorted(os.listdir(tmp_path / "out")) == ["Fall_é_1", "link"]

    def test_labels_and_earlier_results_in_a_folder_are_skipped(self, run, nifti_case, tmp_path):
        folder = tmp_path / "in"
        shutil.copytree(nifti_case[0].parent, folder)
        run("segment", folder / "scan.nii.gz", "-o", folder / "results")
        status, _, err = run("segment", folder, "-o", tmp_path / "out")
        assert status == 0
        assert os.listdir(tmp_path / "out") == ["scan"]
        assert "skipped scan_label.nii.gz: a label map (NIfTI intent 1002)" in err
        assert "skipped scan/trus.nrrd: of an earlier result" in err


class TestOtherVerbs:
    def test_phantom_writes_the_same_bytes_twice_and_leaves_nothing_else(self, run, tmp_path):
        found = []
        for _ in range(2):
            assert run("phantom", tmp_path, "--seed", 3)[0] == 0
            found.append({path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()})
        assert found[0] == found[1]
        assert sorted(path.name for path in found[0]) == ["phantom3.nii.gz", "phantom3.nii.gz"]

    def test_a_phantom_of_another_dicom_kind_takes_the_place_of_the_first(self, run, tmp_path):
        for kind, files in (("multiframe", ["phantom3.dcm"]), ("enhanced-volume", ["phantom3.dcm"])):
            status, out, _ = run("phantom", tmp_path, "--seed", 3, "--format", "dicom", "--kind", kind)
            image, label = out.split()
            assert status == 0
            assert os.listdir(image) == files
        assert np.allclose(read(image).affine, nibabel.load(label).affine)

    @pytest.mark.parametrize(
        ("arguments", "told"),
        [
            (["--seed", "-1"], "--seed is a whole number from 0, got -1"),
            (["-n", "0"], "at least 1, got 0"),
            (["--kind", "multiframe"], "--kind multiframe is a kind of DICOM; give --format dicom"),
        ],
    )
    def test_phantom_refuses_what_makes_no_sense(self, run, tmp_path, arguments, told):
        status, _, err = run("phantom", tmp_path / "out", *arguments)
        assert status == 2
        assert told in err
        assert not (tmp_path / "out").exists()

    def test_evaluate_of_a_mask_with_itself_is_dice_1_and_exit_0(self, run, nifti_case, tmp_path):
        label = shutil.copy(nifti_case[1], tmp_path / "same.nii.gz")
        status, out, err = run("evaluate", label, nifti_case[1], "-o", tmp_path)
        assert status == 0
        assert "1.000" in out
        assert "metrics.csv" in err

    def test_evaluate_tells_a_failed_case_on_stderr_and_exits_1(self, run, nifti_case, tmp_path):
        for folder in ("a", "b"):
            (tmp_path / folder).mkdir()
            shutil.copy(nifti_case[1], tmp_path / folder / "one.nii.gz")
            (tmp_path / folder / "two.nii.gz").write_bytes(b"damaged")
        status, out, err = run("evaluate", tmp_path / "a", tmp_path / "b")
        assert status == 1
        assert "one" in out
        assert err.startswith("failed: two: Cannot read the mask two.nii.gz")

    def test_evaluate_exits_2_where_nothing_can_be_compared_or_written(self, run, nifti_case, tmp_path):
        label = nifti_case[1]
        (tmp_path / "file").write_text("")
        assert run("evaluate", label, tmp_path / "absent")[0] == 2
        copy = shutil.copy(label, tmp_path / "same.nii.gz")
        status, out, err = run("evaluate", copy, label, "-o", tmp_path / "file" / "out")
        assert (status, out) == (2, "")
        assert "cannot be written (Not a directory)" in err

    def test_info_is_json_with_the_version_of_the_package(self, run):
        from prostate_seg import __version__

        status, out, _ = run("info", "--json")
        assert status == 0
        assert json.loads(out)["versions"]["prostate-seg"] == __version__
