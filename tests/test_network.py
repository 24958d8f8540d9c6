"""Segmenter: any size, the published structure, gradients of the two-class mask decoder, exports."""

import pytest
import torch
from monai.bundle import ConfigParser
from torch import nn

from prostate_seg.errors import SettingsError
from prostate_seg.network import (
    ConvStem,
    CosineScale,
    LinearDecoder,
    MaskTransformer,
    PatchEmbed,
    Segmenter,
    SkipDecoder,
    VisionTransformer,
    channels_last,
    resize_position_embedding,
    segmenter_base,
    segmenter_large,
    segmenter_small,
    segmenter_tiny,
    slice_stack,
)

STEM = {"_target_": "prostate_seg.network.ConvStem", "in_channels": 5, "width": 16, "patch_size": [8, 8]}
CONFIG = {
    "_target_": "prostate_seg.network.Segmenter",
    "encoder": {
        "_target_": "prostate_seg.network.VisionTransformer",
        "image_size": [32, 32],
        "patch_embed": STEM,
        "depth": 2,
        "heads": 2,
        "drop_path": 0.1,
    },
    "decoder": {"_target_": "prostate_seg.network.MaskTransformer", "width": 16, "num_classes": 2},
}


def small(image_size=(16, 16), patch=8, *, channels=1, classes=2, embed=PatchEmbed, decoder=MaskTransformer):
    torch.manual_seed(0)
    patch_embed = embed(channels, 16, (patch,) * len(image_size))
    encoder = VisionTransformer(image_size, patch_embed, depth=2, heads=2, drop_path=0.5)
    return Segmenter(encoder, decoder(16, classes)).eval()


@pytest.mark.parametrize("decoder", [LinearDecoder, MaskTransformer])
@pytest.mark.parametrize("embed", [PatchEmbed, ConvStem])
@pytest.mark.parametrize("size", [(16, 16), (1, 1), (23, 40), (8, 7, 5), (16, 16, 1)])
def test_logits_have_one_channel_a_class_and_the_size_of_any_image(size, embed, decoder):
    network = small((16,) * len(size), channels=5, classes=3, embed=embed, decoder=decoder)
    logits = network(torch.rand(2, 5, *size))
    assert logits.shape == (2, 3, *size)
    assert logits.dtype == torch.float32
    assert logits.isfinite().all()


@pytest.mark.parametrize("classes", [1, 2, 3, 7])
def test_any_number_of_classes_from_1_to_7_gives_as_many_channels(classes):
    assert small(classes=classes)(torch.rand(1, 1, 16, 16)).shape[1] == classes


def test_padding_is_zeros_at_the_end_of_each_axis():
    network = small()
    image = torch.rand(1, 1, 13, 10)
    padded = torch.zeros(1, 1, 16, 16)
    padded[..., :13, :10] = image
    torch.testing.assert_close(network(image), network(padded)[..., :13, :10])


@pytest.mark.parametrize(
    ("build", "millions"),
    [(segmenter_tiny, 6.44), (segmenter_small, 25.5), (segmenter_base, 101.4), (segmenter_large, 329.6)],
)
def test_the_four_sizes_have_the_published_architectures_number_of_parameters(build, millions):
    """Patch 16, 256 x 256, one channel, two classes: 6.44, 25.5, 101.4 and 329.6 million."""
    with torch.device("meta"):
        network = build((256, 256), 16)
    count = sum(parameter.numel() for parameter in network.parameters()) / 1e6
    assert count == pytest.approx(millions, rel=0.005)


