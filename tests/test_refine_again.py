"""A case is refined over its earlier result: which mask was corrected, and whose folder it is."""

import json

import nibabel
import numpy as np
import pytest
from refined import facts, redrawn, run, voxels

from prostate_seg.system.source_digest import description_of


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


def test_hints_that_were_edited_in_the_folder_or_are_gone_are_refused_and_count_from_scratch(
    nifti_case, tmp_path, capsys
):
    assert run("refine", nifti_case[0], tmp_path, "--apex", 3) == 0
    kept = tmp_path / "scan" / "hints.json"
    kept.write_text(kept.read_text().replace("apex", "base"))
    assert run("refine", nifti_case[0], tmp_path) == 2
    assert "hints.json was changed since it was written; move it out of the folder" in capsys.readouterr().err
    kept.rename(tmp_path / "edited.json")
    assert run("refine", nifti_case[0], tmp_path) == 2
    assert "scan obeys hints, but its hints.json is gone; put it back" in capsys.readouterr().err
    assert run("refine", nifti_case[0], tmp_path, "--from-scratch", "--hints", tmp_path / "edited.json") == 0
    assert not voxels(tmp_path / "scan")[:, :, 3:].any()


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
