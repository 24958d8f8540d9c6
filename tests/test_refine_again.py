"""A case is refined over its earlier result: which mask was corrected, whose folder it is, and what is kept."""

import json

import nibabel
import numpy as np
import pytest
from jsonschema import Draft202012Validator

from prostate_seg.cli import main
from prostate_seg.phantom.study import write_us
from prostate_seg.system.source_digest import description_of


def run(verb, image, out, *options):
    """Run a verb with NIfTI as format; return its exit status."""
    return main([verb, str(image), "-o", str(out), "--format", "nifti", *map(str, options)])


def redrawn(case, file, *slices):
    """Write a mask of a case to a file, with a rectangle of 15 x 15 voxels on some slices."""
    before = nibabel.load(case / "ctv.nii.gz")
    drawn = np.asarray(before.dataobj).copy()
    for k in slices:
        drawn[:, :, k] = 0
        drawn[30:45, 20:35, k] = 1
    nibabel.save(nibabel.Nifti1Image(drawn, before.affine, before.header), file)
    return file


def facts(case):
    return json.loads((case / "manifest.json").read_text())


def voxels(case):
    return np.asarray(nibabel.load(case / "ctv.nii.gz").dataobj) > 0


def another(image, file):
    """Write the image mirrored: another patient with the same grid."""
    found = nibabel.load(image)
    header = found.header.copy()
    header["descrip"] = description_of("")
    nibabel.save(nibabel.Nifti1Image(np.asarray(found.dataobj)[::-1].copy(), found.affine, header), file)
    return file


@pytest.mark.parametrize("settings", [("--tta", "none"), ("--tta", "full"), ("--no-refine",)])
def test_1_corrected_slice_is_1_contour_with_the_settings_that_segment_had(settings, nifti_case, tmp_path, capsys):
    assert run("segment", nifti_case[0], tmp_path, *settings) == 0
    before = facts(tmp_path / "scan")["settings"]
    file = redrawn(tmp_path / "scan", tmp_path / "c.nii.gz", 4)
    assert run("refine", nifti_case[0], tmp_path, "--hints", file) == 0
    after = facts(tmp_path / "scan")
    assert (after["hints"]["kinds"], after["settings"]) == (["contour"], before)
    assert "note: 1 of 8 slices were corrected" in capsys.readouterr().err


@pytest.fixture(scope="module")
def plain(nifti_case, tmp_path_factory):
    """A case as it was segmented, and two masks drawn on it: slice 5 and slice 3 corrected."""
    place = tmp_path_factory.mktemp("plain")
    assert run("segment", nifti_case[0], place) == 0
    five, three = (redrawn(place / "scan", place / f"c{k}.nii.gz", k) for k in (4, 2))
    return place / "scan", five, three


def test_2_masks_drawn_on_the_same_mask_are_2_contours_and_both_slices_are_as_drawn(plain, nifti_case, tmp_path):
    _, five, three = plain
    assert run("segment", nifti_case[0], tmp_path) == 0
    assert run("refine", nifti_case[0], tmp_path, "--apex", 2, "--hints", five, "--hints", three) == 0
    assert facts(tmp_path / "scan")["hints"]["kinds"] == ["plane", "contour", "contour"]
    mask = voxels(tmp_path / "scan")
    assert [int(mask[:, :, k].sum()) for k in (0, 2, 4)] == [0, 225, 225]


def test_a_mask_drawn_before_the_last_hints_is_refused_until_these_are_taken_back(
    plain, nifti_case, tmp_path, capsys
):
    _, five, three = plain
    assert run("refine", nifti_case[0], tmp_path, "--hints", five) == 0
    for file in (five, three):
        assert run("refine", nifti_case[0], tmp_path, "--hints", file) == 2
        told = capsys.readouterr().err
        assert f"{file.name} was drawn on an earlier mask, which obeyed 0 of the 1 hints" in told
        assert "--undo 1" in told
    assert run("refine", nifti_case[0], tmp_path, "--undo", 1, "--hints", three) == 0
    assert np.array_equal(voxels(tmp_path / "scan")[:, :, 2].nonzero()[0].min(), 30)
    again = redrawn(tmp_path / "scan", tmp_path / "again.nii.gz", 4)
    assert run("refine", nifti_case[0], tmp_path, "--hints", again) == 0
    assert facts(tmp_path / "scan")["hints"]["steps"] == [1, 2]


def test_other_weights_are_refused_by_name_and_from_scratch_keeps_the_hints_of_a_file(
    plain, nifti_case, tmp_path, capsys
):
    image = nifti_case[0]
    assert run("segment", image, tmp_path, "--weights", "phantoms", "--apex", 3) == 0
    before = facts(tmp_path / "scan")
    assert run("refine", image, tmp_path, "--base", 6) == 2
    told = capsys.readouterr().err.splitlines()[-1]
    assert "weights from phantoms, would come out otherwise, because the bundle or --weights differs" in told
    assert facts(tmp_path / "scan") == before
    assert run("refine", image, tmp_path, "--from-scratch", "--hints", tmp_path / "scan" / "hints.json") == 0
    after = facts(tmp_path / "scan")
    assert (after["bundle"]["name"], after["hints"]["kinds"]) == ("prostate_us_segmenter", ["plane"])