@pytest.mark.parametrize("patch", [4, 8, 16, 32])
def test_a_patch_of_p_pixels_gives_64_over_p_tokens_along_each_axis(patch):
    with torch.device("meta"):
        network = segmenter_tiny((64, 64, 64), patch, decoder=LinearDecoder, patch_embed=ConvStem)
    assert network.encoder.grid == (64 // patch,) * 3


def test_a_conv_stem_halves_only_the_axes_that_need_it():
    """Patch 8 x 8 x 2 turns 32 x 16 x 6 into a grid of 4 x 2 x 3, by way of 16 x 8 x 3 and 8 x 4 x 3."""
    embedding, maps = ConvStem(2, 16, (8, 8, 2))(torch.rand(1, 2, 32, 16, 6))
    assert embedding.shape == (1, 16, 4, 2, 3)
    assert [tuple(m.shape[2:]) for m in maps] == [(16, 8, 3), (8, 4, 3), (4, 2, 3)]


def test_a_skip_decoder_gives_logits_on_half_the_images_grid_and_sees_what_tokens_do_not():
    """With all tokens zero, a change of 1 in one voxel of the finest map changes the logits there most."""
    torch.manual_seed(0)
    stem = ConvStem(1, 64, (8, 8, 4))
    decoder = SkipDecoder(64, 2, stem.channels, axes=3).eval()
    maps = [torch.randn_like(m) for m in stem(torch.rand(1, 1, 32, 32, 16))[1]]
    tokens = torch.zeros(1, 64, 64)
    before = decoder(tokens, (4, 4, 4), maps)
    assert before.shape == (1, 2, 16, 16, 8)
    maps[0][..., 8, 8, 4] += 1.0
    changed = (decoder(tokens, (4, 4, 4), maps) - before).abs()[0, 0]
    assert changed[8, 8, 4] > 3 * changed[0].max()


def test_a_skip_decoder_for_another_stem_is_refused():
    stem = ConvStem(1, 64, (8, 8, 4))
    encoder = VisionTransformer((16, 16, 8), stem, depth=1, heads=1)
    with pytest.raises(SettingsError, match=r"joins maps of \(24, 48, 96\) channels, the encoder's stem gives"):
        Segmenter(encoder, SkipDecoder(64, 2, (24, 48, 96), axes=3))


def test_channels_last_weights_give_the_same_logits():
    torch.manual_seed(0)
    stem = ConvStem(1, 64, (8, 8, 4))
    network = Segmenter(
        VisionTransformer((16, 16, 8), stem, depth=1, heads=1), SkipDecoder(64, 2, stem.channels, axes=3)
    ).eval()
    image = torch.rand(1, 1, 16, 16, 8)
    torch.testing.assert_close(network(image), channels_last(network)(image), atol=1e-5, rtol=1e-4)


def test_position_embeddings_follow_the_shape_of_the_grid_not_its_count():
    """A ramp along the second axis of a 2 x 8 grid is 0, 2, 4, 6 + 0.5 on 4 columns: means of neighbours."""
    ramp = torch.arange(8.0).repeat(2).reshape(1, 16, 1)
    embedding = torch.cat([torch.full((1, 1, 1), -5.0), ramp], dim=1)
    resized = resize_position_embedding(embedding, (2, 8), (4, 4))
    assert resized[0, 0] == -5.0
    torch.testing.assert_close(resized[0, 1:, 0].reshape(4, 4), torch.tensor([0.5, 2.5, 4.5, 6.5]).repeat(4, 1))
    assert resize_position_embedding(embedding, (2, 8), (2, 8)) is embedding


def median_gradient(mask_norm):
    """Median over pixels of |d logit_0 / d cosine_0| for cosines drawn evenly from -0.3 to 0.3."""
    torch.manual_seed(0)
    cosines = (torch.rand(10_000, 2) * 0.6 - 0.3).requires_grad_()
    mask_norm(cosines)[:, 0].sum().backward()
    return cosines.grad[:, 0].abs().median().item()


def test_two_class_masks_pass_gradients_of_10_where_the_published_norm_passes_less_than_0_01():
    assert median_gradient(nn.LayerNorm(2)) == pytest.approx(0.0075, abs=0.001)
    assert median_gradient(CosineScale(2)) == pytest.approx(10.0)


def test_two_classes_use_the_cosine_scale_and_three_the_published_norm():
    assert isinstance(MaskTransformer(16, 2).mask_norm, CosineScale)
    assert isinstance(MaskTransformer(16, 3).mask_norm, nn.LayerNorm)
    assert isinstance(MaskTransformer(16, 2, mask_norm=nn.LayerNorm(2)).mask_norm, nn.LayerNorm)


def test_a_two_class_network_learns_one_image_in_40_steps():
    """The left half is class 1; cross-entropy falls from about 0.7 below 0.1."""
    network = small(embed=ConvStem, patch=4).train()
    image, label = torch.zeros(2, 1, 16, 16), torch.zeros(2, 16, 16, dtype=torch.long)
    image[..., :8], label[..., :8] = 1.0, 1
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3)
    for _ in range(40):
        loss = nn.functional.cross_entropy(network(image), label)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert nn.functional.cross_entropy(network.eval()(image), label) < 0.1


