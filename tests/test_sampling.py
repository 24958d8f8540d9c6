"""Hard-example sampling and the Hausdorff loss."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.losses import DiceCELoss

from prostate_seg.errors import SettingsError
from prostate_seg.training.data import EpochSampler
from prostate_seg.training.losses import DiceCEHausdorffLoss
from prostate_seg.training.sampling import HardExampleSampler, clusters_of, sampling_weights


def test_two_clouds_of_features_are_two_clusters():
    rng = np.random.default_rng(0)
    features = np.concatenate([rng.normal(0, 0.1, (10, 8)), rng.normal(3, 0.1, (10, 8))])
    labels = clusters_of(features, 2)
    assert len(set(labels[:10])) == len(set(labels[10:])) == 1
    assert labels[0] != labels[10]
    assert np.array_equal(labels, clusters_of(features, 2))


def test_a_cluster_with_three_times_the_error_is_drawn_three_times_as_often():
    """Errors 2, 2, 6, 6 mm, share 1: weights 0.5, 0.5, 1.5, 1.5 of 4."""
    weights = sampling_weights([2, 2, 6, 6], np.array([0, 0, 1, 1]), 1.0)
    assert weights == pytest.approx([0.125, 0.125, 0.375, 0.375])


def test_no_case_is_drawn_more_than_four_times_as_often_as_another():
    weights = sampling_weights([1, 100], np.array([0, 1]), 1.0)
    assert weights.max() / weights.min() == pytest.approx(4)


@given(st.lists(st.floats(0, 50), min_size=1, max_size=30))
@settings(max_examples=50, deadline=None)
def test_a_share_of_0_is_uniform_exactly(errors):
    weights = sampling_weights(errors, np.arange(len(errors)), 0.0)
    assert (weights == 1 / len(errors)).all() or weights == pytest.approx(1 / len(errors), rel=1e-15)
    with pytest.raises(SettingsError, match="between 0 and 1, got 2"):
        sampling_weights(errors, np.arange(len(errors)), 2)


def test_without_weights_the_sampler_draws_as_the_epoch_sampler_does():
    for epoch in (0, 3):
        plain, hard = EpochSampler(range(9), seed=5), HardExampleSampler(range(9), seed=5)
        plain.epoch = hard.epoch = epoch
        assert list(hard) == list(plain)


def test_with_weights_the_sampler_draws_what_is_likely_and_remembers_them():
    sampler = HardExampleSampler(range(4), seed=0)
    sampler.weights, sampler.epoch = np.array([0.0, 0.0, 0.0, 1.0]), 2
    assert list(sampler) == [11, 11, 11, 11]  # epoch 2 of 4 cases, case 3
    again = HardExampleSampler(range(4), seed=0)
    again.load_state_dict(sampler.state_dict())
    assert again.weights.tolist() == [0, 0, 0, 1]


def volumes():
    labels = torch.zeros(1, 1, 8, 8, 8)
    labels[..., 2:6, 2:6, 2:6] = 1
    return torch.zeros(1, 2, 8, 8, 8), labels


def test_weight_0_is_monais_dice_and_cross_entropy():
    logits, labels = volumes()
    plain = DiceCELoss(to_onehot_y=True, softmax=True, include_background=False, batch=True)
    for scale in (0.0, 3.0):
        drawn = logits + scale * torch.randn(logits.shape, generator=torch.Generator().manual_seed(1))
        ours = DiceCEHausdorffLoss(spacing_mm=(1, 1, 1))(drawn, labels)
        torch.testing.assert_close(ours, plain(drawn, labels), rtol=1e-6, atol=0)
    nothing = DiceCEHausdorffLoss(spacing_mm=(1, 1, 1))(logits[:0], labels[:0])
    assert float(nothing) == 0
    with pytest.raises(SettingsError, match="weight of 0 or more"):
        DiceCEHausdorffLoss(spacing_mm=(1, 1, 1), hausdorff_weight=-1)


def test_one_wrong_voxel_costs_its_squared_distance_in_centimetres():
    """A voxel 5 mm from the mask (5 steps of 1 mm): (0.5)^2 from the reference, (0.1)^2 from its own boundary."""
    _, labels = volumes()
    sure = torch.stack([1 - labels[:, 0], labels[:, 0]], 1) * 60 - 30
    wrong = sure.clone()
    wrong[0, :, 0, 3, 3] = torch.tensor([-30.0, 30.0])
    loss = DiceCEHausdorffLoss(spacing_mm=(2.5, 1, 1), hausdorff_weight=1.0)
    plain = DiceCEHausdorffLoss(spacing_mm=(2.5, 1, 1))
    extra = float(loss(wrong, labels) - plain(wrong, labels))
    assert extra == pytest.approx((0.5**2 + 0.1**2) / 512, rel=1e-3)
    assert float(loss(sure, labels) - plain(sure, labels)) == pytest.approx(0, abs=1e-9)


def test_an_empty_label_gives_a_finite_loss():
    logits, labels = volumes()
    loss = DiceCEHausdorffLoss(spacing_mm=(1, 1, 1), hausdorff_weight=1.0)
    assert torch.isfinite(loss(logits, torch.zeros_like(labels)))


def test_the_loss_counts_millimetres_of_the_grid_that_training_prepares(repository):
    import json

    config = json.loads((repository / "bundles/prostate_us_segmenter/configs/train.json").read_text())
    assert config["loss"]["spacing_mm"] == "@prepare::3::spacing_mm"
    assert config["prepare"][3]["spacing_mm"] == [1.6, 1.6, 2.0]
    assert SimpleNamespace(**config).hard_examples == 0.0
