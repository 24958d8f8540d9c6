"""Networks whose tokens carry the mask: voxel decoder, rotary positions, hidden patches, stem with all maps."""

import math

import pytest
import torch

from prostate_seg.errors import SettingsError
from prostate_seg.network import ConvStem, PatchEmbed, Segmenter, VisionTransformer, VoxelDecoder
from prostate_seg.network.patches import folded, unfolded
from prostate_seg.network.rotary import rotated, rotation

MM = (12.8, 12.8, 8.0)


def tokens_alone(size=(32, 16, 8), *, depth=4, drop_path=0.0):
    torch.manual_seed(0)
    stem = ConvStem(1, 48, (8, 8, 4), channels=(8, 16, 24), all_maps=True, patch_mm=MM)
    encoder = VisionTransformer(size, stem, depth=depth, heads=2, drop_path=drop_path)
    return Segmenter(encoder, VoxelDecoder(48, 2, (8, 8, 4), channels=8))


def test_folding_a_map_to_patches_of_4x2x2_gives_16_times_the_channels_and_unfolding_reverses_it():
    x = torch.arange(2 * 3 * 8 * 4 * 6.0).reshape(2, 3, 8, 4, 6)
    patches = folded(x, (2, 2, 3))
    assert patches.shape == (2, 48, 2, 2, 3)
    assert patches[0, :16, 0, 0, 0].tolist() == x[0, 0, :4, :2, :2].flatten().tolist()
    assert torch.equal(unfolded(patches, (4, 2, 2)), x)


def test_folding_works_on_two_axes_as_well():
    x = torch.rand(1, 2, 4, 6)
    assert torch.equal(unfolded(folded(x, (2, 3)), (2, 2)), x)


def test_whole_numbers_of_mm_are_as_good_as_fractions():
    stem = ConvStem(1, 48, (8, 8, 4), patch_mm=(12.8, 12.8, 8))
    network = Segmenter(VisionTransformer((16, 16, 8), stem, depth=1, heads=2), VoxelDecoder(48, 2, (8, 8, 4)))
    assert network(torch.rand(1, 1, 16, 16, 8)).shape == (1, 2, 16, 16, 8)


@pytest.mark.parametrize("shift", [(1, 0, 0), (0, 2, 0), (1, 1, 3)])
def test_a_turned_query_times_a_turned_key_depends_only_on_the_distance_of_their_patches(shift):
    torch.manual_seed(0)
    grid = (4, 4, 6)
    turns = rotation(grid, MM, 24, extra=0, like=torch.zeros(1, dtype=torch.float64))
    query, key = torch.rand(2, 1, 1, 1, 24, dtype=torch.float64)
    products = rotated(query, turns)[0, 0] @ rotated(key, turns)[0, 0].T  # of the same query and key everywhere
    products = products.reshape(*grid, *grid)
    assert products[0, 0, 0, 1, 0, 2] != pytest.approx(products[0, 0, 0, 0, 0, 0])
    i, j, k = shift
    assert products[i, j, k, i + 1, j, k + 2] == pytest.approx(products[0, 0, 0, 1, 0, 2])


def test_patches_of_half_the_size_turn_by_half_the_angle_and_class_tokens_not_at_all():
    like = torch.zeros(1)
    coarse = rotation((3,), (8.0,), 8, extra=1, like=like)
    fine = rotation((5,), (4.0,), 8, extra=1, like=like)
    assert torch.allclose(fine[0][1::2], coarse[0][1:])
    assert coarse[0][0].tolist() == [1.0] * 4
    assert coarse[1][0].tolist() == [0.0] * 4


def test_turning_keeps_the_length_of_a_query():
    x = torch.rand(1, 2, 5, 16)
    turned = rotated(x, rotation((5,), (4.0,), 16, extra=0, like=x))
    assert turned.norm(dim=-1).allclose(x.norm(dim=-1))


