"""Encoders that start from another vision transformer: what fits is taken, all else is named."""

import pytest
import torch
from torch.nn import functional as F

from prostate_seg.errors import BundleError
from prostate_seg.inference.pretrained import load_pretrained, load_what_fits
from prostate_seg.network import ConvStem, PatchEmbed, Segmenter, VisionTransformer, VoxelDecoder

QKV = "blocks.0.attn.qkv.weight"


def picture_encoder(width=64, depth=2, *, size=(16, 16), patch=8, channels=3, distilled=False):
    torch.manual_seed(1)
    embed = PatchEmbed(channels, width, (patch, patch))
    return VisionTransformer(size, embed, depth=depth, heads=2, distilled=distilled)


def volume_encoder(*, stem=True, size=(16, 16, 8), patch=(8, 8, 4), distilled=False):
    torch.manual_seed(0)
    embed = ConvStem(1, 64, patch) if stem else PatchEmbed(1, 64, patch)
    return VisionTransformer(size, embed, depth=2, heads=2, distilled=distilled)


def test_blocks_of_a_picture_network_start_a_volume_network_and_its_stem_keeps_its_start():
    ours, theirs = volume_encoder(), picture_encoder()
    fit = load_what_fits(ours, theirs.state_dict())
    assert torch.equal(ours.state_dict()[QKV], theirs.state_dict()[QKV])
    assert "patch_embed.stages.0.0.weight" in fit.random
    assert fit.left["patch_embed.proj.weight"] == "64x3x8x8, ours 64x32x1x1x1"
    assert fit.left["patch_embed.proj.bias"] == "its weight does not fit"
    assert set(fit.taken) | set(fit.random) == set(ours.state_dict())
    assert fit.sentences()[0].startswith(
        f"{len(fit.taken)} parameters start the encoder; {len(fit.random)} of its own"
    )


def test_a_volume_of_equal_slices_gives_the_tokens_of_the_gray_picture_whose_rows_are_j():
    ours, theirs = volume_encoder(stem=False), picture_encoder()
    load_what_fits(ours, theirs.state_dict())
    gray = torch.rand(1, 1, 16, 16)  # rows, columns
    tokens = ours.patch_embed(gray.transpose(2, 3)[..., None].repeat(1, 1, 1, 1, 8))[0]  # i is the column
    expected = theirs.patch_embed(gray.repeat(1, 3, 1, 1))[0].transpose(2, 3)
    for k in range(2):
        torch.testing.assert_close(tokens[..., k], expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("theirs_patch", [16, 8, 4])
def test_a_patch_of_8_pixels_gives_the_token_of_the_picture_enlarged_to_their_patch(theirs_patch):
    ours, theirs = picture_encoder(channels=1), picture_encoder(patch=theirs_patch, size=(2 * theirs_patch,) * 2)
    load_what_fits(ours, theirs.state_dict())
    patch = torch.rand(1, 1, 8, 8)
    enlarged = F.interpolate(patch, (theirs_patch, theirs_patch), mode="bilinear")
    expected = theirs.patch_embed(enlarged.repeat(1, 3, 1, 1))[0]
    torch.testing.assert_close(ours.patch_embed(patch)[0], expected, rtol=0, atol=1e-5)


def test_positions_of_a_2x2_grid_come_transposed_into_each_slice():
    ours, state = volume_encoder(), picture_encoder().state_dict()
    state["pos_embed"] = torch.arange(5.0).reshape(1, 5, 1).repeat(1, 1, 64)
    load_what_fits(ours, state)
    assert ours.pos_embed[0, :, 0].tolist() == [0, 1, 1, 3, 3, 2, 2, 4, 4]


def test_a_12x14_grid_is_no_square_and_its_positions_are_left_out():
    fit = load_what_fits(picture_encoder(), picture_encoder(size=(112, 96)).state_dict())
    assert fit.left["pos_embed"] == "1x169x64, ours 1x5x64"


def test_a_missing_distillation_token_keeps_its_own_place():
    ours, state = volume_encoder(distilled=True), picture_encoder().state_dict()
    own = ours.pos_embed[0, 1].clone()
    state["pos_embed"] = torch.arange(5.0).reshape(1, 5, 1).repeat(1, 1, 64)
    load_what_fits(ours, state)
    assert ours.pos_embed[0, 0, 0] == 0
    assert torch.equal(ours.pos_embed[0, 1], own)
    assert "dist_token" in load_what_fits(volume_encoder(distilled=True), state).random


@pytest.mark.parametrize("size", [(16, 16, 8), (16, 32, 8), (32, 32, 16)])
def test_our_own_volume_network_of_the_same_size_is_taken_whole(size):
    theirs, ours = volume_encoder(size=size), volume_encoder(size=size)
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.add_(1.0)
    fit = load_what_fits(ours, theirs.state_dict())
    assert (fit.random, fit.left) == ((), {})
    assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), theirs.parameters(), strict=True))


