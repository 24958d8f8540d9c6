"""Where and how much, in the patient: thirds, directions, extents, slices; pencil values and misses."""

from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from prostate_seg.evaluation.metrics import DISTANCES, SCORES, Metrics, evaluate_masks
from prostate_seg.evaluation.metrics.patient import centroid_lps_mm, ellipsoid_ml, extents_mm
from prostate_seg.evaluation.summary import summarise
from prostate_seg.geometry.volume import affine_from_lps

AXIAL = affine_from_lps(np.eye(3), np.array([1.0, 1.0, 2.0]), np.zeros(3))  # left, posterior, superior


def block(*ranges, shape=(40, 40, 24)):
    mask = np.zeros(shape, bool)
    mask[tuple(slice(*r) for r in ranges)] = True
    return mask


GLAND = block((10, 30), (12, 28), (3, 21))  # 20 x 16 x 36 mm


def test_a_block_of_20_by_16_by_18_voxels_of_1_1_and_2_mm_measures_20_16_and_36_mm_and_6_03_ml_as_an_ellipsoid():
    assert extents_mm(GLAND, AXIAL) == pytest.approx((20, 16, 36))
    assert ellipsoid_ml((20, 16, 36)) == pytest.approx(np.pi / 6 * 11.52)
    np.testing.assert_allclose(centroid_lps_mm(GLAND, AXIAL), [19.5, 19.5, 23.0])


def test_extents_are_the_patients_on_a_grid_whose_axes_are_swapped_and_mirrored():
    turned = affine_from_lps(
        np.array([[0, 0, 1], [-1, 0, 0], [0, -1, 0]], float), np.array([1.0, 2.0, 1.0]), np.zeros(3)
    )
    assert extents_mm(GLAND, turned) == pytest.approx((18, 20, 32))  # k: left, i: anterior, j: inferior, 2 mm


def test_a_mask_that_lacks_the_last_third_has_dice_1_1_0_from_apex_to_base():
    m = evaluate_masks(block((10, 30), (12, 28), (3, 15)), GLAND, affine=AXIAL)
    assert (m.dice_apex, m.dice_mid, m.dice_base) == (1.0, 1.0, 0.0)
    assert m.missed_slices == 6
    assert m.slice_dice == pytest.approx(12 / 18)
    assert m.superior_inferior_mm == pytest.approx(24)


def test_thirds_go_from_apex_to_base_also_where_the_slices_run_the_other_way():
    upside_down = affine_from_lps(np.diag([1.0, 1.0, -1.0]), np.array([1.0, 1.0, 2.0]), np.zeros(3))
    m = evaluate_masks(block((10, 30), (12, 28), (3, 15)), GLAND, affine=upside_down)
    assert (m.dice_apex, m.dice_mid, m.dice_base) == (0.0, 1.0, 1.0)


def test_a_plane_3_mm_further_to_the_posterior_shows_there_and_hardly_elsewhere():
    m = evaluate_masks(block((10, 30), (12, 31), (3, 21)), GLAND, affine=AXIAL)
    assert m.distance_posterior_mm > 1.5
    assert m.distance_anterior_mm == 0.0
    assert max(m.distance_left_mm, m.distance_right_mm) < 0.3
    assert m.hd_mm == pytest.approx(3.0)
    assert m.centroid_shift_mm == pytest.approx(1.5)


def test_left_is_the_patients_left():
    m = evaluate_masks(block((10, 33), (12, 28), (3, 21)), GLAND, affine=AXIAL)  # i runs to the left
    assert m.distance_left_mm > 1.0
    assert m.distance_right_mm == 0.0


def test_without_an_affine_nothing_with_a_direction_is_claimed():
    m = evaluate_masks(GLAND, GLAND, (1.0, 1.0, 2.0))
    silent = [name for name in ("dice_apex", "distance_left_mm", "left_right_mm", "ellipsoid_ml")
              if getattr(m, name) is None]  # fmt: skip
    assert len(silent) == 4
    assert m.centroid_shift_mm == 0.0


