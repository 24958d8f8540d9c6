"""Corrected cases become training cases, and a cohort is put in the order of its doubt."""

import csv
import json

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813

from prostate_seg.cli import main
from prostate_seg.errors import InputError, OutputError
from prostate_seg.reading.masks import read_mask
from prostate_seg.report.review_page import by_doubt
from prostate_seg.training.collect import collect
from prostate_seg.training.data import LoadCased
from prostate_seg.training.datalist import load


@pytest.fixture(scope="module")
def segmented(tiny_bundle, tmp_path_factory):
    """Two phantoms as segment writes them with a network of random weights and a mask of its own."""
    place = tmp_path_factory.mktemp("collect")
    assert main(["phantom", str(place / "study"), "-n", "2", "--seed", "3"]) == 0
    arguments = ["segment", str(place / "study" / "images"), "-o", str(place / "out"), "--bundle", str(tiny_bundle)]
    assert main([*arguments, "--format", "seg-nrrd,nrrd,report,uncertainty", "--review"]) == 0
    return place


def correct(file, box=(slice(8, 14), slice(20, 40), slice(30, 60))):
    """Draw a box (k, j, i) into the mask as Slicer would save it: same header, other voxels."""
    image = sitk.ReadImage(str(file))
    voxels = sitk.GetArrayFromImage(image)
    voxels[...] = 0
    voxels[box] = 1
    drawn = sitk.GetImageFromArray(voxels)
    drawn.CopyInformation(image)
    for key in image.GetMetaDataKeys():
        drawn.SetMetaData(key, image.GetMetaData(key))
    sitk.WriteImage(drawn, str(file))


def test_only_a_corrected_mask_is_taken_and_training_reads_it_on_its_image(segmented, tmp_path):
    from shutil import copytree

    cases = tmp_path / "out"
    copytree(segmented / "out", cases)
    correct(cases / "phantom3" / "ctv.seg.nrrd")
    done = collect([cases], tmp_path / "new")
    assert done.taken == ("phantom3",)
    assert "was not changed" in done.left_out["phantom4"]
    (entry,) = load(tmp_path / "new" / "datalist.json")["training"]
    assert entry["provenance"]["drawn"] == "corrected"
    assert entry["provenance"]["bundle"]["name"] == "prostate_us_segmenter"
    assert len(entry["provenance"]["input_sha256"]) == 64
    sample = LoadCased()(entry)
    assert int(sample["label"].sum()) == 6 * 20 * 30
    assert sample["label"].shape == sample["image"].shape


def test_a_mask_that_obeys_2_planes_is_taken_with_its_hints_though_nobody_redrew_it(nifti_case, tmp_path):
    arguments = [str(nifti_case[0]), "-o", str(tmp_path / "out"), "--format", "nrrd,seg-nrrd"]
    assert main(["refine", *arguments, "--apex", "3", "--base", "6"]) == 0
    done = collect([tmp_path / "out"], tmp_path / "new")
    (entry,) = load(done.datalist)["training"]
    assert entry["provenance"]["masks"] == {"CTV": "corrected"}
    assert entry["provenance"]["changed_after_hints"] is False
    kept = json.loads((tmp_path / "new" / entry["provenance"]["hints"]).read_text())
    assert [hint["end"] for hint in kept["hints"]] == ["apex", "base"]
    drawn = read_mask(entry["label"]).mask()
    assert np.flatnonzero(drawn.any(axis=(0, 1))).tolist() == [2, 3, 4, 5]
    (tmp_path / "out" / "scan" / "hints.json").unlink()
    with pytest.raises(InputError, match="its manifest tells of hints; refine the case again"):
        collect([tmp_path / "out"], tmp_path / "other")