@pytest.mark.parametrize("size", [(32, 16, 8), (20, 9, 5), (40, 24, 16)])
def test_a_voxel_decoder_gives_logits_for_an_image_of_any_size(size):
    logits = tokens_alone().eval()(torch.rand(2, 1, *size))
    assert logits.shape == (2, 2, *size)
    assert logits.isfinite().all()


def test_a_voxel_decoder_sees_nothing_but_the_tokens():
    network = tokens_alone().eval()
    with torch.no_grad():
        tokens, maps = network.encoder.encode(torch.rand(1, 1, 32, 16, 8))
        with_maps = network.decoder(tokens, (4, 2, 2), maps)
        assert torch.equal(with_maps, network.decoder(tokens, (4, 2, 2), [part * 0 for part in maps]))
        assert with_maps.shape == (1, 2, 16, 8, 4)


def test_a_stem_with_all_maps_makes_a_token_of_8x8x4_voxels_from_1056_features():
    stem = ConvStem(1, 64, (8, 8, 4), channels=(24, 48, 96), all_maps=True)
    assert stem.proj.weight.shape[1] == 24 * 4 * 4 * 2 + 48 * 2 * 2 + 96
    tokens, maps = stem(torch.rand(1, 1, 16, 16, 8))
    assert tokens.shape == (1, 64, 2, 2, 2)
    assert [tuple(part.shape[2:]) for part in maps] == [(8, 8, 4), (4, 4, 2), (2, 2, 2)]


def test_in_training_all_but_the_last_two_blocks_see_the_class_token_and_half_of_16_patches():
    network = tokens_alone().train()
    counts = []
    for block in network.encoder.blocks:
        block.register_forward_hook(lambda _, inputs, output: counts.append(inputs[0].shape[1]))
    network.encoder.hidden = 0.5
    network(torch.rand(1, 1, 32, 16, 8))
    assert counts == [9, 9, 17, 17]


@pytest.mark.parametrize(
    ("refine", "seen"), [(0, [15, 15, 15]), ((1, 0, 0), [23, 23, 23]), ((1, 1, 0), [39, 39, 39]), (1, [71, 71, 55])]
)
def test_refinements_widen_what_a_token_sees_from_15_to_71_voxels(refine, seen):
    stem = ConvStem(1, 24, (8, 8, 4), channels=(8, 8, 8), refine=refine, all_maps=True)
    for part in stem.modules():
        if isinstance(part, torch.nn.GroupNorm):  # its mean and variance are of the whole map
            part.forward = lambda x: x
    for parameter in stem.parameters():
        torch.nn.init.uniform_(parameter, 0.5, 1.0)
    image = torch.zeros(1, 1, 160, 160, 80, requires_grad=True)
    stem(image)[0][0, 0, 10, 10, 10].backward()
    voxels = image.grad[0, 0].nonzero()
    assert (voxels.max(0)[0] - voxels.min(0)[0] + 1).tolist() == seen


def loud(network):
    """Make attention matter in a random network: queries, keys and values 20 times as large."""
    with torch.no_grad():
        for block in network.encoder.blocks:
            block.attn.qkv.weight.mul_(20)
    return network


def test_a_network_with_positions_in_mm_gives_other_logits_if_its_patches_are_twice_as_large():
    network, image = loud(tokens_alone()).eval(), torch.rand(1, 1, 32, 16, 8)
    before = network(image)
    network.encoder.patch_embed.patch_mm = tuple(2 * size for size in MM)
    assert (network(image) - before).abs().max() > 1e-3


def test_hiding_none_of_the_patches_but_in_another_order_changes_nothing():
    """A share of a billionth hides nothing, and the seen tokens keep their rotations: only rounding differs."""
    network, image = loud(tokens_alone()).train(), torch.rand(2, 1, 32, 16, 8)
    before = network(image)
    network.encoder.hidden = 1e-9
    assert torch.allclose(network(image), before, atol=1e-4)


def test_nothing_is_hidden_in_evaluation():
    network, image = tokens_alone().eval(), torch.rand(1, 1, 32, 16, 8)
    seen = network(image)
    network.encoder.hidden = 0.5
    assert torch.equal(network(image), seen)


