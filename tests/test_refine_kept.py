"""What a refined case keeps of its earlier result, and what its manifest and other verbs say of its hints."""

import json

import nibabel
import numpy as np
import pytest
from jsonschema import Draft202012Validator
from refined import facts, run

from prostate_seg.cli import main
from prostate_seg.phantom.study import write_us


@pytest.fixture
def refined(nifti_case, tmp_path):
    """The folder of a case that obeys 1 hint."""
    assert run("segment", nifti_case[0], tmp_path / "p", "--part", "1/1") == 0
    assert main(["merge", str(tmp_path / "p"), "-o", str(tmp_path / "o")]) == 0
    assert run("refine", nifti_case[0], tmp_path / "o", "--apex", 3) == 0
    return tmp_path / "o" / "scan"


def test_segment_and_merge_over_a_case_with_hints_are_refused_and_export_keeps_them(
    refined, nifti_case, tmp_path, capsys
):
    before = facts(refined)
    assert run("segment", nifti_case[0], tmp_path / "o", "--overwrite") == 2
    assert "obeys hints (1), which would be lost; change it by prostate-seg refine" in capsys.readouterr().err
    assert main(["merge", str(tmp_path / "p"), "-o", str(tmp_path / "o")]) == 2
    assert "obeys hints (1), which would be lost" in capsys.readouterr().err
    assert facts(refined) == before
    for _ in range(2):
        source = ["--source", str(nifti_case[0]), "-o", str(tmp_path / "e"), "--format", "seg-nrrd", "--overwrite"]
        assert main(["export", str(refined), *source]) == 0
    exported = facts(tmp_path / "e" / "scan")
    assert (exported["drawn"], exported["hints"]) == ("semiautomatic", before["hints"])
    assert (tmp_path / "e" / "scan" / "hints.json").read_text() == (refined / "hints.json").read_text()


def test_a_manifest_with_hints_fits_the_schema_and_says_only_what_is_known(refined, repository):
    found = facts(refined)
    Draft202012Validator(json.loads((repository / "docs" / "manifest.schema.json").read_text())).validate(found)
    doubt = found["uncertainty"]
    assert [doubt[name] for name in ("spread_mm", "disagreement")] == [None, None]
    assert doubt["repaired_mm"] == {"mean": None, "largest": None}
    assert doubt["reason"] == "spread, disagreement and repair are those of the mask without hints"
    assert doubt["passes"] == 2
    assert found["hints"]["moved_mm"]["largest"] == 10.0  # slices 1 and 2 of 5 mm are gone


def test_review_csv_counts_the_hints_of_a_case(refined, nifti_case):
    assert run("segment", nifti_case[0], refined.parent, "--skip-existing", "--review") == 0
    head, row = (refined.parent / "review.csv").read_text().splitlines()[:2]
    assert dict(zip(head.split(","), row.split(","), strict=False))["hints"] == "1"


def test_a_single_slice_is_refined_without_a_volume(nifti_case, tmp_path, capsys):
    found = nibabel.load(nifti_case[0])
    image = tmp_path / "one.nii.gz"
    nibabel.save(nibabel.Nifti1Image(np.asarray(found.dataobj)[:, :, 3:4], found.affine), image)
    assert run("segment", image, tmp_path / "o") == 0
    at = nibabel.load(tmp_path / "o" / "one" / "ctv.nii.gz")
    i, j, _ = np.argwhere(np.asarray(at.dataobj)).mean(axis=0)
    point = at.affine @ [i + 20, j, 0, 1]
    row = {"type": "point", "side": "boundary", "at_mm": point[:3].tolist()}
    (tmp_path / "h.json").write_text(json.dumps({"space": "RAS mm", "hints": [row]}))
    assert run("refine", image, tmp_path / "o", "--hints", tmp_path / "h.json") == 0
    assert "1 hint: one slice" in capsys.readouterr().err
    after = facts(tmp_path / "o" / "one")
    assert (after["volume_ml"], after["hints"]["volume_before_ml"]) == (None, None)


def test_another_frame_spacing_is_refused_and_without_one_that_of_the_result_counts(
    small_phantom, tmp_path, capsys
):
    write_us(small_phantom.image, tmp_path / "study", kind="series-without-positions")
    study, out = tmp_path / "study", tmp_path / "o"
    assert run("refine", study, out, "--frame-spacing", 5, "--apex", 3) == 0
    assert run("refine", study, out, "--frame-spacing", 6) == 2
    assert "made with --frame-spacing 5.0, got 6.0" in capsys.readouterr().err
    assert run("refine", study, out, "--base", 6) == 0
    found = facts(out / "study")
    assert (found["acquisition"]["frame_spacing_mm"], found["hints"]["count"]) == (5.0, 2)


def test_structures_formats_and_margins_of_the_earlier_result_are_kept(nifti_case, tmp_path, capsys):
    common = [str(nifti_case[0]), "-o", str(tmp_path)]
    assert main(["segment", *common, "--structures", "Urethra", "--format", "seg-nrrd,report"]) == 0
    before = facts(tmp_path / "scan")
    assert main(["refine", *common, "--apex", "3"]) == 0
    after = facts(tmp_path / "scan")
    assert list(after["structures"]) == list(before["structures"]) == ["Urethra"]
    assert sorted(after["outputs"]) == sorted([*before["outputs"], "hints.json"])
    assert main(["refine", *common, "--structures", "CTV", "--format", "nifti"]) == 0
    assert "structures" not in facts(tmp_path / "scan")


def test_a_ptv_margin_must_be_given_again(small_phantom, tmp_path, capsys):
    write_us(small_phantom.image, tmp_path / "study")
    common = [str(tmp_path / "study"), "-o", str(tmp_path / "o")]
    assert main(["segment", *common, "--format", "rtstruct", "--ptv-margin", "3"]) == 0
    assert main(["refine", *common, "--apex", "3"]) == 2
    assert "give its --ptv-margin" in capsys.readouterr().err
    assert main(["refine", *common, "--apex", "3", "--ptv-margin", "3"]) == 0


def test_parts_with_other_hints_have_other_settings(nifti_case, tmp_path):
    digests = set()
    for apex in (3, 4):
        assert run("segment", nifti_case[0], tmp_path / str(apex), "--part", "1/1", "--apex", apex) == 0
        digests.add(json.loads((tmp_path / str(apex) / "part-1-of-1.json").read_text())["settings_sha256"])
    assert len(digests) == 2


def test_a_contradiction_to_an_earlier_hint_says_how_that_is_taken_back(nifti_case, tmp_path, capsys):
    assert run("refine", nifti_case[0], tmp_path, "--apex", 5) == 0
    assert run("refine", nifti_case[0], tmp_path, "--base", 3) == 2
    told = capsys.readouterr().err.splitlines()[-1]
    assert "Hint 1 (plane of the apex) contradicts hint 2 (plane of the base)" in told
    assert "leave one of the two out (hint 1 is that of" in told
    assert told.endswith("--undo N takes back the last N, --from-scratch --hints FILE takes an edited copy).")


def test_the_manifest_says_that_a_base_at_slice_4_of_8_moves_the_surface_by_20_mm(nifti_case, tmp_path):
    assert run("refine", nifti_case[0], tmp_path, "--base", 4) == 0
    found = facts(tmp_path / "scan")
    assert found["hints"]["moved_mm"]["largest"] == pytest.approx(20, abs=3)  # slices 5 to 8 of 5 mm are gone
    assert found["extent_mm"]["axes"][2] == pytest.approx(20)
