from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prostate_seg.errors import SettingsError
from prostate_seg.evaluation.metrics import DISTANCES, Metrics
from prostate_seg.evaluation.summary import summarise


def row(dice=0.9, distance=2.0, relative=0.0):
    overlaps = dict.fromkeys(("dice", "iou", "precision", "recall"), dice)
    surfaces = dict.fromkeys(("surface_dice_1mm", "surface_dice_2mm", "surface_dice_3mm"), dice)
    volumes = {"volume_ml": 30.0, "reference_volume_ml": 30.0, "relative_volume_error": relative}
    return Metrics(**overlaps, **surfaces, **volumes, **dict.fromkeys(DISTANCES, distance))


MISS = row(0.0, np.inf, -1.0)


def test_mean_median_and_std_of_1_2_and_6_mm_are_3_2_and_the_root_of_7():
    found = summarise([row(distance=d) for d in (1.0, 2.0, 6.0)], [100.0] * 3)["hd95_mm"]
    assert (found.mean, found.median) == (3.0, 2.0)
    assert found.std == pytest.approx(7**0.5)
    assert 1.0 <= found.mean_low < 3.0 < found.mean_high <= 6.0
    assert (found.cases, found.infinite, found.undefined) == (3, 0, 0)


def test_a_missed_case_counts_as_its_image_diagonal_and_is_counted():
    found = summarise([row(distance=2.0), MISS], [100.0, 80.0])["hd_mm"]
    assert (found.mean, found.infinite) == ((2.0 + 80.0) / 2, 1)


def test_an_infinite_relative_volume_error_makes_its_mean_infinite_without_an_interval():
    found = summarise([row(), row(relative=np.inf)], [50.0, 50.0])["relative_volume_error"]
    assert (found.mean, found.infinite, found.std, found.mean_low) == (np.inf, 1, None, None)


def test_single_slices_have_no_volume_and_are_counted_as_undefined():
    flat = replace(row(), volume_ml=None)
    found = summarise([flat, row()], [50.0, 50.0])["volume_ml"]
    assert (found.mean, found.cases, found.undefined) == (30.0, 1, 1)


def test_no_case_and_one_case_claim_nothing_they_cannot_know():
    none, one = summarise([], [])["dice"], summarise([row()], [50.0])["dice"]
    assert (none.mean, none.median, none.std, none.mean_low, none.cases) == (None, None, None, None, 0)
    assert (one.mean, one.std, one.mean_low, one.mean_high) == (0.9, None, None, None)


def test_the_bootstrap_draws_patients_so_two_scans_of_each_widen_it_as_two_patients_do():
    rows = [row(dice=d) for d in (0.9, 0.9, 0.7, 0.7)]
    grouped = summarise(rows, [50.0] * 4, patients=["a", "a", "b", "b"])["dice"]
    assert (grouped.mean_low, grouped.mean_high) == pytest.approx((0.7, 0.9))  # both draws the same: 1 in 4
    single = summarise(rows, [50.0] * 4)["dice"]
    assert single.mean_high - single.mean_low <= grouped.mean_high - grouped.mean_low
    same = summarise(rows[:2], [50.0] * 2, patients=["a", "a"])["dice"]
    assert same.mean_low is None


def test_the_same_seed_gives_the_same_interval():
    rows = [row(dice=d) for d in (0.5, 0.7, 0.8, 0.9)]
    assert summarise(rows, [50.0] * 4, seed=3) == summarise(rows, [50.0] * 4, seed=3)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.floats(0.0, 60.0), min_size=2, max_size=8), st.integers(0, 7))
def test_missing_a_case_never_improves_a_summary(distances, position):
    rows = [row(distance=d) for d in distances]
    diagonals = [60.0] * len(rows)
    worse = list(rows)
    worse[position % len(rows)] = MISS
    before, after = summarise(rows, diagonals, resamples=50), summarise(worse, diagonals, resamples=50)
    for name in DISTANCES:
        for number in ("mean", "median", "mean_low", "mean_high"):
            assert getattr(after[name], number) >= getattr(before[name], number) - 1e-9
    assert after["dice"].mean < before["dice"].mean


def test_a_diagonal_too_few_or_of_no_length_is_refused():
    with pytest.raises(SettingsError, match="one diagonal and one patient a case, got 1 diagonals"):
        summarise([row(), row()], [50.0])
    with pytest.raises(SettingsError, match="positive lengths in mm"):
        summarise([row()], [np.inf])
    with pytest.raises(SettingsError, match="at least 1 resample"):
        summarise([row()], [50.0], resamples=0)
