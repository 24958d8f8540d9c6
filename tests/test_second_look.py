"""The second look at the urethra: what it adds to the first network's mask, its grid, and its files."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from prostate_seg import load_bundle
from prostate_seg.errors import BundleError
from prostate_seg.geometry.volume import Volume, reindexed
from prostate_seg.inference.released import released_bundle
from prostate_seg.inference.second_look import FILE, WEIGHTS
from prostate_seg.inference.structure_network import WEIGHTS as FIRST_WEIGHTS
from prostate_seg.phantom import draw_settings, make_phantom
from prostate_seg.system.digests import sha256_of_file
from prostate_seg.training import LoadFirstLook

BUNDLE = Path(released_bundle())
THINGS = BUNDLE / "configs/things.json"
SEED = 2000302  # with a catheter; no training drew it


def dice(first, second):
    return 2 * np.count_nonzero(first & second) / (np.count_nonzero(first) + np.count_nonzero(second))


@pytest.fixture(scope="module")
def looked():
    """A phantom with a catheter, its masks of CTV and urethra without the second look, and the second look."""
    phantom = make_phantom(SEED)
    assert draw_settings(SEED).tissue.urethra_kind == "foley"
    predictor = load_bundle(structures=["Urethra"], ensembling="none")
    look = predictor.further.second
    predictor.further = replace(predictor.further, second=None)
    first = predictor(phantom.image)
    return phantom, first.mask(), first.structures["Urethra"], look


def test_it_brings_the_dice_of_a_catheter_to_0_9_and_only_by_looking_at_the_image(looked):
    phantom, ctv, found, look = looked
    true = phantom.structures["urethra"]
    seen = look(phantom.image, ctv, found)
    assert dice(seen, true) > max(0.88, dice(found, true) + 0.08)
    look = replace(look, sure=0.0)
    noise = np.random.default_rng(0).integers(0, 255, phantom.image.array.shape, np.uint8)
    assert dice(look(phantom.image.with_array(noise), ctv, found), true) < dice(seen, true) - 0.08


def test_the_bundle_uses_it_and_the_ctv_stays(looked):
    phantom, ctv, found, look = looked
    both = load_bundle(structures=["Urethra", "Bladder"], ensembling="none")(phantom.image)
    assert np.array_equal(both.structures["Urethra"], look(phantom.image, ctv, found))
    assert np.array_equal(both.mask(), ctv)


def test_it_stays_inside_the_ctv(looked):
    phantom, ctv, found, look = looked
    half = ctv.copy()
    half[round(np.argwhere(found)[:, 0].mean()) :] = False
    seen = look(phantom.image, half, found)
    assert 2 * np.count_nonzero(seen) > np.count_nonzero(found & half)
    assert not (seen & ~half).any()
    assert (look(phantom.image, ctv, found) & ~half).any()


def test_the_mask_is_the_same_if_the_volume_is_stored_in_another_order(looked):
    phantom, ctv, found, look = looked
    flipped = reindexed(phantom.image.affine, shift=[phantom.image.array.shape[0] - 1, 0, 0])
    flipped[:, 0] *= -1
    turned = Volume(np.ascontiguousarray(phantom.image.array[::-1].transpose(2, 0, 1)), flipped[:, [2, 0, 1, 3]])
    there = look(turned, ctv[::-1].transpose(2, 0, 1), found[::-1].transpose(2, 0, 1))
    assert dice(there.transpose(1, 2, 0)[::-1], look(phantom.image, ctv, found)) > 0.999


def test_gray_values_that_begin_below_zero_give_the_same_mask(looked):
    phantom, ctv, found, look = looked
    lower = phantom.image.with_array(phantom.image.array.astype(np.int16) - 1000)
    assert np.array_equal(look(lower, ctv, found), look(phantom.image, ctv, found))


def test_what_was_found_stays_if_it_is_nothing_or_one_slice_or_if_nothing_is_seen(looked):
    phantom, ctv, found, look = looked
    nothing = np.zeros_like(ctv)
    assert look(phantom.image, ctv, nothing) is nothing
    one = replace(phantom.image, array=phantom.image.array[..., :1])
    assert look(one, ctv[..., :1], (part := ctv[..., :1])) is part
    assert look(phantom.image, nothing, found) is found


def test_where_it_is_not_sure_the_first_mask_stays(looked):
    phantom, ctv, found, look = looked
    seed = next(n for n in range(2000000, 2000100) if draw_settings(n).tissue.urethra_kind == "none")
    plain, first = make_phantom(seed), load_bundle(structures=["Urethra"], ensembling="none")
    first.further = replace(first.further, second=None)
    given = first(plain.image)
    assert look(plain.image, given.mask(), given.structures["Urethra"]) is given.structures["Urethra"]
    assert replace(look, sure=1.0)(phantom.image, ctv, found) is found
    assert not np.array_equal(look(phantom.image, ctv, found), found)


def test_it_is_loaded_only_if_its_structure_is_asked_for():
    assert load_bundle(structures=["Bladder"]).further.second is None
    assert load_bundle(structures=["urethra"]).info.second_look_sha256 == sha256_of_file(BUNDLE / WEIGHTS)


def copied(folder, **changes):
    """A copy of the released bundle with other entries in urethra.json."""
    place = folder / "bundle"
    shutil.copytree(BUNDLE, place, ignore=shutil.ignore_patterns("docs", "model_*.pt"))
    (place / FILE).write_text(json.dumps(json.loads((place / FILE).read_text()) | changes))
    return place


def test_it_does_not_overrule_another_network_of_structures(tmp_path):
    place = copied(tmp_path)
    state = torch.load(place / FIRST_WEIGHTS, weights_only=True)
    state["decoder.head.bias"] = state["decoder.head.bias"] + 0.001
    torch.save(state, place / FIRST_WEIGHTS)
    found = load_bundle(place, structures=["Urethra"])
    assert found.further.second is None
    assert found.info.second_look_sha256 == ""


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"inferer": {"_target_": "os.system"}}, "which is not allowed here"),
        ({"preprocessing": []}, "no numbers margin_mm and sure, or no Compose"),
        ({"margin_mm": "wide"}, "no numbers margin_mm and sure, or no Compose"),
        ({"structure": "bladder"}, "is about Bladder, expected a structure whose parent is the CTV"),
        (
            {"network_def": json.loads((BUNDLE / "configs/things.json").read_text())["network_def"]},
            "no Segmenter of 3",
        ),
    ],
)
def test_settings_that_do_not_fit_are_told(tmp_path, changes, message):
    with pytest.raises(BundleError, match=message):
        load_bundle(copied(tmp_path, **changes), structures="all")


def test_missing_files_and_entries_are_told(tmp_path):
    place = copied(tmp_path)
    (place / WEIGHTS).unlink()
    with pytest.raises(BundleError, match=r"but models/urethra.pt is missing; reinstall"):
        load_bundle(place, structures=["Urethra"])
    assert load_bundle(place, structures=["Needle"]).further.second is None
    (place / FILE).write_text("{}")
    with pytest.raises(BundleError, match=r"urethra.json lacks structure, structures_sha256, network_def"):
        load_bundle(place, structures=["Urethra"])


def test_its_training_sees_the_masks_of_the_first_networks(looked):
    phantom, ctv, found, _ = looked
    sample = LoadFirstLook()({"phantom": SEED})
    assert np.array_equal(sample["label"][0].numpy() > 0, phantom.structures["urethra"])
    assert np.array_equal(sample["found"][0].numpy() > 0, found)
    assert np.array_equal(sample["ctv"][0].numpy() > 0, ctv)


def test_in_its_training_a_urethra_without_anything_can_be_made_visible():
    seed = next(n for n in range(2000000, 2000100) if draw_settings(n).tissue.urethra_kind == "none")
    plain, visible = (LoadFirstLook()({"phantom": seed, "urethra": kind})["image"] for kind in ("", "foley"))
    label = LoadFirstLook()({"phantom": seed})["label"] > 0
    change = (visible - plain).abs()
    assert change[label].mean() > 5 * change[~label].mean()


def test_training_and_use_prepare_the_image_alike():
    used = json.loads((BUNDLE / FILE).read_text())
    trained = json.loads((BUNDLE / "configs/train_urethra.json").read_text())
    crop = next(step for step in trained["prepare"] if step["_target_"].endswith("CropAroundd"))
    grids = [
        next(step for step in steps if step["_target_"].endswith("ModelGridd"))
        for steps in (used["preprocessing"]["transforms"], trained["prepare"])
    ]
    assert crop["margin_mm"] == used["margin_mm"] == 7.0
    assert grids[0]["spacing_mm"] == grids[1]["spacing_mm"] == [0.6, 0.6, 1.0]
    assert used["network_def"] == trained["network_def"]
    assert used["structures_sha256"] == sha256_of_file(BUNDLE / FIRST_WEIGHTS)


@pytest.mark.slow
def test_the_command_of_the_model_card_trains_such_a_network(tmp_path):
    place = copied(tmp_path)
    files = [str(place / "configs" / name) for name in ("train.json", "train_urethra.json")]
    command = [sys.executable, "-m", "monai.bundle", "run", "training", "--bundle_root", str(place)]
    given = {"config_file": str(files), "init": str(place / "models/things.pt"), "phantoms": 2, "val_interval": 1}
    given |= {"validation_phantoms": 1, "train::trainer::max_epochs": 1}
    subprocess.run(
        [*command, *(str(part) for name, value in given.items() for part in (f"--{name}", value))], check=True
    )
    shutil.copyfile(place / "checkpoints/model.pt", place / WEIGHTS)
    assert load_bundle(place, structures=["Urethra"]).further.second is not None
