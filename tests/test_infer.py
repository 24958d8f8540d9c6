"""Inference: ensembling over scales and flips is exact where it can be, slices of a volume become a batch."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.bundle import ConfigParser
from monai.data import MetaTensor
from monai.inferers import SimpleInferer, SlidingWindowInferer

from prostate_seg.errors import SettingsError
from prostate_seg.inference.inferers import PAPER_SCALES, ScaleFlipInferer, SliceStackInferer, paper_inferer
from prostate_seg.network import ConvStem, MaskTransformer, Segmenter, VisionTransformer, precision

sides = st.integers(5, 24)
few = settings(max_examples=8, deadline=None)


def tiny(channels=1, axes=2):
    torch.manual_seed(0)
    stem = ConvStem(channels, 16, (4,) * axes)
    encoder = VisionTransformer((16,) * axes, stem, depth=1, heads=2)
    return Segmenter(encoder, MaskTransformer(16, 2)).eval()


def windows(size=16, overlap=0.25):
    return SlidingWindowInferer(size, sw_batch_size=4, overlap=overlap)


def brightness(image):
    """Pointwise logits (0, first channel)."""
    return torch.cat([torch.zeros_like(image[:, :1]), image[:, :1]], dim=1)


def constant(image):
    """Logits (0, log 3) everywhere: probabilities 1/4 and 3/4."""
    logits = torch.tensor([0.0, math.log(3.0)]).reshape(1, 2, *[1] * (image.ndim - 2))
    return logits.repeat(len(image), 1, *image.shape[2:])


@given(height=sides, width=sides, scale=st.sampled_from(PAPER_SCALES))
@few
def test_a_flipped_input_gives_the_flipped_output_up_to_rounding(height, width, scale):
    inferer = ScaleFlipInferer(windows(), scales=(scale,), flip_axes=(0,))
    image = torch.rand(1, 1, height, width)
    probability, mirrored = inferer(image, tiny()), inferer(image.flip(2), tiny())
    tolerance = 1e-6 if scale == 1 else 1e-4  # interpolation rounds
    torch.testing.assert_close(mirrored.flip(2), probability, rtol=0, atol=tolerance)


@given(shape=st.lists(sides, min_size=2, max_size=3), enlarge=st.booleans())
@few
def test_a_constant_network_gives_probabilities_of_a_quarter_and_three_quarters(shape, enlarge):
    inferer = ScaleFlipInferer(windows(), scales=PAPER_SCALES, flip_axes=(0, 1), enlarge_small=enlarge)
    probability = inferer(torch.rand(2, 1, *shape), constant)
    assert probability.shape == (2, 2, *shape)
    torch.testing.assert_close(probability[:, 0], torch.full((2, *shape), 0.25))
    torch.testing.assert_close(probability[:, 1], torch.full((2, *shape), 0.75))


@given(height=sides, width=sides)
@few
def test_probabilities_of_the_paper_inference_sum_to_1(height, width):
    probability = paper_inferer(16, 12)(torch.rand(1, 1, height, width), tiny())
    torch.testing.assert_close(probability.sum(1), torch.ones(1, height, width))


@pytest.mark.parametrize("shape", [(20, 33), (16, 16), (7, 5), (9, 18, 17), (16, 16, 1)])
def test_scale_1_without_flips_is_the_softmax_of_the_windows_mean_logits(shape):
    network, image = tiny(axes=len(shape)), torch.rand(1, 1, *shape)
    probability = ScaleFlipInferer(windows())(image, network)
    whole = max(shape) <= 16
    logits = network(image) if whole else windows()(image, network)
    torch.testing.assert_close(probability, logits.softmax(1), rtol=0, atol=1e-6)


def test_probabilities_are_averaged_over_flips_not_logits():
    """A network with logits (0, column index): at column 0 of 3, sigmoid(0) and sigmoid(2) give 0.6904."""

    def column(image):
        return brightness(torch.arange(3.0).expand_as(image))

    probability = ScaleFlipInferer(SimpleInferer(), flip_axes=(1,))(torch.zeros(1, 1, 2, 3), column)
    assert probability[0, 1, 0].tolist() == pytest.approx([0.6904, 0.7311, 0.6904], abs=1e-4)


def test_two_flip_axes_make_four_passes_and_three_scales_three_sets():
    inferer = ScaleFlipInferer(windows(), scales=(0.5, 1.0, 1.5), flip_axes=(0, 1))
    image = torch.rand(2, 1, 16, 12)
    passes = list(inferer.passes(image, tiny()))
    assert [tuple(scale.shape) for scale in passes] == [(4, 2, 2, 16, 12)] * 3
    torch.testing.assert_close(torch.cat(passes).mean(0), inferer(image, tiny()))


def test_flips_in_one_batch_equal_flips_one_by_one():
    network, image = tiny(), torch.rand(2, 1, 20, 24)
    together = ScaleFlipInferer(windows(), flip_axes=(0,))(image, network)
    one = ScaleFlipInferer(windows())
    apart = (one(image, network) + one(image.flip(2), network).flip(2)) / 2
    torch.testing.assert_close(together, apart, rtol=0, atol=1e-6)


def seen_shapes(inferer, image):
    shapes = []

    def network(x):
        shapes.append(tuple(x.shape[2:]))
        return brightness(x)

    inferer(image, network)
    return shapes


def test_only_the_named_axes_are_scaled():
    """Half of 16 x 12 x 6 along axes 0 and 1 is 8 x 6 x 6."""
    inferer = ScaleFlipInferer(SimpleInferer(), scales=(0.5,), scale_axes=(0, 1))
    assert seen_shapes(inferer, torch.rand(1, 1, 16, 12, 6)) == [(8, 6, 6)]


def test_a_window_over_the_whole_image_is_not_padded_and_a_small_image_enlarged_only_on_request():
    """A 10 x 20 image, a window of 32: seen as it is, or enlarged to 32 x 64 in windows."""
    image = torch.rand(1, 1, 10, 20)
    assert seen_shapes(ScaleFlipInferer(windows(32)), image) == [(10, 20)]
    assert seen_shapes(ScaleFlipInferer(windows(32), enlarge_small=True), image) == [(32, 32)]


@pytest.mark.parametrize(("window", "stride"), [(512, 512), (480, 320), (768, 512), (7, 6), (64, 48), (3, 1)])
def test_monai_steps_by_the_stride_asked_for(window, stride):
    overlap = paper_inferer(window, stride).inferer.overlap
    assert int(window * (1 - overlap)) == stride


def test_without_bfloat16_in_the_processor_autocast_changes_no_bit(monkeypatch):
    monkeypatch.setattr(precision, "computes_bfloat16", lambda device: False)
    image, network = torch.rand(1, 1, 16, 16), torch.nn.Conv2d(1, 2, 3, padding=1)
    slow, fast = (ScaleFlipInferer(windows(), autocast=on)(image, network) for on in (False, True))
    assert torch.equal(slow, fast)


@pytest.mark.parametrize(("avx512", "amx"), [(False, False), (True, False), (False, True)])
def test_a_cpu_computes_bfloat16_with_avx512_or_amx_alone(monkeypatch, avx512, amx):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    assert precision.computes_bfloat16("cpu") is (avx512 or amx)


def test_autocast_stays_within_0_02_of_float32_and_returns_float32(monkeypatch):
    monkeypatch.setattr(precision, "computes_bfloat16", lambda device: True)
    network, image = tiny(), torch.rand(1, 1, 16, 16)
    exact = ScaleFlipInferer(windows())(image, network)
    fast = ScaleFlipInferer(windows(), autocast=True)(image, network)
    assert fast.dtype == torch.float32
    torch.testing.assert_close(fast, exact, rtol=0, atol=0.02)


def stacked(neighbours=3, slice_batch=4, **options):
    return SliceStackInferer(ScaleFlipInferer(windows(), **options), neighbours=neighbours, slice_batch=slice_batch)


@given(shape=st.tuples(st.integers(1, 2), st.integers(3, 18), st.integers(3, 18), st.integers(1, 5)))
@few
def test_slices_in_batches_of_4_equal_slices_one_by_one(shape):
    batch, *spatial = shape
    volume = torch.rand(batch, 1, *spatial)
    network = tiny(channels=3)
    together = stacked()(volume, network)
    assert together.shape == (batch, 2, *spatial)
    torch.testing.assert_close(together, stacked(slice_batch=1)(volume, network), rtol=0, atol=1e-6)
    torch.testing.assert_close(together.sum(1), torch.ones(batch, *spatial))


def test_each_slice_sees_itself_and_its_neighbours_with_the_borders_repeated():
    """Logit a + b / 10 + c / 100 of slices (a, b, c): slices of 1, 2 and 3 give 1.12, 1.23 and 2.33."""

    def network(x):
        weights = torch.tensor([1.0, 0.1, 0.01]).reshape(1, 3, 1, 1)
        return brightness((x * weights).sum(1, keepdim=True))

    probability = stacked()(torch.tensor([1.0, 2.0, 3.0]).expand(1, 1, 4, 4, 3), network)
    assert torch.logit(probability[0, 1, 0, 0]).tolist() == pytest.approx([1.12, 1.23, 2.33], abs=1e-4)


def test_slices_without_ultrasound_are_background_and_never_computed():
    volume = torch.rand(1, 1, 8, 8, 5)
    volume[..., [0, 3, 4]] = 0.0
    counts = []

    def network(x):
        counts.append(len(x))
        return constant(x)

    probability = stacked()(volume, network)
    assert sum(counts) == 2
    assert probability[0, 1, 4, 4].tolist() == pytest.approx([0.0, 0.75, 0.75, 0.0, 0.0])
    assert probability[0, 0, 4, 4].tolist() == pytest.approx([1.0, 0.25, 0.25, 1.0, 1.0])


def test_a_volume_without_any_ultrasound_is_all_background():
    probability = stacked()(torch.zeros(2, 1, 8, 8, 3), constant)
    assert probability.shape == (2, 2, 8, 8, 3)
    assert probability[:, 0].min() == 1.0
    assert probability[:, 1].max() == 0.0


def test_a_left_right_flip_of_a_volume_flips_its_probabilities():
    volume, network = torch.rand(1, 1, 18, 20, 3), tiny(channels=3)
    inferer = stacked(flip_axes=(0,))
    torch.testing.assert_close(
        inferer(volume.flip(2), network).flip(2), inferer(volume, network), rtol=0, atol=1e-6
    )


def test_a_metatensor_keeps_its_affine_and_no_gradient_is_built():
    affine = torch.diag(torch.tensor([0.5, 0.5, 5.0, 1.0], dtype=torch.float64))
    volume = MetaTensor(torch.rand(1, 1, 8, 8, 2), affine=affine)
    probability = stacked()(volume, tiny(channels=3))
    assert isinstance(probability, MetaTensor)
    assert torch.equal(probability.affine, affine)
    assert not probability.requires_grad


def test_a_bundle_builds_the_inferer_from_literals():
    inner = {"_target_": "SlidingWindowInferer", "roi_size": [16, 16], "sw_batch_size": 4, "overlap": 0.25}
    passes = {"_target_": "prostate_seg.inference.ScaleFlipInferer", "scales": [0.75, 1.0], "flip_axes": [0]}
    config = {"_target_": "prostate_seg.inference.SliceStackInferer", "neighbours": 3, "slice_batch": 2}
    parser = ConfigParser({"inferer": config | {"inferer": passes | {"inferer": inner}}})
    assert parser.get_parsed_content("inferer")(torch.rand(1, 1, 8, 9, 2), constant).shape == (1, 2, 8, 9, 2)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ScaleFlipInferer(windows(), scales=()), r"above 0, got \[\]"),
        (lambda: ScaleFlipInferer(windows(), scales=(1.0, -1.0)), r"above 0, got \[1\.0, -1\.0\]"),
        (lambda: ScaleFlipInferer(windows())(torch.rand(1, 1, 4, 4), lambda x: x), "two or more classes"),
        (lambda: stacked(slice_batch=0), "at least 1, got 0"),
        (lambda: stacked(neighbours=4)(torch.rand(1, 1, 4, 4, 2), constant), "odd, .* got 4"),
        (lambda: stacked()(torch.rand(1, 2, 4, 4, 2), constant), r"got \(1, 2, 4, 4, 2\)"),
    ],
)
def test_impossible_settings_are_refused_in_words(make, message):
    with pytest.raises(SettingsError, match=message):
        make()
