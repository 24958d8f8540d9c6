"""The same masks by surface-distance (google-deepmind) and torchmetrics: where they agree, where not and why."""

import numpy as np
import pytest
import surface_distance as deepmind
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torchmetrics import classification, detection, segmentation

from prostate_seg.evaluation import metrics
from prostate_seg.evaluation.metrics import evaluate_masks, overlap, surface_distances

MM_1_2_5 = (1.0, 2.0, 5.0)
FOREGROUND = {"num_classes": 2, "include_background": False, "input_format": "index"}


def box(shape, *ranges):
    mask = np.zeros(shape, bool)
    mask[tuple(slice(*r) for r in ranges)] = True
    return mask


def ball(size, radius):
    return sum((g - size // 2) ** 2 for g in np.ogrid[:size, :size, :size]) <= radius**2


EMPTY = np.zeros((12, 12, 12), bool)
CUBE = box((12, 12, 12), *[(2, 6)] * 3)  # 64 voxels
BLOCK = box((12, 12, 12), (1, 7), (1, 7), (2, 5))  # 108 voxels
L_SHAPE = BLOCK & ~box((12, 12, 12), (1, 4), (4, 7), (2, 5))  # 27 fewer


def deepmind_hd(prediction, reference, spacing, percent=100):
    found = deepmind.compute_surface_distances(reference, prediction, spacing)
    return deepmind.compute_robust_hausdorff(found, percent)


def torch_metric(metric, *pairs):
    for pair in pairs:
        metric.update(*[torch.as_tensor(mask[None].astype(int)) for mask in pair])
    return metric.compute().tolist()


def torch_overlap(*pairs):
    """Dice, IoU, precision and recall."""
    overlaps = segmentation.DiceScore(**FOREGROUND), segmentation.MeanIoU(**FOREGROUND)
    shares = classification.BinaryPrecision(), classification.BinaryRecall()
    return [torch_metric(metric, *pairs) for metric in (*overlaps, *shares)]


def torch_hd(prediction, reference, spacing=None):
    return torch_metric(segmentation.HausdorffDistance(spacing=spacing, **FOREGROUND), (prediction, reference))


def torch_panoptic(*pairs, categories=(0, 1)):
    """PQ, SQ and RQ of each category; a pair: two label maps, another label is void."""
    options = {"allow_unknown_preds_category": True, "return_per_class": True, "return_sq_and_rq": True}
    maps = [[np.stack([labels, np.zeros_like(labels)], -1) for labels in pair] for pair in pairs]
    return torch_metric(detection.PanopticQuality(set(), set(categories), **options), *maps)


def torch_ece(p, truth, bins):
    return float(classification.BinaryCalibrationError(bins)(torch.tensor(p), torch.tensor(truth)))


def strip(start, stop, label=1, on=None):
    labels = np.zeros(20, int) if on is None else on.copy()
    labels[start:stop] = label
    return labels


OVERLAPS = {
    "cubes": (CUBE, np.roll(CUBE, 2, 0), (32, 64, 64)),
    "L": (BLOCK, L_SHAPE, (81, 108, 81)),
    "balls": (ball(9, 1), ball(9, 2), (7, 7, 33)),
    "planes": (box((8, 8, 8), (2, 3)), box((8, 8, 8), (5, 6)), (0, 64, 64)),
    "missed": (EMPTY, CUBE, (0, 0, 64)),
}


@pytest.mark.parametrize(("prediction", "reference", "voxels"), OVERLAPS.values(), ids=OVERLAPS)
def test_dice_iou_precision_and_recall_are_those_of_both_peers(prediction, reference, voxels):
    m = overlap(prediction, reference)
    assert (m.intersection, m.prediction, m.reference) == voxels
    assert m.dice == deepmind.compute_dice_coefficient(reference, prediction)
    assert [m.dice, m.iou, m.precision, m.recall] == pytest.approx(torch_overlap((prediction, reference)))


@pytest.mark.parametrize(("axis", "expected_mm"), [(0, 2.0), (1, 4.0), (2, 10.0)])
@pytest.mark.parametrize("mask", [CUBE, L_SHAPE, ball(15, 4)], ids=["cube", "L", "ball"])
def test_a_shape_shifted_by_two_voxels_of_1_2_5_mm_is_2_4_or_10_mm_away_by_deepmind_too(mask, axis, expected_mm):
    moved = np.roll(mask, 2, axis)
    assert surface_distances(moved, mask, MM_1_2_5).hd_mm == deepmind_hd(moved, mask, MM_1_2_5) == expected_mm


def test_deepmind_gives_a_sheet_two_sides_so_sheets_3_mm_apart_are_2_5_mm_apart_on_average():
    """Its surface lies between voxels: of a sheet's two sides one is 3 mm, the other 2 mm from the other sheet."""
    a, b = box((8, 8, 8), (1, 2)), box((8, 8, 8), (4, 5))
    peer = deepmind.compute_surface_distances(b, a, (1, 1, 1))
    assert deepmind.compute_average_surface_distance(peer) == pytest.approx((2.5, 2.5))
    assert surface_distances(a, b, (1, 1, 1)).means_mm == (3.0, 3.0)


def test_deepmind_finds_the_cavity_of_a_shell_one_voxel_thick_and_voxel_centres_do_not():
    """A cube of five has its shell of 98 voxels as boundary, and so has the shell; the cavity lies 1 mm inside."""
    solid = box((9, 9, 9), *[(2, 7)] * 3)
    shell = solid & ~box((9, 9, 9), *[(3, 6)] * 3)
    m = evaluate_masks(shell, solid, (1, 1, 1))
    assert (m.hd_mm, deepmind_hd(shell, solid, (1, 1, 1))) == (0.0, 1.0)
    assert m.dice == 2 * 98 / (98 + 125)  # the overlap tells them apart


def test_deepmind_weighs_a_lone_voxel_of_1_2_5_mm_by_its_area_and_not_as_one_voxel_of_113():
    """A voxel's eight corners have √(10² + 5² + 2²) = √129 mm², which the cube has too, besides its faces of
    2 · 9 · (10 + 5 + 2) mm² and its edges of 6 · (√125 + √104 + √29) mm²."""
    cube = box((12, 12, 12), (2, 6), (2, 6), (5, 9))
    spotted = cube | box((12, 12, 12), *[(0, 1)] * 3)
    twice = 2 * (129**0.5 + 2 * 9 * 17 + 6 * (125**0.5 + 104**0.5 + 29**0.5))
    peer = deepmind.compute_surface_distances(cube, spotted, MM_1_2_5)
    assert deepmind.compute_surface_dice_at_tolerance(peer, 1.0) == pytest.approx(twice / (twice + 129**0.5))
    assert evaluate_masks(spotted, cube, MM_1_2_5).surface_dice_1mm == 112 / 113


def test_deepmind_takes_the_95th_percentile_of_area_and_not_between_ranks_so_9_5_mm_become_9():
    """A line's 11 voxels are 0 to 10 mm from its first: rank 9.5 is 9.5 mm; 95 % of its area ends at 9 mm."""
    line, first = (box((13, 3, 3), (1, stop), (1, 2), (1, 2)) for stop in (12, 2))
    assert surface_distances(line, first, (1, 1, 1)).hd95_mm == 9.5
    assert deepmind_hd(line, first, (1, 1, 1), percent=95) == 9.0


def test_one_empty_mask_is_infinitely_far_by_deepmind_too_but_two_are_undefined_there_and_perfect_here(monkeypatch):
    """Two empty masks: Dice NaN and distance infinite there, 1 and 0 mm here."""
    monkeypatch.setattr(np, "Inf", np.inf, raising=False)  # the released 0.1 uses names that NumPy 2 dropped
    monkeypatch.setattr(np, "NaN", np.nan, raising=False)
    for pair in ((EMPTY, CUBE), (CUBE, EMPTY)):
        assert surface_distances(*pair, MM_1_2_5).hd95_mm == deepmind_hd(*pair, MM_1_2_5, percent=95) == np.inf
    assert (overlap(EMPTY, EMPTY).dice, surface_distances(EMPTY, EMPTY, MM_1_2_5).hd95_mm) == (1.0, 0.0)
    assert np.isnan(deepmind.compute_dice_coefficient(EMPTY, EMPTY))
    assert deepmind_hd(EMPTY, EMPTY, MM_1_2_5, percent=95) == np.inf


SHAPES = st.tuples(*[st.integers(2, 5)] * 2).map(lambda sides: (sides[0], sides[1], sides[1]))
PAIRS = SHAPES.flatmap(lambda shape: st.tuples(*[arrays(bool, shape).filter(np.any)] * 2))


@settings(max_examples=40, deadline=None)
@given(PAIRS, st.tuples(*[st.sampled_from([0.5, 1.0, 2.0, 5.0])] * 3))
def test_any_masks_agree_but_for_a_hausdorff_distance_within_one_voxels_diagonal_of_deepminds(pair, spacing):
    """A boundary voxel has a corner in that surface, such a corner a boundary voxel: half a diagonal a mask."""
    a, b = pair
    m = evaluate_masks(a, b, spacing)
    assert m.dice == deepmind.compute_dice_coefficient(b, a)
    assert abs(m.hd_mm - deepmind_hd(a, b, spacing)) <= np.linalg.norm(spacing) + 1e-9
    assert [m.dice, m.iou, m.precision, m.recall] == pytest.approx(torch_overlap(pair))
    ours = metrics.panoptic_counts({"rest": ~a, "ctv": a}, {"rest": ~b, "ctv": b}).values()
    assert np.allclose([c.quality or 0 for c in ours], np.array(torch_panoptic((a * 1, b * 1)))[:, 0])
    square = a.any(0), b.any(0), list(spacing[1:])
    assert surface_distances(*square).hd_mm == pytest.approx(torch_hd(*square))


def test_torchmetrics_counts_pixels_unless_told_the_spacing_so_6_mm_from_a_square_to_its_l_are_3():
    """The square's lost corner lies three columns of 2 mm, and three rows of 5 mm, from the L."""
    pair = BLOCK[..., 2], L_SHAPE[..., 2]
    assert evaluate_masks(*pair, (5.0, 2.0)).hd_mm == torch_hd(*pair, [5.0, 2.0]) == 6.0
    assert torch_hd(*pair) == 3.0


def test_torchmetrics_needs_square_slices_and_finds_pixels_14_apart_on_4_by_20_only_3_apart():
    """It writes the distance of row i, column j to place i · rows + j, not i · columns + j; and takes no volume."""
    pair = [box((4, 20), (1, 2), (column, column + 1)) for column in (1, 15)]
    assert evaluate_masks(*pair, (1, 1)).hd_mm == 14.0
    assert torch_hd(*pair) == 3.0
    assert torch_hd(*[np.pad(mask, ((0, 16), (0, 0))) for mask in pair]) == 14.0
    with pytest.raises(ValueError, match="rank 2 but got rank `3`"):
        torch_hd(CUBE, CUBE)


def test_a_missed_slice_is_infinitely_far_by_torchmetrics_too_but_two_empty_ones_stop_it():
    """The largest of no distances is 0 mm here and an error there."""
    assert torch_hd(EMPTY[0], CUBE[2]) == evaluate_masks(EMPTY[0], CUBE[2], (1, 1)).hd_mm == np.inf
    assert evaluate_masks(EMPTY[0], EMPTY[0], (1, 1)).hd_mm == 0.0
    with pytest.raises(RuntimeError, match="max"):
        torch_hd(EMPTY[0], EMPTY[0])


def test_torchmetrics_averages_the_background_into_dice_unless_told_so_one_half_becomes_0_74():
    """Of 1728 voxels 1664 are background in either cube's image, 1632 in both: (1/2 + 51/52) / 2."""
    pair = CUBE, np.roll(CUBE, 2, 0)
    assert overlap(*pair).dice == 0.5
    assert torch_metric(segmentation.DiceScore(2, input_format="index"), pair) == pytest.approx((0.5 + 51 / 52) / 2)


def test_torchmetrics_leaves_cases_out_where_both_masks_are_empty_and_precision_and_recall_are_0_there():
    """Dice 1/2 and a rightly empty case: 0.75 on average here, 0.5 there; precision of the latter 1 and 0."""
    cases = (CUBE, np.roll(CUBE, 2, 0)), (EMPTY, EMPTY)
    ours = [overlap(*case) for case in cases]
    assert np.mean([(m.dice, m.iou) for m in ours], axis=0) == pytest.approx([0.75, (1 / 3 + 1) / 2])
    assert torch_overlap(*cases)[:2] == pytest.approx([0.5, 1 / 3])
    assert (ours[1].precision, ours[1].recall, torch_overlap(cases[1])[2:]) == (1.0, 1.0, [0.0, 0.0])


def test_panoptic_quality_of_a_data_set_with_a_half_match_a_miss_and_void_is_that_of_torchmetrics():
    """IoU 1/2 is no match, 9/11 and 1 (half of it in the void) are, one is missed: 20/11 over 2 + 3 · 1/2."""
    images = [(strip(0, 10), strip(0, 5)), (strip(0, 10), strip(1, 11)), (strip(0, 0), strip(3, 6))]
    images += [(strip(5, 15), strip(10, 20, 9, on=strip(5, 10))), (strip(9, 15), strip(10, 20, 9))]
    parts = [metrics.panoptic_counts({"ctv": p == 1}, {"ctv": r == 1}, void=r == 9) for p, r in images]
    m = metrics.panoptic_quality(parts)["ctv"]
    assert m.quality == pytest.approx(20 / 11 / 3.5)
    assert [m.quality, m.segmentation_quality, m.recognition_quality] == pytest.approx(torch_panoptic(*images)[1])


def test_torchmetrics_takes_unnamed_background_for_void_so_twice_the_length_is_perfect():
    """10 predicted, 5 right: IoU 1/2 and no match; with the other 5 as void, 5 of 5. Named, it counts as we do."""
    pair = strip(0, 10), strip(0, 5)
    assert metrics.panoptic_counts({"ctv": pair[0]}, {"ctv": pair[1]})["ctv"].quality == 0.0
    assert [torch_panoptic(pair, categories=c)[-1][0] for c in ((1,), (0, 1))] == [1.0, 0.0]


def test_torchmetrics_cuts_nested_structures_out_of_each_other_so_a_missed_urethra_costs_the_ctv_too():
    """A label map leaves 6 of the CTV's 10 around a urethra of 4: PQ 0.6 there, 1 here; absent: 0 and None."""
    whole, urethra = strip(0, 10), strip(4, 8)
    ours = metrics.panoptic_counts({"ctv": whole}, {"ctv": whole, "urethra": urethra, "bladder": 0 * whole})
    assert [counts.quality for counts in ours.values()] == [1.0, 0.0, None]
    peer = torch_panoptic((whole, strip(4, 8, 2, on=whole)), categories=(0, 1, 2, 3))
    assert [quality for quality, _, _ in peer] == pytest.approx([1.0, 0.6, 0.0, 0.0])


def test_the_calibration_error_of_the_foregrounds_probability_is_that_of_torchmetrics():
    """64 probabilities 0, 1/64, ... 63/64: off by p in every other of eight bins, by 1 - p in the rest: 7/16."""
    p, truth = np.arange(64) / 64, np.arange(64) // 8 % 2
    assert metrics.expected_calibration_error(p, truth, bins=8) == pytest.approx(7 / 16)
    assert torch_ece(p, truth, 8) == pytest.approx(7 / 16)


def test_torchmetrics_gives_a_probability_of_1_a_bin_of_its_own_so_an_error_of_0_475_becomes_0_525():
    """0.95 that is right and 1 that is wrong: |0.975 - 1/2| in one last bin, (0.05 + 1) / 2 in two."""
    p, truth = np.array([0.95, 1.0]), np.array([1, 0])
    assert metrics.expected_calibration_error(p, truth) == pytest.approx(0.475)
    assert torch_ece(p, truth, 10) == pytest.approx(0.525)


def test_by_the_predicted_classs_confidence_errors_cancel_that_do_not_by_the_foregrounds_so_0_1_becomes_0():
    """0.1 is right in 2 of 10, 0.9 in 10 of 10; as confidences all are 0.9, and 18 of 20 are right."""
    p, truth = np.repeat([0.1, 0.9], 10), np.array([1] * 2 + [0] * 8 + [1] * 10)
    assert metrics.expected_calibration_error(p, truth) == pytest.approx(0.1) == torch_ece(p, truth, 10)
    top_label = classification.MulticlassCalibrationError(2, n_bins=10)
    assert float(top_label(torch.tensor(np.stack([1 - p, p], 1)), torch.tensor(truth))) < 1e-6