def test_half_a_block_has_precision_1_recall_one_half_iou_one_half_and_dice_two_thirds():
    m = evaluate_masks(block((10, 20), (12, 28), (3, 21)), GLAND, affine=AXIAL)
    assert (m.precision, m.recall, m.iou, m.dice) == (1.0, 0.5, 0.5, pytest.approx(2 / 3))


def test_planes_2_mm_apart_have_surface_dice_0_at_1_mm_and_1_at_2_mm():
    a, b = block((5, 6), (0, 40), (0, 24)), block((7, 8), (0, 40), (0, 24))
    m = evaluate_masks(a, b, affine=AXIAL)
    assert (m.surface_dice_1mm, m.surface_dice_2mm, m.surface_dice_3mm) == (0.0, 1.0, 1.0)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6))
def test_turning_patient_and_grid_together_changes_nothing_but_directions(seed):
    rng = np.random.default_rng(seed)
    other = np.roll(GLAND, rng.integers(-3, 4, 3), (0, 1, 2))
    turned = affine_from_lps(
        Rotation.random(random_state=seed).as_matrix(), np.array([1.0, 1.0, 2.0]), rng.normal(0, 50, 3)
    )
    straight, oblique = evaluate_masks(other, GLAND, affine=AXIAL), evaluate_masks(other, GLAND, affine=turned)
    for name in ("dice", "hd_mm", "hd95_mm", "assd_mm", "centroid_shift_mm", "volume_ml", "slice_dice"):
        assert getattr(oblique, name) == pytest.approx(getattr(straight, name), abs=1e-6)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.booleans())
def test_a_miss_is_worse_than_any_prediction_in_every_score_and_summary(seed, far):
    rng = np.random.default_rng(seed)
    low = np.sort(rng.integers(0, [39, 39, 23], (2, 3)), axis=0)
    found = block(*[(a, b + 1) for a, b in low.T.tolist()])
    if far:  # a case that is wrong by 20 mm
        found = block((0, 2), (0, 2), (0, 2))
    hit = evaluate_masks(found, GLAND, affine=AXIAL)
    miss = evaluate_masks(np.zeros_like(GLAND), GLAND, affine=AXIAL)
    good = evaluate_masks(GLAND, GLAND, affine=AXIAL)
    diagonal = float(np.linalg.norm([40, 40, 48]))
    with_hit, with_miss = (summarise([good, good, case], [diagonal] * 3, resamples=1) for case in (hit, miss))
    for name, sense in SCORES.items():
        assert sense * (getattr(hit, name) - getattr(miss, name)) >= 0, name
        for statistic in ("mean", "median"):
            gain = getattr(with_hit[name], statistic) - getattr(with_miss[name], statistic)
            assert sense * gain >= -1e-9, (name, statistic)


def test_every_number_of_two_empty_masks_and_of_a_false_alarm_follows_the_table():
    nothing = np.zeros_like(GLAND)
    empty, alarm = (evaluate_masks(mask, nothing, affine=AXIAL) for mask in (nothing, GLAND))
    assert (empty.dice, empty.precision, empty.recall, empty.surface_dice_1mm, empty.slice_dice) == (1, 1, 1, 1, 1)
    assert (empty.hd_mm, empty.centroid_shift_mm, empty.relative_volume_error) == (0, 0, 0)
    assert empty.dice_base is None
    assert (alarm.dice, alarm.precision, alarm.recall, alarm.surface_dice_3mm) == (0, 0, 0, 0)
    assert np.isinf([alarm.hd95_mm, alarm.mean_distance_to_prediction_mm, alarm.centroid_shift_mm]).all()
    assert alarm.extra_slices == 18
    assert alarm.relative_volume_error == np.inf
    assert {field.name for field in fields(Metrics)} >= set(SCORES) >= set(DISTANCES)
    assert replace(empty) == empty
