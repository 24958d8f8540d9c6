"""MONAI transforms: resampling there and back, gain, slices, augmentation."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.data import MetaTensor
from monai.transforms import Compose, Orientationd

from prostate_seg.errors import SettingsError
from prostate_seg.inference.resampling import resample_axes
from prostate_seg.inference.transforms import (
    ClipToFieldOfViewd,
    ModelGridd,
    NormalizeUltrasoundd,
    ToSourceGridd,
    rescale,
)
from prostate_seg.training.augmentation import RANGES, RandFewSlicesd, RandUltrasoundd


def image_of(array, affine=None):
    affine = np.eye(4) if affine is None else affine
    meta = {"original_affine": affine, "spatial_shape": np.array(array.shape), "space": "RAS"}
    return MetaTensor(torch.as_tensor(array, dtype=torch.float32)[None], affine=torch.as_tensor(affine), meta=meta)


def blob(shape, centre, radius):
    grid = np.indices(shape).transpose(1, 2, 3, 0)
    return (np.linalg.norm((grid - centre) / radius, axis=-1) <= 1).astype(np.float32)


def test_six_voxels_of_1_mm_become_three_of_2_mm_whose_centres_lie_half_a_millimetre_further():
    out = ModelGridd("image", spacing_mm=(2.0, 2.0, 2.0))({"image": image_of(np.ones((6, 6, 6)))})["image"]
    assert out.shape == (1, 3, 3, 3)
    assert np.allclose(out.affine[:3, 3], 0.5)
    assert np.allclose(np.diag(out.affine)[:3], 2.0)


def test_seven_voxels_of_1_mm_become_four_of_1_75_mm_so_that_outer_edges_coincide():
    out = ModelGridd("image", spacing_mm=(2.0, 1.0, 1.0))({"image": image_of(np.ones((7, 3, 3)))})["image"]
    assert out.shape == (1, 4, 3, 3)
    assert float(out.affine[0, 0]) == pytest.approx(1.75)


def test_one_slice_stays_one_slice():
    affine = np.diag([1.0, 1.0, 5.0, 1.0])
    out = ModelGridd("image", spacing_mm=(1.0, 1.0, 2.0))({"image": image_of(np.ones((8, 8, 1)), affine)})["image"]
    assert out.shape == (1, 8, 8, 1)


def test_rescaling_to_half_averages_pairs_instead_of_picking_every_second():
    stripes = torch.tensor([0.0, 1.0]).repeat(8)[:, None, None].expand(16, 4, 4)
    assert torch.allclose(rescale(stripes, (8, 4, 4))[1:-1], torch.full((6, 4, 4), 0.5), atol=0.13)


@settings(max_examples=15, deadline=None)
@given(
    spacing=st.tuples(*[st.floats(0.3, 3.0)] * 3),
    order=st.permutations([0, 1, 2]),
    signs=st.tuples(*[st.sampled_from([-1.0, 1.0])] * 3),
    angle=st.floats(-0.3, 0.3),
)
def test_a_ball_comes_back_from_the_models_grid_to_where_it_was(spacing, order, signs, angle):
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.eye(3)[:, list(order)] * np.array(signs) * np.array(spacing)
    affine[:3, 3] = (3.0, -7.0, 11.0)
    shape = tuple(int(24 / s) + 4 for s in spacing)
    ball = blob(shape, np.array(shape) / 2, 8 / np.array(spacing))
    sample = {"image": image_of(ball, affine)}
    sample = Orientationd("image", axcodes="LPS", labels=None)(sample)
    sample = ModelGridd("image", spacing_mm=(1.0, 1.0, 1.0))(sample)
    sample["pred"] = torch.cat([1 - sample["image"], sample["image"]]).as_tensor()
    back = ToSourceGridd("pred")(sample)["pred"]
    assert tuple(back.shape[1:]) == shape
    assert np.allclose(back.affine, affine)
    mask = back[0].numpy() > 0.5
    assert 2 * (mask & (ball > 0)).sum() / (mask.sum() + ball.sum()) > 0.9


def test_resampling_on_the_same_grid_changes_no_voxel():
    volume = torch.rand(5, 6, 7)
    assert torch.allclose(resample_axes(volume, np.eye(4), np.eye(4), (5, 6, 7)), volume)


def test_a_point_2_mm_outside_the_models_grid_gets_probability_0():
    shifted = np.eye(4)
    shifted[0, 3] = -2.0
    out = resample_axes(torch.ones(4, 4, 4), np.eye(4), shifted, (8, 4, 4))
    assert out[:2].sum() == 0
    assert out[2:6].min() == 1
    assert out[6:].sum() == 0


def test_grids_turned_by_10_degrees_against_each_other_are_refused():
    c, s = np.cos(np.pi / 18), np.sin(np.pi / 18)
    turned = np.array([[c, -s, 0, 0], [s, c, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])
    with pytest.raises(ValueError, match="not parallel"):
        resample_axes(torch.ones(20, 20, 4), np.eye(4), turned, (20, 20, 4))


@pytest.mark.parametrize("gain", [0.8, 1.2, 10.0])
def test_a_gain_of_20_percent_or_tenfold_changes_nothing(gain):
    array = np.random.default_rng(0).rayleigh(20, (20, 20, 5)) * blob((20, 20, 5), (10, 10, 2), (9, 9, 9))
    normalise = NormalizeUltrasoundd("image")
    a = normalise({"image": image_of(array)})["image"]
    b = normalise({"image": image_of(array * gain)})["image"]
    assert torch.allclose(a.as_tensor(), b.as_tensor(), atol=1e-5)
    assert float(a[a > 0].median()) == pytest.approx(0.35, abs=0.01)
    assert float(a.min()) == 0


def test_normalising_a_black_image_leaves_it_black():
    out = NormalizeUltrasoundd("image")({"image": image_of(np.zeros((4, 4, 4)))})["image"]
    assert float(out.max()) == 0


def test_one_sample_in_four_keeps_a_run_of_at_most_three_slices_and_label_and_image_agree():
    keep = RandFewSlicesd(["image", "label"], prob=0.25, most=3)
    ones = image_of(np.ones((4, 4, 12)))
    runs = []
    for seed in range(200):
        keep.set_random_state(seed)
        out = keep({"image": ones, "label": ones})
        assert torch.equal(out["image"].as_tensor(), out["label"].as_tensor())
        runs.append(np.flatnonzero(out["image"][0, 0, 0].numpy()))
    short = [run for run in runs if len(run) < 12]
    assert 30 <= len(short) <= 70
    assert {len(run) for run in short} == {1, 2, 3}
    assert all(run[-1] - run[0] == len(run) - 1 for run in short)


def test_ultrasound_augmentation_keeps_black_black_stays_in_0_to_1_and_repeats_with_its_seed():
    array = np.random.default_rng(1).random((1, 40, 30, 6)).astype(np.float32)
    array[:, :10] = 0
    augment = RandUltrasoundd("image", prob=1.0)

    def run(seed):
        augment.set_random_state(seed)
        return augment({"image": torch.as_tensor(array)})["image"]

    first, again, other = run(3), run(3), run(4)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert float(first[:, :10].max()) == 0
    assert 0 <= float(first.min()) <= float(first.max()) <= 1


def test_probability_outside_the_fan_becomes_0():
    image = np.zeros((60, 60, 3), np.float32)
    image[10:50, 10:50] = np.random.default_rng(2).rayleigh(0.3, (40, 40, 3)) + 0.1
    sample = {"image": image_of(image), "pred": torch.ones(2, 60, 60, 3)}
    out = ClipToFieldOfViewd("pred")(sample)["pred"]
    assert float(out[1, :5].max()) == 0
    assert float(out[1, 15:45, 15:45].min()) == 1


def test_the_chain_can_be_composed():
    chain = Compose([ModelGridd("image", spacing_mm=(1, 1, 1)), NormalizeUltrasoundd("image")])
    assert chain({"image": image_of(np.ones((4, 4, 4)))})["image"].shape == (1, 4, 4, 4)


def test_a_range_of_gain_from_2_to_2_doubles_and_an_unknown_one_is_refused():
    fixed = {
        "gain": (2, 2),
        "log_power": (0, 0),
        "depth_gain": (0, 0),
        "speckle": (0, 0),
        "shadow_strength": (0, 0),
    }
    augment = RandUltrasoundd("image", prob=1.0, ranges=fixed | {"blur": (0.01, 0.01)})
    augment.set_random_state(seed=1)
    out = augment({"image": torch.full((1, 24, 20, 4), 0.2)})["image"]
    assert torch.allclose(out, torch.full_like(out, 0.4), atol=1e-3)
    with pytest.raises(SettingsError, match="no range contrast"):
        RandUltrasoundd("image", ranges={"contrast": (0, 1)})
    with pytest.raises(SettingsError, match=r"The range gain is .*, expected lowest and highest value"):
        RandUltrasoundd("image", ranges={"gain": (2, 1)})


def test_the_ranges_in_train_json_are_the_defaults(repository):
    config = json.loads((repository / "bundles/prostate_us_segmenter/configs/train.json").read_text())
    (ultrasound,) = [step for step in config["augment"] if step["_target_"].endswith("RandUltrasoundd")]
    assert {name: tuple(pair) for name, pair in ultrasound["ranges"].items()} == RANGES
    assert ultrasound["prob"] == RandUltrasoundd("image").prob
