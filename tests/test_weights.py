"""Weights: parity with the official release, ViT weights fitted to another grid and channels, bad files."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from prostate_seg.errors import BundleError
from prostate_seg.inference.inferers import paper_inferer
from prostate_seg.inference.pretrained import load_pretrained
from prostate_seg.inference.weights import from_official, load_state, read_state
from prostate_seg.network import ConvStem, LinearDecoder, PatchEmbed, Segmenter, VisionTransformer

DATA = os.environ.get("PROSTATE_SEG_DATA")
needs_data = pytest.mark.skipif(not DATA, reason="PROSTATE_SEG_DATA is not set")

NET_SETTINGS = {
    "backbone": "vit_tiny_patch16_384",
    "d_model": 64,
    "decoder": {"name": "linear"},
    "distilled": False,
    "drop_path_rate": 0.1,
    "dropout": 0.0,
    "image_size": (16, 16),
    "n_cls": 3,
    "n_heads": 1,
    "n_layers": 1,
    "normalization": "deit",
    "patch_size": 8,
}
INFERENCE = {"im_size": 16, "window_size": 16, "window_stride": 12}


def encoder(image_size=(16, 16), channels=3, *, distilled=False, embed=PatchEmbed):
    torch.manual_seed(0)
    patch_embed = embed(channels, 64, (8,) * len(image_size))
    return VisionTransformer(image_size, patch_embed, depth=1, heads=1, distilled=distilled).eval()


def release(folder, **changes):
    """A release as the authors' training writes it, tuples tagged for Python, an unused 1000-class head."""
    network = Segmenter(encoder(), LinearDecoder(64, 3)).eval()
    head = {"encoder.head.weight": torch.zeros(1000, 64), "encoder.head.bias": torch.zeros(1000)}
    torch.save({"model": network.state_dict() | head, "epoch": 1}, folder / "checkpoint.pth")
    variant = {"net_kwargs": NET_SETTINGS | changes, "inference_kwargs": INFERENCE}
    (folder / "variant.yml").write_text(yaml.dump(variant))
    return network


@needs_data
@pytest.mark.realdata
@pytest.mark.parametrize("name", ["mask_p16", "linear_p8"])
def test_logits_equal_the_official_implementations_within_1e_4(name):
    folder = Path(str(DATA)) / "segmenter_official" / name
    network = from_official(folder).network
    reference = np.load(folder / "reference.npz")
    for i in (0, 1):  # at the training size, and at one that is padded and interpolated
        with torch.no_grad():
            logits = network(torch.from_numpy(reference[f"image{i}"]))
        assert np.abs(logits.numpy() - reference[f"logits{i}"]).max() < 1e-4


@needs_data
@pytest.mark.realdata
def test_multi_scale_probabilities_equal_the_official_implementations_within_1e_4():
    folder = Path(str(DATA)) / "segmenter_official" / "mask_p16"
    reference = np.load(folder / "reference.npz")
    window, stride = reference["tta_window"].tolist()
    inferer = paper_inferer(window, stride)
    assert inferer.scales == tuple(reference["tta_scales"])
    probability = inferer(torch.from_numpy(reference["tta_image"]), from_official(folder).network)
    assert np.abs(probability[0].numpy() - reference["tta_prob"]).max() < 1e-4


def test_a_release_folder_gives_network_window_and_normalisation(tmp_path):
    written = release(tmp_path)
    assert "!!python/tuple" in (tmp_path / "variant.yml").read_text()
    loaded = from_official(tmp_path)
    assert (loaded.window_size, loaded.window_stride, loaded.mean[0], loaded.std[2]) == (16, 12, 0.485, 0.225)
    image = torch.rand(1, 3, 20, 30)
    torch.testing.assert_close(loaded.network(image), written(image), rtol=0, atol=0)


def test_a_release_that_wants_code_run_is_refused(tmp_path):
    release(tmp_path)
    (tmp_path / "variant.yml").write_text("net_kwargs: !!python/object/apply:os.getcwd []")
    with pytest.raises(BundleError, match=r"variant\.yml cannot be read"):
        from_official(tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"decoder": {"name": "deeplab"}}, "'deeplab' is neither linear nor mask_transformer"),
        ({"normalization": "unit"}, "KeyError"),
        ({"n_cls": 4}, r"decoder\.head\.weight \(3, 64\) instead of \(4, 64\)"),
        ({"n_layers": 2}, r"missing: encoder\.blocks\.1\.norm1\.weight.* and 7 more"),
    ],
)
def test_a_release_of_another_network_is_refused_by_name(tmp_path, changes, message):
    release(tmp_path, **changes)
    with pytest.raises(BundleError, match=message):
        from_official(tmp_path)


