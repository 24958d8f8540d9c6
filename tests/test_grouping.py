"""Needles and seeds from maps of their cross-sections: places, tips, pieces, and what is no needle."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.data import MetaTensor

from prostate_seg.geometry.things import Thing, check_inside
from prostate_seg.inference import CropAroundd, ModelGridd
from prostate_seg.inference.grouping import MOST_PEAKS, things_in
from prostate_seg.training import LoadThings, SectionLoss, SectionMapsd, ThingQuality

NAMES = ("Needle", "Seed", "Calcification")


def affine_of(step=2.0, pixel=0.6):
    """Columns to the left, rows to the posterior, slices to the superior, as in a phantom."""
    affine = np.diag([-pixel, -pixel, step, 1.0])
    affine[:3, 3] = (30.0, 25.0, -40.0)
    return affine


def image_of(affine, shape=(100, 80, 40)):
    return MetaTensor(torch.zeros(1, *shape), affine=torch.as_tensor(affine))


def maps_of(*things, affine=None, shape=(100, 80, 40)):
    affine = affine_of() if affine is None else affine
    return SectionMapsd("image", NAMES)({"image": image_of(affine, shape), "things": things})["label"]


def found_in(*things, affine=None, shape=(100, 80, 40), without=()):
    maps = maps_of(*things, affine=affine, shape=shape).numpy()
    maps[..., list(without)] = 0
    return things_in(maps, affine_of() if affine is None else affine, NAMES)


def needle(x=0.0, y=0.0, tip=5.0, lean=0.0):
    return Thing("Needle", (x, y, -40.0), (x + lean * (tip + 40.0), y, tip), 0.65)


def seed(x=0.0, y=0.0, z=0.0):
    return Thing("Seed", (x, y, z - 2.25), (x, y, z + 2.25), 0.4)


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


@settings(max_examples=25, deadline=None)
@given(
    x=st.floats(-12, 12), y=st.floats(-12, 12), tip=st.floats(-10, 20), lean=st.floats(-0.1, 0.1),
    step=st.sampled_from([0.7, 1.0, 2.0, 5.0]),
)  # fmt: skip
def test_a_needle_is_found_with_its_tip_within_half_a_step(x, y, tip, lean, step):
    affine = affine_of(step)
    truth = needle(x, y, tip, lean)
    (found,) = found_in(truth, affine=affine, shape=(100, 80, int(80 / step)))
    assert found.structure == "Needle"
    assert abs(found.end_mm[2] - truth.end_mm[2]) <= step / 2 + 0.3
    assert np.hypot(*np.subtract(found.end_mm, truth.end_mm)[:2]) <= 0.3 + 0.1 * step
    assert found.angle_to_deg(truth) < 1.5


def test_needles_start_where_most_of_them_reach_the_end_of_the_image_in_any_order_of_the_slices():
    three = [needle(-10.0), needle(0.0, tip=12.0), needle(10.0)]
    for affine in (
        affine_of(),
        affine_of() @ np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, -1, 39], [0, 0, 0, 1.0]]),
    ):
        found = found_in(*three, affine=affine)
        assert len(found) == 3
        assert all(one.start_mm[2] == pytest.approx(-40.0) and one.end_mm[2] > 3 for one in found)


def test_a_needle_may_be_unseen_in_two_slices_and_a_line_of_6_mm_is_none():
    assert len(found_in(needle(), without=(10, 11))) == 1
    assert sorted(round(one.end_mm[2]) for one in found_in(needle(), without=range(10, 14))) == [-21, 5]
    assert found_in(Thing("Needle", (0, 0, -6), (0, 0, 0), 0.65)) == []


def test_a_seed_has_its_length_and_two_seeds_on_one_track_are_two():
    affine = affine_of(1.0)
    found = found_in(seed(z=0.0), seed(z=6.0), affine=affine, shape=(100, 80, 80))
    assert sorted(round(one.centre_mm[2]) for one in found) == [0, 6]
    assert [one.length_mm for one in found] == pytest.approx([4.5, 4.5], abs=0.05)
    ((long),) = [found_in(Thing("Seed", (0, 0, 0), (0, 0, 10), 0.4), affine=affine, shape=(100, 80, 80))]
    assert len(long) == 2  # 10 mm without a gap are two seeds end to end


def test_a_seed_at_the_last_slice_is_cut_off_there():
    (found,) = found_in(seed(z=39.0))
    check_inside([found], affine_of(), (100, 80, 40), tolerance_mm=0.0)
    assert found.length_mm < 4.5


def test_what_lies_beside_a_needle_is_a_part_of_it():
    maps = maps_of(needle(), seed(x=1.0), seed(x=5.0)).numpy()
    assert [one.structure for one in things_in(maps, affine_of(), NAMES)] == ["Needle", "Seed"]


def test_the_score_is_the_mean_probability_and_below_0_45_there_is_no_seed():
    maps = maps_of(seed()).numpy()
    assert things_in(0.6 * maps, affine_of(), NAMES)[0].score == pytest.approx(0.6, abs=0.05)
    assert things_in(0.4 * maps, affine_of(), NAMES) == []


def test_a_map_that_is_the_same_everywhere_ends_soon_and_an_empty_one_shows_nothing():
    flat = np.full((3, 40, 40, 10), 0.5, np.float32)
    assert len(things_in(flat, affine_of(), NAMES)) <= 3 * MOST_PEAKS
    assert things_in(0 * flat, affine_of(), NAMES) == []
    assert things_in(flat[:, :1, :1, :1], affine_of(), NAMES) is not None


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
