"""Ensembles: members answer together, one member is the network itself, the plain model stays bit for bit."""

import numpy as np
import pytest
import torch
from monai.inferers import SlidingWindowInferer
from test_infer import tiny

from prostate_seg.errors import SettingsError
from prostate_seg.inference.inferers import ScaleFlipInferer, SliceStackInferer
from prostate_seg.network import Ensemble, members_of


def inferer(**options):
    return ScaleFlipInferer(SlidingWindowInferer(16, sw_batch_size=4), **options)


def different(count):
    ensemble = Ensemble(tiny(), count).eval()
    for number, member in enumerate(ensemble.members):
        torch.manual_seed(number)
        for parameter in member.parameters():
            parameter.data += 0.05 * torch.randn_like(parameter)
    return ensemble


def test_softmax_of_an_ensemble_is_the_mean_of_its_members_softmax():
    ensemble, image = different(3), torch.rand(2, 1, 16, 12)
    mean = torch.stack([member(image).softmax(1) for member in ensemble.members]).mean(0)
    torch.testing.assert_close(ensemble(image).softmax(1), mean, rtol=0, atol=1e-6)


def test_an_inferer_averages_members_scales_and_flips_and_shows_every_pass():
    ensemble, image = different(3), torch.rand(1, 1, 20, 12)
    mean, passes = inferer(scales=(1.0, 1.25), flip_axes=(0,)).collect(image, ensemble)
    assert passes.shape == (12, 1, 20, 12)  # 3 members, 2 scales, 2 flips
    torch.testing.assert_close(passes.mean(0), mean[:, 1], rtol=0, atol=1e-6)
    apart = torch.stack([inferer(scales=(1.0, 1.25), flip_axes=(0,))(image, m) for m in ensemble.members]).mean(0)
    torch.testing.assert_close(mean, apart, rtol=0, atol=1e-6)


def test_an_ensemble_of_one_gives_the_bits_of_its_member():
    network, image = tiny(), torch.rand(1, 1, 20, 24)
    alone = inferer(flip_axes=(0,))(image, network)
    assert torch.equal(inferer(flip_axes=(0,))(image, Ensemble(network, 1).eval()), alone)


def test_slices_of_a_volume_show_their_passes_too():
    ensemble = Ensemble(tiny(channels=3), 2).eval()
    volume = torch.rand(1, 1, 16, 12, 5)
    volume[..., 2] = 0
    mean, passes = SliceStackInferer(inferer(flip_axes=(0,)), neighbours=3, slice_batch=2).collect(volume, ensemble)
    assert passes.shape == (4, 1, 16, 12, 5)
    torch.testing.assert_close(passes.mean(0), mean[:, 1], rtol=0, atol=1e-6)
    assert (passes[..., 2] == 0).all()


def test_a_network_alone_is_its_only_member_and_an_ensemble_has_at_least_one():
    network = tiny()
    assert members_of(network) == [network]
    assert len(members_of(Ensemble(network, 4))) == 4
    with pytest.raises(SettingsError, match="one member or more, got 0"):
        Ensemble(network, 0)


def test_the_mean_of_tokens_tells_images_apart_and_has_one_number_a_channel():
    network = tiny()
    bright, dark = network.features(torch.ones(1, 1, 20, 12)), network.features(torch.zeros(1, 1, 20, 12))
    assert bright.shape == (1, 16)
    assert np.abs((bright - dark).detach().numpy()).max() > 1e-3
