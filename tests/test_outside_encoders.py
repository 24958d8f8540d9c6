"""Encoders that start from another vision transformer: what fits is taken, all else is named."""

import pytest
import torch

from prostate_seg.cli import main
from prostate_seg.errors import BundleError
from prostate_seg.inference.outside_encoders import load_outside_encoder
from prostate_seg.network import ConvStem, PatchEmbed, Segmenter, VisionTransformer, VoxelDecoder


def picture_encoder(width=64, depth=2, side=16):
    torch.manual_seed(1)
    return VisionTransformer((side, side), PatchEmbed(3, width, (8, 8)), depth=depth, heads=2)


def volume_encoder(*, stem=True, depth=2):
    torch.manual_seed(0)
    patch = (8, 8, 4)
    embed = ConvStem(1, 64, patch) if stem else PatchEmbed(1, 64, patch)
    return VisionTransformer((16, 16, 8), embed, depth=depth, heads=2)


def test_blocks_of_a_picture_network_start_a_volume_network_and_its_stem_stays_random():
    ours, theirs = volume_encoder(), picture_encoder()
    fit = load_outside_encoder(ours, theirs.state_dict())
    assert torch.equal(ours.blocks[1].attn.qkv.weight, theirs.blocks[1].attn.qkv.weight)
    assert "patch_embed.stages.0.0.weight" in fit.random
    assert fit.left["patch_embed.proj.weight"].startswith("64x3x8x8, ours 64x32x1x1x1")
    assert set(fit.taken) | set(fit.random) == set(ours.state_dict())
    assert fit.sentences()[0] == f"{len(fit.taken)} parameters taken, {len(fit.random)} of ours stay random"


def test_a_volume_of_equal_slices_gives_the_tokens_that_a_gray_picture_gives():
    """The colours of a kernel are summed and its weights spread over the depth, so equal slices give equal sums."""
    ours, theirs = volume_encoder(stem=False, depth=0), picture_encoder(depth=0)
    gray = torch.rand(1, 1, 16, 16)
    state = theirs.state_dict() | {
        f"blocks.0.{n}": v for n, v in volume_encoder(depth=1).blocks[0].state_dict().items()
    }
    load_outside_encoder(ours, state)
    tokens = ours.patch_embed(gray[..., None].repeat(1, 1, 1, 1, 8))[0]
    expected = theirs.patch_embed(gray.repeat(1, 3, 1, 1))[0]
    torch.testing.assert_close(tokens[..., 0], expected, rtol=0, atol=1e-5)
    torch.testing.assert_close(tokens[..., 1], expected, rtol=0, atol=1e-5)


def test_positions_of_a_2x2_grid_are_repeated_along_the_third_axis():
    ours, state = volume_encoder(), picture_encoder().state_dict()
    state["pos_embed"] = torch.arange(5.0).reshape(1, 5, 1).repeat(1, 1, 64)
    load_outside_encoder(ours, state)
    assert ours.pos_embed[0, :, 0].tolist() == [0, 1, 1, 2, 2, 3, 3, 4, 4]


def test_a_layer_scale_of_a_half_halves_the_branch_as_in_the_network_it_comes_from():
    ours, theirs = volume_encoder(), picture_encoder()
    scales = {f"blocks.{n}.ls{branch}.gamma": torch.full((64,), 0.5) for n in range(2) for branch in (1, 2)}
    fit = load_outside_encoder(ours, theirs.state_dict() | scales)
    x = torch.rand(1, 5, 64)
    expected = x
    for block in theirs.blocks:
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
    fit = load_outside_encoder(Segmenter(ours, VoxelDecoder(64, 2, (8, 8, 4))), state)
    assert torch.equal(ours.norm.weight, theirs.norm.weight)
    assert fit.left["mask_token"] == "we have none"
    assert "blocks.0.mlp.fc1.weight" in fit.taken


def test_another_width_is_refused_with_both_shapes():
    message = r"Neither a transformer block .* blocks\.0\.attn\.qkv\.weight: 96x32, ours 192x64.* of width 64"
    with pytest.raises(BundleError, match=message):
        load_outside_encoder(volume_encoder(), picture_encoder(32).state_dict())


def test_values_that_are_not_finite_are_refused_by_name():
    state = picture_encoder().state_dict()
    state["blocks.0.norm1.bias"] = torch.full((64,), torch.nan)
    with pytest.raises(BundleError, match=r"not finite: blocks\.0\.norm1\.bias"):
        load_outside_encoder(volume_encoder(), state)


def test_train_says_what_fitted_and_starts_from_it(tmp_path, capsys, tiny_bundle):
    weights = tmp_path / "vit.pth"
    own = torch.load(tiny_bundle / "models" / "model.pt", weights_only=True)
    torch.save({"model": {name.removeprefix("encoder."): value for name, value in own.items()}}, weights)
    run = ["train", "-o", str(tmp_path / "run"), "--bundle", str(tiny_bundle), "--init-encoder", str(weights)]
    run += ["--phantoms", "2", "--epochs", "1", "--set", "validation_phantoms=1", "--set", "batch_size=2"]
    assert main(run) == 0
    err = capsys.readouterr().err
    assert "vit.pth: " in err
    assert "parameters taken" in err
    start = torch.load(tmp_path / "run" / "start.pt", weights_only=True)
    assert torch.equal(start["encoder.norm.weight"], own["encoder.norm.weight"].float())
    assert main([*run[:-4], "--init-encoder", str(tmp_path / "absent.pth")]) == 2
    assert "no weights at" in capsys.readouterr().err