def test_stochastic_depth_rises_linearly_and_rests_in_evaluation():
    encoder = VisionTransformer((16, 16), PatchEmbed(1, 16, (8, 8)), depth=3, heads=2, drop_path=0.2)
    assert [block.drop_path for block in encoder.blocks] == pytest.approx([0.0, 0.1, 0.2])
    network, image = small(), torch.rand(1, 1, 16, 16)
    torch.testing.assert_close(network(image), network(image), rtol=0, atol=0)


def test_a_branch_dropped_with_probability_a_half_counts_twice_when_kept():
    """Over 2000 samples the mean of a branch of ones stays near 1; each sample has 0 or 2."""
    torch.manual_seed(0)
    block = small().train().encoder.blocks[1]
    kept = block._kept(torch.ones(2000, 1, 1))
    assert set(kept.unique().tolist()) == {0.0, 2.0}
    assert kept.mean().item() == pytest.approx(1.0, abs=0.1)


def test_a_bundle_builds_the_network_from_literals():
    network = ConfigParser({"network_def": CONFIG}).get_parsed_content("network_def").eval()
    assert network(torch.rand(1, 5, 32, 32)).shape == (1, 2, 32, 32)


def test_bfloat16_autocast_gives_float32_logits_near_the_exact_ones():
    network, image = small((32, 32), embed=ConvStem), torch.rand(1, 1, 32, 32)
    with torch.autocast("cpu", torch.bfloat16):
        logits = network(image)
    assert logits.dtype == torch.float32
    torch.testing.assert_close(logits.softmax(1), network(image).softmax(1), rtol=0, atol=0.05)


def test_traced_and_exported_networks_give_the_same_logits():
    network, image = small((16, 16), embed=ConvStem), torch.rand(1, 1, 16, 16)
    expected = network(image)
    torch.testing.assert_close(torch.jit.trace(network, image)(image), expected)
    torch.testing.assert_close(torch.export.export(network, (image,)).module()(image), expected)


def test_an_onnx_model_can_be_written(tmp_path):
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxscript")
    path = tmp_path / "model.onnx"
    torch.onnx.export(small(), (torch.rand(1, 1, 16, 16),), path, dynamo=True, verbose=False)
    onnx.checker.check_model(onnx.load(path))


def test_five_slices_around_the_first_of_three_repeat_it_twice():
    volume = torch.arange(3.0).expand(1, 2, 2, 3)
    assert slice_stack(volume, 0, 5)[:, 0, 0].tolist() == [0, 0, 0, 1, 2]
    assert slice_stack(volume, 1, 5)[:, 1, 1].tolist() == [0, 0, 1, 2, 2]
    assert slice_stack(volume[..., :1], 0, 3).shape == (3, 2, 2)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: small()(torch.rand(1, 1, 16, 16, 16)), r"with 2 axes, got \(1, 1, 16, 16, 16\)"),
        (lambda: VisionTransformer((16,) * 3, PatchEmbed(1, 16, (8, 8)), depth=1, heads=2), "as many axes"),
        (lambda: VisionTransformer((16, 16), PatchEmbed(1, 16, (8, 8)), depth=1, heads=3), "into 3 heads"),
        (lambda: ConvStem(1, 16, (12, 12)), r"powers of two above 1, got \(12, 12\)"),
        (lambda: PatchEmbed(1, 16, (8,)), r"two or three sides .* got \(8,\)"),
        (lambda: Segmenter(small().encoder, LinearDecoder(32, 2)), "got 16 and 32"),
        (lambda: slice_stack(torch.rand(1, 2, 2, 3), 0, 4), "odd, .* got 4"),
    ],
)
def test_impossible_settings_are_refused_in_words(make, message):
    with pytest.raises(SettingsError, match=message):
        make()
