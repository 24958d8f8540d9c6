"""``prepare --from``: public sets in their published layouts become training data, right to the voxel."""

import json
import os
import shutil
from pathlib import Path

import nibabel
import numpy as np
import pytest
from public_sets import (
    MICRO,
    deepreg_case,
    micro_scan,
    nifti,
    regpro_case,
)

from prostate_seg import read
from prostate_seg.cli import main
from prostate_seg.reading.masks import read_mask
from prostate_seg.training.datalist import load


def taken(data, name):
    """Image and mask of a prepared case."""
    return read(data / f"images/{name}.nrrd"), read_mask(data / f"labels/{name}.nii.gz")


def sections(data):
    return {part: sorted(case["case"] for case in cases) for part, cases in load(data / "datalist.json").items()}


def left_over(data):
    return {row["name"]: row["reason"] for row in json.loads((data / "left_over.json").read_text())["left_over"]}


@pytest.fixture(scope="module")
def regpro(tmp_path_factory):
    folder = tmp_path_factory.mktemp("regpro")
    made = [regpro_case(folder, *where) for where in (("train", "c1", 3), ("train", "c2", 4), ("val", "c1", 5))]
    nifti(folder / "train/mr_images/c1.nii.gz", np.zeros((4, 4, 4), np.float32), (0.8,) * 3)
    return folder, made


@pytest.mark.slow
def test_mu_regpro_keeps_voxels_spacing_and_its_official_split(regpro, tmp_path):
    data = tmp_path / "data"
    assert main(["prepare", "--from", "mu-regpro", str(regpro[0]), "-o", str(data), "--jobs", "2"]) == 0
    assert sections(data) == {
        "training": ["mu-regpro-train-c1", "mu-regpro-train-c2"], "validation": ["mu-regpro-val-c1"], "testing": []
    }  # fmt: skip
    for name, (image, gland) in zip(("train-c1", "train-c2", "val-c1"), regpro[1], strict=True):
        volume, mask = taken(data, f"mu-regpro-{name}")
        assert np.array_equal(mask.mask(), gland)
        assert volume.spacing_mm == pytest.approx((0.8, 0.8, 0.8))
        seen = volume.array > 0
        assert np.array_equal(volume.array[seen], image[seen])
        assert volume.orientation == mask.orientation == "assumed"
        assert np.allclose(np.diag(volume.affine)[:3], 0.8)  # the header's directions
    (case,) = load(data / "datalist.json")["validation"]
    assert case["provenance"]["source"] == "doi:10.5281/zenodo.7870104"
    assert case["provenance"]["files"]["mask"]["file"] == "c1.nii.gz"
    before = {path: path.stat().st_mtime_ns for path in (data / "images").iterdir()}
    assert main(["prepare", "--from", "mu-regpro", str(regpro[0]), "-o", str(data), "--validation", "2"]) == 0
    assert {path: path.stat().st_mtime_ns for path in (data / "images").iterdir()} == before
    assert sections(data)["validation"] == ["mu-regpro-train-c2"]


def test_axes_that_the_user_gives_count_as_an_option_and_make_the_cases_anew(regpro, tmp_path):
    """Array axes to inferior, left and anterior: column vectors (0, 0, -0.8), (-0.8, 0, 0), (0, 0.8, 0) in RAS."""
    data = tmp_path / "data"
    assert main(["prepare", "--from", "mu-regpro", str(regpro[0] / "val"), "-o", str(data)]) == 0
    assert main(["prepare", "--from", "mu-regpro", str(regpro[0]), "-o", str(data), "--axes", "ila"]) == 0
    volume, mask = taken(data, "mu-regpro-val-c1")
    expected = [[0, -0.8, 0], [0, 0, 0.8], [-0.8, 0, 0]]
    assert np.allclose(volume.affine[:3, :3], expected)
    assert np.allclose(mask.affine[:3, :3], expected)
    assert load(data / "datalist.json")["validation"][0]["provenance"]["orientation"] == "option"