def test_an_encoder_of_three_channels_is_taken_as_it_is():
    ours, theirs = picture_encoder(), picture_encoder()
    with torch.no_grad():
        theirs.patch_embed.proj.weight.copy_(torch.rand_like(theirs.patch_embed.proj.weight))
    load_what_fits(ours, theirs.state_dict())
    assert torch.equal(ours.patch_embed.proj.weight, theirs.patch_embed.proj.weight)


@pytest.mark.parametrize("bias", [True, False])
def test_a_layer_scale_of_a_half_halves_the_branch_as_in_the_network_it_comes_from(bias):
    ours, theirs = volume_encoder(), picture_encoder()
    state = dict(theirs.state_dict())
    for n in range(2):
        for branch, layer in ((1, "attn.proj"), (2, "mlp.fc2")):
            state[f"blocks.{n}.ls{branch}.gamma"] = torch.full((64,), 0.5)
            if not bias:
                del state[f"blocks.{n}.{layer}.bias"]
    fit = load_what_fits(ours, state)
    x = expected = torch.rand(1, 5, 64)
    for block in theirs.blocks:  # its biases are zero before training
        expected = expected + 0.5 * block.attn(block.norm1(expected))
        expected = expected + 0.5 * block.mlp(block.norm2(expected))
    for block in ours.blocks:
        x = block(x)
    torch.testing.assert_close(x, expected, rtol=0, atol=1e-5)
    assert not [name for name in fit.left if "gamma" in name]


@pytest.mark.parametrize("prefix", ["", "module.", "encoder.", "module.backbone."])
def test_prefixes_of_wrappers_and_a_decoder_of_mae_do_not_matter(prefix):
    ours, theirs = volume_encoder(), picture_encoder()
    state = {prefix + name: value for name, value in theirs.state_dict().items()}
    state |= {"decoder_blocks.0.norm1.weight": torch.ones(8), "mask_token": torch.zeros(1, 1, 8)}
    fit = load_what_fits(Segmenter(ours, VoxelDecoder(64, 2, (8, 8, 4))), state)
    assert torch.equal(ours.state_dict()[QKV], theirs.state_dict()[QKV])
    assert fit.left["mask_token"] == "not a parameter of ours"


def test_a_picture_network_fits_a_linear_volume_network_wholly():
    ours, theirs = volume_encoder(stem=False), picture_encoder()
    load_pretrained(ours, theirs.state_dict())
    assert torch.equal(ours.state_dict()[QKV], theirs.state_dict()[QKV])


def changed(**changes):
    return dict(picture_encoder().state_dict()) | changes


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (picture_encoder(32).state_dict(), r"Neither .* fits .*: 32x3x8x8, ours 64x32.* and the width 64"),
        (
            {"embeddings.patch_embeddings.weight": torch.zeros(3)},
            r"embeddings\..*: not a parameter of ours.*timm's names",
        ),
        (changed(**{"blocks.0.norm1.bias": torch.full((64,), torch.nan)}), r"not finite: blocks\.0\.norm1\.bias"),
        ({"student.a": torch.zeros(1), "teacher.a": torch.zeros(1)}, "holds several networks"),
        ({"a": {"b": torch.zeros(1)}}, "no state dict"),
    ],
)
def test_files_of_which_nothing_fits_are_refused_in_words(state, message):
    with pytest.raises(BundleError, match=message):
        load_what_fits(volume_encoder(), state)


@pytest.mark.parametrize(
    "value",
    [
        torch.zeros(192, 64, dtype=torch.int8),
        torch.zeros(192, 64, dtype=torch.complex64),
        torch.zeros(192, 64).to_sparse(),
        torch.zeros(192, 64, device="meta"),
    ],
)
def test_values_that_are_no_plain_numbers_are_left_out(value):
    assert load_what_fits(volume_encoder(), changed(**{QKV: value})).left[QKV] == "not plain numbers"


def test_odd_shapes_are_left_out():
    fit = load_what_fits(volume_encoder(), changed(cls_token=torch.tensor(1.0), pos_embed=torch.zeros(2, 5, 64)))
    assert fit.left["cls_token"] == "a number, ours 1x1x64"
    assert fit.left["pos_embed"] == "2x5x64, ours 1x9x64"
