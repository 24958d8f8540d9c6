"""Things from maps of their cross-sections: all kinds together, truth, loss, metric and crop."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.data import MetaTensor
from section_maps import NAMES, affine_of, found_in, image_of, maps_of, needle, seed

from prostate_seg.geometry.things import check_inside
from prostate_seg.inference import CropAroundd, ModelGridd
from prostate_seg.inference.grouping import things_in
from prostate_seg.inference.lines import MOST_PEAKS
from prostate_seg.training import LoadThings, SectionLoss, SectionMapsd, ThingQuality


def test_a_map_is_one_on_the_axis_and_has_fallen_to_0_61_a_standard_deviation_beside_it():
    maps = SectionMapsd("image", NAMES, sigma_mm=0.6)(
        {"image": image_of(affine_of()), "things": [needle(0.0, 1.0)]}
    )
    label = maps["label"]
    at = np.linalg.inv(affine_of()) @ [0.0, 1.0, -20.0, 1.0]  # pixel (50, 40), slice 10
    assert at[:3].tolist() == pytest.approx([50, 40, 10])
    assert float(label[0, 50, 40, 10]) == pytest.approx(1.0)
    assert float(label[0, 51, 40, 10]) == pytest.approx(np.exp(-0.5), abs=1e-4)
    assert float(label[0, 50, 40, 22:24].max()) == pytest.approx(1.0)  # z = 4, and not z = 6, which is beyond
    assert float(label[0, ..., 23:].max()) == 0.0
    assert float(label[1:].max()) == 0.0


def test_what_lies_beside_a_needle_is_a_part_of_it():
    maps = maps_of(needle(), seed(x=1.0), seed(x=5.0)).numpy()
    assert [one.structure for one in things_in(maps, affine_of(), NAMES)] == ["Needle", "Seed"]


def test_a_map_that_is_the_same_everywhere_ends_soon_and_an_empty_one_shows_nothing():
    flat = np.full((3, 40, 40, 10), 0.5, np.float32)
    assert len(things_in(flat, affine_of(), NAMES)) <= 3 * MOST_PEAKS
    assert things_in(0 * flat, affine_of(), NAMES) == []
    assert things_in(flat[:, :1, :1, :1], affine_of(), NAMES) is not None


@settings(max_examples=20, deadline=None)
@given(number=st.integers(0, 10**6), step=st.sampled_from([0.5, 2.0, 5.0]), power=st.sampled_from([1, 4, 20]))
def test_noise_ends_soon_and_what_it_shows_lies_in_the_image(number, step, power):
    maps = np.random.default_rng(number).random((3, 24, 20, 9), np.float32) ** power
    found = things_in(maps, affine_of(step), NAMES)
    check_inside(found, affine_of(step), (24, 20, 9))
    assert all(0 <= one.score <= 1 for one in found)


def test_the_truth_of_ten_phantoms_gives_their_things_back():
    metric = ThingQuality(lambda output: output, NAMES)
    grid = [
        CropAroundd("image"),
        ModelGridd("image", (0.6, 0.6, 1.0), coarser_only=[2]),
        SectionMapsd("image", NAMES),
    ]
    for number in range(10):
        sample = LoadThings()({"phantom": number})
        for step in grid:
            sample = step(sample)
        metric.update(([sample["label"]], [sample["label"]]))
    found = metric.compute()
    assert found["Needle"] > 0.95
    assert found["Seed"] > 0.93
    assert found["Calcification"] > 0.85


def test_the_loss_is_small_for_the_truth_and_counts_a_miss_as_much_as_its_map():
    target = maps_of(seed(), shape=(60, 50, 30))[None].as_tensor()
    loss = SectionLoss()
    exact = torch.logit(target.clamp(1e-4, 1 - 1e-4))
    assert float(loss(exact, target)) < 1e-3
    missed = loss(torch.full_like(target, -8.0), target)  # -log sigmoid(-8) = 8 for each voxel of the map, squared
    weight = float((target**3).sum() / target.sum())
    assert float(missed) == pytest.approx(8 * weight, rel=0.02)
    empty = torch.zeros_like(target)
    assert float(loss(torch.full_like(target, -20.0), empty)) == pytest.approx(0.0, abs=1e-6)


def test_recognition_counts_what_was_found_missed_and_invented():
    metric = ThingQuality(lambda output: output, NAMES)
    truth = maps_of(seed(x=-6.0), seed(x=6.0))
    metric.update(([maps_of(seed(x=-6.0), seed(x=0.0))], [truth]))  # one found, one missed, one invented
    assert metric.compute() == {"Seed": pytest.approx(0.5)}
    assert json.loads(truth.meta["things"])[0]["structure"] == "Seed"


def test_a_crop_keeps_10_mm_around_the_mask_and_the_places_of_its_voxels():
    affine = affine_of(step=2.0, pixel=1.0)
    image = MetaTensor(torch.arange(100 * 80 * 40.0).reshape(1, 100, 80, 40), affine=torch.as_tensor(affine))
    ctv = torch.zeros(1, 100, 80, 40)
    ctv[:, 40:60, 35:70, 20:22] = 1
    cropped = CropAroundd("image", margin_mm=10.0)({"image": image, "ctv": ctv})["image"]
    assert tuple(cropped.shape) == (1, 40, 55, 12)  # 10 pixels and 5 slices more a side, up to the border
    assert float(cropped[0, 0, 0, 0]) == float(image[0, 30, 25, 15])
    place = np.asarray(cropped.affine) @ [0, 0, 0, 1]
    assert place.tolist() == pytest.approx((affine @ [30, 25, 15, 1]).tolist())
    whole = CropAroundd("image")({"image": image, "ctv": 0 * ctv})["image"]
    assert whole.shape == image.shape


@pytest.mark.parametrize(("step", "slices"), [(4.0, 20), (1.0, 20), (0.5, 10)])
def test_slices_are_thinned_out_to_1_mm_and_never_added(step, slices):
    image = image_of(affine_of(step, pixel=1.2), (50, 40, 20))
    made = ModelGridd("image", (0.6, 0.6, 1.0), coarser_only=[2])({"image": image})["image"]
    assert tuple(made.shape) == (1, 100, 80, slices)


def test_a_needle_keeps_its_radius_and_its_score_is_at_most_one():
    (found,) = found_in(needle())
    assert (found.radius_mm, found.score <= 1.0) == (0.65, True)
    assert replace(found, score=1.0).length_mm == pytest.approx(45.0, abs=1.5)