def test_a_damaged_case_of_each_kind_is_told_in_a_sentence_and_the_others_are_taken(tmp_path):
    regpro_case(tmp_path / "set", "train", "good", 3)
    regpro_case(tmp_path / "set", "train", "coarse", 3, spacing=0.7)
    regpro_case(tmp_path / "set", "train", "swapped", 3, order=(1, 0, 2, 3, 4, 5))
    for name in ("flat", "cut", "alone", "moved", "several"):
        regpro_case(tmp_path / "set", "train", name, 3)
    labels = tmp_path / "set/train/us_labels"
    whole = nibabel.load(labels / "good.nii.gz").get_fdata(dtype=np.float32)
    nifti(labels / "flat.nii.gz", whole[..., 0], (0.8,) * 3)
    nifti(labels / "moved.nii.gz", whole, (0.8,) * 3, np.diag([0.8, 0.8, -0.8, 1.0]))
    nifti(labels / "several.nii.gz", whole * np.where(np.arange(61) < 30, 1, 2)[:, None, None, None], (0.8,) * 3)
    (labels / "cut.nii.gz").write_bytes((labels / "good.nii.gz").read_bytes()[:2000])
    (labels / "alone.nii.gz").unlink()
    nifti(labels / "good.nii", whole, (0.8,) * 3)
    data = tmp_path / "data"
    assert main(["prepare", "--from", "mu-regpro", str(tmp_path / "set"), "-o", str(data)]) == 1
    assert sections(data)["training"] == ["mu-regpro-train-good"]
    told = {name.removeprefix("train/").removesuffix(".nii.gz"): reason for name, reason in left_over(data).items()}
    assert told.pop("coarse") == "voxels of 0.7 x 0.7 x 0.7 mm, expected 0.8 mm in every direction"
    assert "mask 2 of swapped.nii.gz is the largest" in told.pop("swapped")
    assert told.pop("flat") == "flat.nii.gz has 3 axes, expected 4, the last one of masks"
    assert told.pop("moved").startswith("moved.nii.gz lies on another grid than its image")
    assert "holds values from 1 to 2 beside 0, expected one" in told.pop("several")
    assert told.pop("cut").startswith("cut.nii.gz: the image is damaged or cut short")
    assert told.pop("us_labels/good") == "good.nii is of the same case and was taken; delete one of the two"
    assert told == {"alone": "it has no mask of its name"}


def test_deepreg_gets_1_6_mm_and_left_posterior_superior_in_place_of_its_wrong_header(tmp_path):
    """A header of 0.4 mm would make the gland of 30 mL one of 0.5 mL."""
    phantom = deepreg_case(tmp_path / "set", "case000000", 7)
    deepreg_case(tmp_path / "set", "case000001", 8, spacing=1.6, layers=0)
    deepreg_case(tmp_path / "set", "case000002", 8, spacing=0.8)
    data = tmp_path / "data"
    assert main(["prepare", "--from", "deepreg", str(tmp_path / "set"), "-o", str(data)]) == 1
    volume, mask = taken(data, "deepreg-case000000")
    assert np.array_equal(mask.labels, phantom.truth.labels)
    assert np.allclose(volume.affine, np.diag([-1.6, -1.6, 1.6, 1]))
    assert mask.volume_ml == pytest.approx(30, rel=0.1)
    inside = mask.mask()
    assert np.array_equal(volume.array[inside], phantom.image.array[inside])
    assert sections(data)["training"] == ["deepreg-case000000", "deepreg-case000001"]
    assert "expected 0.4 mm as published" in left_over(data)["train/case000002.nii.gz"]
    (tmp_path / "set/train/fixed_images/case000000.nii.gz").rename(tmp_path / "case000000.nii.gz")
    assert main(["prepare", "--from", "deepreg", str(tmp_path / "set"), "-o", str(data), "--axes", "PRS"]) == 1
    volume, _ = taken(data, "deepreg-case000001")
    assert (volume.orientation, taken(data, "deepreg-case000000")[0].orientation) == ("file", "assumed")
    assert np.allclose(volume.affine, np.diag([1.6, -1.6, 1.6, 1]))