def test_missing_release_files_are_named(tmp_path):
    with pytest.raises(BundleError, match=r"variant\.yml"):
        from_official(tmp_path)
    release(tmp_path)
    (tmp_path / "checkpoint.pth").unlink()
    with pytest.raises(BundleError, match=r"no weights at .*checkpoint\.pth"):
        from_official(tmp_path)


def timm_state(image_size=(16, 16), *, distilled=False):
    state = dict(encoder(image_size, distilled=distilled).state_dict())
    state |= {"head.weight": torch.zeros(1000, 64), "head.bias": torch.zeros(1000)}
    if distilled:
        state |= {"head_dist.weight": torch.zeros(1000, 64), "head_dist.bias": torch.zeros(1000)}
    return state


@pytest.mark.parametrize("channels", [1, 3, 5])
def test_equal_channels_see_what_a_gray_rgb_image_shows(channels):
    """One, three or five copies of a gray image through the folded patches equal the RGB model's answer."""
    target, gray = encoder(channels=channels), torch.rand(1, 1, 16, 16)
    load_pretrained(target, timm_state())
    torch.testing.assert_close(
        target(gray.repeat(1, channels, 1, 1)), encoder()(gray.repeat(1, 3, 1, 1)), rtol=0, atol=1e-5
    )


def test_a_4_by_4_position_embedding_of_a_ramp_becomes_2_by_2_means(tmp_path):
    state = timm_state((32, 32))
    state["pos_embed"] = torch.cat(
        [torch.full((1, 1, 64), 9.0), torch.arange(16.0).reshape(1, 16, 1).repeat(1, 1, 64)], 1
    )
    torch.save({"model": state}, tmp_path / "vit.pth")
    network = Segmenter(encoder(), LinearDecoder(64, 2))
    load_pretrained(network, tmp_path / "vit.pth")
    assert network.encoder.pos_embed[0, :, 0].tolist() == [9.0, 2.5, 4.5, 10.5, 12.5]


def test_a_distillation_token_is_left_out_with_its_position_or_kept_where_wanted():
    state = timm_state(distilled=True)
    state["pos_embed"] = torch.arange(6.0).reshape(1, 6, 1).repeat(1, 1, 64)
    plain, distilled = encoder(), encoder(distilled=True)
    load_pretrained(plain, state)
    load_pretrained(distilled, state)
    assert plain.pos_embed[0, :, 0].tolist() == [0, 2, 3, 4, 5]
    assert distilled.pos_embed[0, :, 0].tolist() == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("target", "change", "message"),
    [
        (encoder(), {"norm.weight": None}, r"missing: norm\.weight\)"),
        (encoder(), {"fc_norm.weight": torch.zeros(64)}, r"unexpected: fc_norm\.weight"),
        (encoder(), {"norm.bias": torch.full((64,), torch.nan)}, r"not finite: norm\.bias"),
        (encoder(), {"pos_embed": torch.zeros(1, 8, 64)}, r"shape \(1, 8, 64\); expected 1 token"),
        (encoder(), {"pos_embed": torch.zeros(5)}, r"pos_embed \(5,\) instead of \(1, 5, 64\)"),
        (encoder(embed=ConvStem), {}, r"missing: patch_embed\.stages"),
    ],
)
def test_weights_that_do_not_fit_are_refused_by_name(target, change, message):
    state = {key: value for key, value in (timm_state() | change).items() if value is not None}
    with pytest.raises(BundleError, match=message):
        load_pretrained(target, state)


def test_a_truncated_file_and_a_pickle_that_holds_code_are_refused(tmp_path):
    path = tmp_path / "model.pt"
    torch.save(timm_state(), path)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(BundleError, match=r"model\.pt cannot be read as weights"):
        read_state(path)
    torch.save({"model": Path("x")}, path)
    with pytest.raises(BundleError, match="UnpicklingError"):
        read_state(path)
    torch.save({"model": 1}, path)
    with pytest.raises(BundleError, match="holds no state dict"):
        read_state(path)


def test_every_single_damaged_byte_of_the_header_is_read_or_refused_but_never_crashes(tmp_path):
    path = tmp_path / "model.pt"
    torch.save({"a": torch.zeros(2)}, path)
    good = path.read_bytes()
    for position in range(0, len(good), 7):
        path.write_bytes(good[:position] + bytes([good[position] ^ 0xFF]) + good[position + 1 :])
        try:
            load_state(torch.nn.Linear(1, 1), read_state(path), "x")
        except BundleError:
            continue
        pytest.fail("a file without weight and bias was accepted")
