from itertools import pairwise

import numpy as np
import pytest
import torch

from prostate_seg.errors import SettingsError
from prostate_seg.evaluation.metrics import expected_calibration_error
from prostate_seg.evaluation.metrics.calibration import reliability


def test_a_probability_of_0_8_that_is_right_in_7_of_10_is_wrong_by_0_1():
    truth = np.array([1] * 7 + [0] * 3, bool)
    assert expected_calibration_error(np.full(10, 0.8), truth) == pytest.approx(0.1)


def test_two_bins_of_3_and_1_voxels_off_by_0_2_and_0_4_make_0_25():
    p = np.array([0.2, 0.2, 0.2, 0.6])
    assert expected_calibration_error(p, np.array([0, 0, 0, 1])) == pytest.approx((3 * 0.2 + 0.4) / 4)


def test_reliabilities_of_cases_add_up_to_that_of_all_their_voxels():
    rng = np.random.default_rng(0)
    p, truth = rng.random(1000), rng.random(1000) < 0.3
    together = reliability(p[:400], truth[:400]) + reliability(p[400:], truth[400:])
    assert together.expected_calibration_error == pytest.approx(expected_calibration_error(p, truth))


def test_probabilities_that_are_their_own_frequency_have_an_error_near_0():
    rng = np.random.default_rng(1)
    p = rng.random(200_000)
    assert expected_calibration_error(p, rng.random(200_000) < p) < 0.01


def test_a_plain_sum_over_bins_gives_the_same():
    rng = np.random.default_rng(2)
    p, truth = torch.rand(5000, generator=torch.Generator().manual_seed(0)).numpy(), rng.random(5000) < 0.5
    edges = np.linspace(0, 1, 11)
    total = 0.0
    for low, high in pairwise(edges):
        inside = (p >= low) & ((p < high) | (high == 1))
        if inside.any():
            total += inside.mean() * abs(p[inside].mean() - truth[inside].mean())
    assert expected_calibration_error(p, truth) == pytest.approx(total, abs=1e-6)


def test_no_voxel_has_error_0_and_logits_are_refused():
    assert expected_calibration_error(np.zeros(0), np.zeros(0, bool)) == 0.0
    with pytest.raises(SettingsError, match=r"probabilities in \[0, 1\] of the reference's shape"):
        expected_calibration_error(np.array([1.5]), np.array([1]))