@pytest.mark.realdata
@pytest.mark.skipif("PROSTATE_SEG_DATA" not in os.environ, reason="PROSTATE_SEG_DATA is not set")
def test_3_real_deepreg_cases_are_taken_voxel_for_voxel_with_glands_of_10_to_160_ml(tmp_path):
    source = Path(os.environ["PROSTATE_SEG_DATA"]) / "trus27"
    for number in (0, 13, 26):
        for part, kind in (("images", "fixed_images"), ("labels", "fixed_labels")):
            place = tmp_path / "paired/train" / kind
            place.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / part / f"case{number:02}.nii.gz", place / f"case{number:06}.nii.gz")
    assert main(["prepare", "--from", "deepreg", str(tmp_path / "paired"), "-o", str(tmp_path / "data")]) == 0
    for number in (0, 13, 26):
        _, mask = taken(tmp_path / "data", f"deepreg-case{number:06}")
        stored = read_mask(source / "labels" / f"case{number:02}.nii.gz")
        assert np.array_equal(mask.labels.transpose(1, 0, 2), stored.labels)
        assert 10 < mask.volume_ml < 160
        turned = stored.affine[:, [1, 0, 2, 3]]  # the corrected copies say posterior, left, superior
        assert np.allclose(mask.affine[:3, :3], turned[:3, :3])


@pytest.fixture(scope="module")
def micro(tmp_path_factory):
    folder = tmp_path_factory.mktemp("micro")
    made = micro_scan(folder / "set", "train", 1)
    micro_scan(folder / "set", "test", 2, slices=2)
    assert main(["prepare", "--from", "micro-us", str(folder / "set"), "-o", str(folder / "data")]) == 0
    return folder, made


def test_a_micro_ultrasound_slice_is_a_sheet_turned_upright_whose_mask_ends_with_the_image(micro):
    """Rows 90 to 599 are drawn; 90 to 99 are black. Turned, the last drawn row is 962 - 1 - 100 = 861."""
    folder, (image, mask) = micro
    assert sections(folder / "data") == {
        "training": ["micro-us-train_01-002", "micro-us-train_01-003"], "validation": [],
        "testing": ["micro-us-test_02-002"],
    }  # fmt: skip
    volume, found = taken(folder / "data", "micro-us-train_01-003")
    assert volume.array.shape == (*MICRO, 1)
    assert volume.spacing_mm == pytest.approx((0.033586, 0.033586, 1.0))
    seen = volume.array[..., 0] > 0
    assert seen.mean() > 0.85
    assert np.array_equal(volume.array[seen, 0], image[:, ::-1, 2][seen])
    cut = mask[..., 2].astype(bool)
    cut[:, :100] = False
    assert np.array_equal(found.mask()[..., 0], cut[:, ::-1])
    rows = np.flatnonzero(found.mask().any(axis=(0, 2)))
    assert (rows[0], rows[-1]) == (962 - 600, 861)
    assert np.allclose(
        volume.affine[:3, :3] @ [0, 0, 1], [-1, 0, 0]
    )  # a sagittal sheet: slices would go to the left
    assert {case["patient"] for case in load(folder / "data/datalist.json")["training"]} == {"micro-us-train_01"}


def test_the_trainer_makes_one_sagittal_layer_of_29_x_16_voxels_of_a_micro_ultrasound_slice(micro, repository):
    """46.1 x 32.3 mm on the grid of 1.6 mm to the left and to posterior, and 2 mm to superior."""
    from monai.transforms import Compose, Orientationd

    from prostate_seg.inference import ModelGridd
    from prostate_seg.training import LoadCased

    (case, *_) = load(micro[0] / "data/datalist.json")["testing"]
    keys = ["image", "label"]
    steps = [LoadCased(), Orientationd(keys, "LPS", labels=None), ModelGridd(keys, [1.6, 1.6, 2.0], labels="label")]
    made = Compose(steps)(case)
    assert made["image"].shape[1] == 1
    assert made["image"].shape[2:] == pytest.approx((32.3 / 1.6, 46.1 / 2.0), abs=1)
    assert made["label"].shape == made["image"].shape