def test_a_folder_with_another_digest_than_its_hints_give_is_refused(plain, nifti_case, tmp_path, capsys):
    assert run("segment", nifti_case[0], tmp_path) == 0
    file = tmp_path / "scan" / "manifest.json"
    changed = facts(tmp_path / "scan") | {"device": "cuda:0", "ctv_sha256": "ab" * 32}
    (tmp_path / "scan" / "ctv.nii.gz").unlink()
    file.write_text(json.dumps(changed))
    assert run("refine", nifti_case[0], tmp_path, "--apex", 3) == 2
    assert "because --device differs, cuda:0 then and cpu now; give the options" in capsys.readouterr().err


def test_a_mask_that_was_changed_in_the_folder_is_to_be_given_as_hint(plain, nifti_case, tmp_path, capsys):
    assert run("segment", nifti_case[0], tmp_path) == 0
    inside = redrawn(tmp_path / "scan", tmp_path / "scan" / "ctv.nii.gz", 4)
    assert run("refine", nifti_case[0], tmp_path, "--hints", inside) == 2
    assert "ctv.nii.gz was changed since it was written; move it out of the folder" in capsys.readouterr().err
    inside.rename(tmp_path / "moved.nii.gz")
    assert run("refine", nifti_case[0], tmp_path, "--hints", tmp_path / "moved.nii.gz") == 0
    assert facts(tmp_path / "scan")["hints"]["count"] == 1


def test_the_second_of_2_images_called_scan_is_refined_in_its_own_folder(nifti_case, tmp_path, capsys):
    for name in ("x", "y"):
        (tmp_path / "in" / name).mkdir(parents=True)
    (tmp_path / "in" / "x" / "scan.nii.gz").write_bytes(nifti_case[0].read_bytes())
    second = another(nifti_case[0], tmp_path / "in" / "y" / "scan.nii.gz")
    out = tmp_path / "out"
    assert run("segment", tmp_path / "in", out) == 0
    first = facts(out / "scan")
    assert run("refine", second, out, "--apex", 3) == 0
    assert facts(out / "scan") == first
    assert facts(out / "scan-2")["hints"]["count"] == 1
    assert run("segment", nifti_case[0], tmp_path / "one") == 0
    assert run("refine", second, tmp_path / "one", "--apex", 3) == 2
    assert "scan is the result of another image and would be lost" in capsys.readouterr().err


def test_an_anonymous_case_is_refined_under_its_12_digits(nifti_case, tmp_path, capsys):
    image, out = tmp_path / "Weber_Hans.nii.gz", tmp_path / "out"
    image.write_bytes(nifti_case[0].read_bytes())
    assert run("segment", image, out, "--anonymous-names") == 0
    assert run("refine", image, out, "--apex", 3) == 0
    assert run("refine", image, tmp_path / "new", "--anonymous-names", "--apex", 3) == 0
    (folder,) = out.iterdir()
    assert len(folder.name) == 12
    assert [one.name for one in (tmp_path / "new").iterdir()] == [folder.name]
    assert facts(folder)["hints"]["count"] == 1
    assert run("refine", image, out, "--apex", 9) == 2
    assert "Weber" not in "".join(capsys.readouterr())


def test_names_and_labels_of_hint_files_are_in_no_message_of_an_anonymous_case(nifti_case, tmp_path, capsys):
    file = tmp_path / "Weber_Hans.mrk.json"
    point = {"label": "Weber 1955", "position": [0, 0, 0]}
    file.write_text(json.dumps({"markups": [{"type": "Fiducial", "controlPoints": [point]}]}))
    assert run("segment", nifti_case[0], tmp_path / "out", "--anonymous-names", "--hints", file) == 2
    told = capsys.readouterr().err
    assert "expected a name that begins with inside" in told
    assert not {"Weber", "1955"} & set(told.replace("_", " ").replace("'", " ").split())


def test_a_file_without_a_digest_leaves_the_digest_of_the_image_in_the_hints(nifti_case, tmp_path):
    file = tmp_path / "h.json"
    row = {"type": "plane", "end": "apex", "slice": 3}
    file.write_text(json.dumps({"space": "RAS mm", "hints": [row]}))
    assert run("refine", nifti_case[0], tmp_path / "o", "--hints", file) == 0
    found = json.loads((tmp_path / "o" / "scan" / "hints.json").read_text())
    assert found["image_sha256"] == facts(tmp_path / "o" / "scan")["input"]["sha256"]
    file.write_text(json.dumps(found | {"image_sha256": "ab" * 32}))
    assert run("refine", nifti_case[0], tmp_path / "p", "--hints", file) == 2


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