def test_the_command_says_what_it_left_out_and_never_writes_over_a_folder(segmented, tmp_path, capsys):
    out = str(segmented / "out")
    assert main(["collect", out, "-o", str(tmp_path / "new")]) == 2
    assert "No case can be taken (phantom3: " in capsys.readouterr().err
    assert not (tmp_path / "new").exists()
    assert main(["collect", out, "-o", str(tmp_path / "new"), "--unchanged", "--validation", "2", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["taken"] == ["phantom3", "phantom4"]
    sections = load(told["datalist"])
    assert [len(sections[name]) for name in ("training", "validation")] == [1, 1]
    with pytest.raises(OutputError, match="is there already; give a new folder"):
        collect([segmented / "out"], tmp_path / "new", unchanged=True)
    with pytest.raises(InputError, match="holds no case"):
        collect([tmp_path], tmp_path / "other")


def test_patients_stay_on_one_side(segmented, tmp_path):
    done = collect(
        [segmented / "out"], tmp_path / "new", unchanged=True, validation=2,
        patients={"phantom3": "P1", "phantom4": "P1"},
    )  # fmt: skip
    sections = load(done.datalist)
    assert [len(sections[name]) for name in ("training", "validation")] == [2, 0]


def manifest(wrong, residual=1.0, volume_ml=30.0):
    doubt = {"probability_hd95_above_5_mm": {"value": wrong}, "residual_mm": residual}
    extent = {"axes": [40.0, 30.0, 35.0] if volume_ml else [0.0, 0.0, 0.0]}
    return {"uncertainty": doubt, "volume_ml": volume_ml, "extent_mm": extent, "warnings": []}


def test_an_empty_mask_comes_first_then_the_larger_probability_then_the_odder_shape():
    cohort = {
        "sure": manifest(0.1), "wrong": manifest(0.9), "empty": manifest(0.0, volume_ml=0),
        "odd": manifest(None, 3.0), "usual": manifest(None, 0.5),
    }  # fmt: skip
    assert by_doubt(cohort) == ["empty", "wrong", "sure", "odd", "usual"]
    cohort["usual"]["uncertainty"]["repaired_mm"] = {
        "mean": 3.5,
        "largest": 9.0,
    }  # no usual shape before the repair
    assert by_doubt(cohort) == ["empty", "wrong", "sure", "usual", "odd"]
    cohort["usual"]["uncertainty"]["looks_like"] = {"prostate": 0.05, "upside-down": 0.9, "other": 0.05}
    assert by_doubt(cohort) == ["empty", "usual", "wrong", "sure", "odd"]


def test_review_lists_every_case_once_with_a_link_to_its_report(segmented):
    with (segmented / "out" / "review.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert sorted(row["case"] for row in rows) == ["phantom3", "phantom4"]
    assert [row["place"] for row in rows] == ["1", "2"]
    for row in rows:
        told = json.loads((segmented / "out" / row["case"] / "manifest.json").read_text())["uncertainty"]
        assert float(row["repaired_largest_mm"]) == told["repaired_mm"]["largest"] >= told["repaired_mm"]["mean"]
        assert float(row["shape_sd"]) == told["shape_sd"]
    page = (segmented / "out" / "review.html").read_text()
    assert 'href="phantom3/report.html"' in page


def test_the_uncertainty_file_has_the_entropy_of_the_probability_in_bits_on_the_images_grid(segmented):
    case = segmented / "out" / "phantom3"
    bits = sitk.GetArrayFromImage(sitk.ReadImage(str(case / "uncertainty.nii.gz")))
    mask = read_mask(case / "ctv.seg.nrrd")
    assert bits.transpose(2, 1, 0).shape == mask.labels.shape
    assert 0 <= bits.min() <= bits.max() <= 1
    assert np.isfinite(bits).all()


def test_a_shape_model_of_masks_refines_and_nonsense_is_refused(segmented, tiny_bundle, tmp_path, capsys):
    labels = segmented / "study" / "labels"
    model = tmp_path / "shapes.npz"
    assert main(["shape-model", str(labels), "--phantoms", "4", "-o", str(model)]) == 0
    assert "6 shapes of " in capsys.readouterr().err
    case = [str(segmented / "study" / "images" / "phantom3.nii.gz"), "--bundle", str(tiny_bundle)]
    arguments = ["segment", *case, "--format", "nifti", "-o"]
    assert main([*arguments, str(tmp_path / "own"), "--shape-model", str(model)]) == 0
    assert main([*arguments, str(tmp_path / "both"), "--shape-model", str(model), "--no-refine"]) == 2
    assert main(["shape-model", str(labels), "-o", str(tmp_path / "few.npz")]) == 2
    assert main(["shape-model", str(labels), "-o", str(tmp_path / "shapes.txt")]) == 2
    told = capsys.readouterr().err
    for sentence in ("give either --shape-model or --no-refine", "5 masks or more, got 2", "is a file .npz"):
        assert sentence in told


def test_a_table_of_patients_names_every_case_and_the_current_folder_keeps_its_name(
    segmented, tmp_path, monkeypatch
):
    with pytest.raises(InputError, match="does not name phantom4; add them"):
        collect([segmented / "out"], tmp_path / "new", unchanged=True, patients={"phantom3": "P1"})
    monkeypatch.chdir(segmented / "out" / "phantom3")
    from pathlib import Path

    assert collect([Path()], tmp_path / "new", unchanged=True).taken == ("phantom3",)


def test_a_structure_that_was_corrected_or_added_is_collected_and_an_unchanged_one_is_not(segmented, tmp_path):
    from dataclasses import replace
    from shutil import copytree

    from prostate_seg.geometry.volume import Segmentation
    from prostate_seg.reading.masks import read_segments
    from prostate_seg.writing.manifest import voxel_digest
    from prostate_seg.writing.nrrd import write_seg_nrrd

    case = tmp_path / "out" / "phantom3"
    copytree(segmented / "out" / "phantom3", case)
    file = case / "ctv.seg.nrrd"
    segments, affine = read_segments(file)
    labels = np.zeros(segments["CTV"].shape, np.uint8)
    labels[30:60, 20:40, 4:8] = 1
    before, bladder, added = np.zeros((3, *labels.shape), bool)
    before[5:9, 5:9, 2:4], bladder[10:14, 5:9, 2:4], added[20:24, 5:9, 2:4] = True, True, True
    manifest = json.loads((case / "manifest.json").read_text())
    manifest["ctv_sha256"] = voxel_digest(labels == 1)
    known = {"volume_ml": 1.0, "learnt_on": "phantoms"}
    manifest["structures"] = {
        "Urethra": known | {"sha256": voxel_digest(before)},
        "Bladder": known | {"sha256": voxel_digest(bladder)},
    }
    (case / "manifest.json").write_text(json.dumps(manifest))
    whole = Segmentation(
        labels, affine, structures={"Urethra": np.roll(before, 1, axis=0), "Bladder": bladder, "Nodule": added}
    )
    write_seg_nrrd(file, replace(whole))
    collect([case], tmp_path / "new")
    (entry,) = load(tmp_path / "new" / "datalist.json")["training"]
    assert set(entry["structures"]) == {"Urethra", "Nodule"}
    assert "label" not in entry
    sample = LoadCased(structures=["urethra", "nodule", "bladder"])(entry)
    assert [int(part.max()) for part in sample["label"]] == [-1, 1, 1, -1]
    assert int(sample["label"][2].sum()) == 4 * 4 * 2