def test_scans_that_are_no_micro_ultrasound_are_left_over(tmp_path):
    micro_scan(tmp_path / "set", "train", 1, slices=2)
    scans, masks = (tmp_path / "set/train" / name for name in ("micro_ultrasound_scans", "expert_annotations"))
    stored = nibabel.load(masks / "expert_annotation_train_01.nii.gz").get_fdata(dtype=np.float32)
    for number, mask in ((2, stored[:, :900]), (3, 0 * stored), (4, stored[:, ::-1])):
        shutil.copyfile(scans / "microUS_train_01.nii.gz", scans / f"microUS_train_{number:02}.nii.gz")
        nifti(masks / f"expert_annotation_train_{number:02}.nii.gz", mask, (1.0,) * 3)
    black = nibabel.load(scans / "microUS_train_01.nii.gz").get_fdata(dtype=np.float32)
    black[:, :400] = 0
    nifti(scans / "microUS_train_04.nii.gz", black, (1.0,) * 3)
    nifti(masks / "expert_annotation_train_04.nii.gz", stored, (1.0,) * 3)
    given = ["prepare", "--from", "micro-us", str(tmp_path / "set"), "-o", str(tmp_path / "data")]
    assert main(given) == 1
    assert sections(tmp_path / "data")["training"] == ["micro-us-train_01-002"]
    told = left_over(tmp_path / "data")
    assert "has shape (1372, 900, 2), expected 1372 x 962 x slices" in told["train/microUS_train_02.nii.gz"]
    assert told["train/microUS_train_03.nii.gz"] == "none of its slices has a gland"
    assert "lies where its image is black" in told["train/microUS_train_04.nii.gz slice 2"]
    for number, status in (("04", 1), ("02", 0)):  # 03 has no gland, which is no failure
        for part in (scans, masks):
            next(part.glob(f"*_{number}.nii.gz")).unlink()
        assert main(given) == status
    cut = masks / "expert_annotation_train_01.nii.gz"
    cut.write_bytes(cut.read_bytes()[:900])
    assert main(given) == 2
    assert sections(tmp_path / "data")["training"] == []


@pytest.mark.parametrize("name", ["tcia-us-biopsy", "mu-regpro", "micro-us", "deepreg"])
def test_a_folder_that_is_not_of_the_set_is_refused_with_what_it_holds(tmp_path, capsys, name):
    (tmp_path / "set/thesis").mkdir(parents=True)
    assert main(["prepare", "--from", name, str(tmp_path / "set"), "-o", str(tmp_path / "data")]) == 2
    assert f"The folders hold no {name} (" in (first := capsys.readouterr().err)
    assert "but no file" in first
    (tmp_path / "set/thesis/text.nii.gz").write_text("mine")
    assert main(["prepare", "--from", name, str(tmp_path / "set"), "-o", str(tmp_path / "data")]) == 2
    assert "but thesis/text.nii.gz; give the folder as unpacked." in capsys.readouterr().err
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--roi", "Bladder="], "--roi is for exports and means nothing with --from deepreg"),
        (["--label", "x"], "--label is for exports"), (["--approved-only"], "--approved-only is for exports"),
        (["--automatic"], "--automatic is for exports"),
        (["--frame-spacing", "0"], "--frame-spacing is for exports"),
        (["--frame-order", "base-to-apex"], "--frame-order is for exports"),
        (["--probe-side", "top"], "--probe-side is for exports"),
    ],
)  # fmt: skip
def test_options_of_exports_are_refused_with_a_public_set(tmp_path, capsys, options, sentence):
    (tmp_path / "set").mkdir()
    assert (
        main(["prepare", "--from", "deepreg", str(tmp_path / "set"), "-o", str(tmp_path / "data"), *options]) == 2
    )
    assert sentence in capsys.readouterr().err


@pytest.mark.parametrize("axes", ["LRS", "LP", "xyz", "LPSA", "LLL"])
def test_axes_that_are_no_three_directions_are_refused(tmp_path, capsys, axes):
    (tmp_path / "set").mkdir()
    given = ["--from", "mu-regpro", str(tmp_path / "set"), "-o", str(tmp_path / "data"), "--axes", axes]
    assert main(["prepare", *given]) == 2
    assert f"--axes is {axes.upper()}, expected" in capsys.readouterr().err


def test_axes_without_a_public_set_are_refused(tmp_path, capsys):
    assert main(["prepare", str(tmp_path), "-o", str(tmp_path.parent / "data"), "--axes", "LPS"]) == 2
    assert "--axes is for public sets" in capsys.readouterr().err