def test_a_hidden_patch_passes_no_gradient_to_its_place_and_a_seen_one_does():
    network = tokens_alone().train()
    network.encoder.hidden = 0.5
    torch.manual_seed(1)
    embedding = torch.rand(1, 48, 4, 2, 2, requires_grad=True)
    network.encoder.patch_embed.forward = lambda image: (embedding, [])
    network(torch.rand(1, 1, 32, 16, 8)).square().sum().backward()
    touched = (embedding.grad.abs().sum(1) > 0).sum()
    assert int(touched) == 8


def test_a_network_of_tokens_alone_learns_one_image_in_60_steps():
    network = tokens_alone().train()
    image = torch.rand(1, 1, 32, 16, 8)
    image[..., :4] += torch.rand(1, 1, 4, 2, 1).repeat_interleave(8, 2).repeat_interleave(8, 3)
    label = (torch.nn.functional.avg_pool3d(image, (8, 8, 4)) > 0.9).long()
    label = torch.nn.functional.interpolate(label.float(), (32, 16, 8)).long()[:, 0]
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3)
    losses = []
    for _ in range(60):
        loss = torch.nn.functional.cross_entropy(network(image), label)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.1 * losses[0]


def test_bfloat16_gives_float32_logits_near_the_exact_ones():
    network, image = tokens_alone().eval(), torch.rand(1, 1, 32, 16, 8)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        logits = network(image)
    assert logits.dtype == torch.float32
    assert (logits - network(image)).abs().max() < 0.05


def test_traced_and_exported_networks_give_the_same_logits():
    network, image = tokens_alone().eval(), torch.rand(1, 1, 32, 16, 8)
    expected = network(image)
    assert torch.allclose(torch.export.export(network, (image,)).module()(image), expected, atol=1e-6)
    assert torch.allclose(torch.jit.trace(network, image)(image), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: ConvStem(1, 16, (8, 8), channels=(8, 16)),
            r"has 3 numbers of channels, multiples of 8, got \[8, 16\]",
        ),
        (lambda: ConvStem(1, 16, (8, 8), refine=(1, 0)), r"has 3 numbers of Refinements, got \[1, 0\]"),
        (lambda: ConvStem(1, 16, (4, 4), channels=(8, 12)), r"multiples of 8, got \[8, 12\]"),
        (lambda: PatchEmbed(1, 16, (8, 8), patch_mm=(3.0,)), r"as many sizes in mm, above 0, got \[3.0\]"),
        (lambda: PatchEmbed(1, 16, (8, 8), patch_mm=(3.0, 0.0)), r"above 0, got \[3.0, 0.0\]"),
        (lambda: VoxelDecoder(16, 2, (8, 8), channels=12), r"a multiple of 8 channels, got \(8, 8\) and 12"),
        (lambda: VoxelDecoder(16, 2, (8,)), r"two or three axes"),
        (
            lambda: VisionTransformer((16,) * 2, PatchEmbed(1, 14, (8, 8), patch_mm=(1, 1)), depth=1, heads=2),
            r"an even number of channels in a head, at least 2 for each axis, got 7 \(width 14, 2 heads\)",
        ),
        (
            lambda: Segmenter(
                VisionTransformer((16, 16), PatchEmbed(1, 16, (8, 8)), depth=1, heads=2),
                VoxelDecoder(16, 2, (4, 4)),
            ),
            r"expands patches of \(4, 4\) voxels, the encoder embeds \(8, 8\)",
        ),
    ],
)
def test_impossible_settings_are_refused_in_words(make, message):
    with pytest.raises(SettingsError, match=message):
        make()


def test_the_wavelengths_reach_from_24_to_400_mm():
    turns = rotation((2,), (1.0,), 4, extra=0, like=torch.zeros(1, dtype=torch.float64))
    assert math.asin(turns[1][1, 0]) == pytest.approx(2 * math.pi / 24, rel=1e-3)
    assert math.asin(turns[1][1, 1]) == pytest.approx(2 * math.pi / 400, rel=1e-3)
