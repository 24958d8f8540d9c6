"""Training of tokens: patches hidden at first, short gradients, phantoms of a wider variety, the overlay for it."""

import json
import shutil

import pytest
import torch
from ignite.engine import Engine, Events
from monai.bundle import ConfigParser
from monai.engines import IterationEvents

from prostate_seg.cli import main
from prostate_seg.errors import SettingsError
from prostate_seg.inference.released import released_bundle
from prostate_seg.inference.settings import build_network
from prostate_seg.network import Segmenter, VoxelDecoder
from prostate_seg.phantom import draw_settings, make_phantom
from prostate_seg.phantom.anatomy import resized
from prostate_seg.phantom.variety import varied_settings
from prostate_seg.system.digests import sha256_of_file
from prostate_seg.training import ClippedGradients, HiddenPatches, LoadCased, items

CONFIGS = released_bundle() / "configs"


def overlay():
    parser = ConfigParser()
    parser.read_config([str(CONFIGS / "train.json"), str(CONFIGS / "train_tokens.json")])
    return parser


def test_the_overlay_is_a_network_without_skip_connections():
    network = build_network(overlay()["network_def"])
    assert isinstance(network, Segmenter)
    assert isinstance(network.decoder, VoxelDecoder)
    assert overlay()["hidden_patches"] == 0.4
    assert 5e6 < sum(parameter.numel() for parameter in network.parameters()) < 7e6


def test_in_7_of_10_epochs_40_percent_of_the_patches_are_hidden_and_none_in_the_last_3():
    network = build_network(overlay()["network_def"])
    trainer = Engine(lambda engine, batch: None)
    HiddenPatches(network, 0.4, until=0.7).attach(trainer)
    seen = []
    trainer.add_event_handler(Events.EPOCH_COMPLETED, lambda: seen.append(network.encoder.hidden))
    trainer.run([0], max_epochs=10)
    assert seen == [0.4] * 7 + [0.0] * 3


def test_a_share_of_0_needs_no_transformer_and_a_share_of_1_is_refused():
    HiddenPatches(torch.nn.Linear(1, 1), 0.0).attach(Engine(lambda engine, batch: None))
    with pytest.raises(SettingsError, match="0 to below 1, got 1"):
        HiddenPatches(torch.nn.Linear(1, 1), 1.0)
    with pytest.raises(SettingsError, match="no Segmenter of more than 2 blocks"):
        HiddenPatches(torch.nn.Linear(1, 1), 0.4)


def test_a_training_of_one_epoch_hides_nothing():
    network = build_network(overlay()["network_def"])
    trainer = Engine(lambda engine, batch: None)
    HiddenPatches(network, 0.4).attach(trainer)
    trainer.run([0], max_epochs=1)
    assert network.encoder.hidden == 0


def test_a_gradient_of_length_5_is_cut_to_2_and_one_of_length_1_stays():
    layer = torch.nn.Linear(2, 1, bias=False)
    trainer = Engine(lambda engine, batch: None)
    trainer.register_events(*IterationEvents)
    ClippedGradients(layer, 2.0).attach(trainer)
    layer.weight.grad = torch.tensor([[3.0, 4.0]])
    trainer.fire_event(IterationEvents.BACKWARD_COMPLETED)
    assert layer.weight.grad.tolist()[0] == pytest.approx([1.2, 1.6], rel=1e-4)
    layer.weight.grad = torch.tensor([[0.6, 0.8]])
    trainer.fire_event(IterationEvents.BACKWARD_COMPLETED)
    assert layer.weight.grad.tolist()[0] == pytest.approx([0.6, 0.8])


def test_a_norm_of_0_never_clips_and_a_negative_one_is_refused():
    layer = torch.nn.Linear(2, 1, bias=False)
    trainer = Engine(lambda engine, batch: None)
    trainer.register_events(*IterationEvents)
    ClippedGradients(layer, 0.0).attach(trainer)
    layer.weight.grad = torch.tensor([[30.0, 40.0]])
    trainer.fire_event(IterationEvents.BACKWARD_COMPLETED)
    assert layer.weight.grad.tolist() == [[30.0, 40.0]]
    with pytest.raises(SettingsError, match=r"or more, got -1"):
        ClippedGradients(layer, -1.0)


def test_four_of_ten_varied_phantoms_are_as_always_and_the_others_leave_the_usual_ranges():
    seeds = range(300)
    drawn = [(draw_settings(seed), varied_settings(seed)) for seed in seeds]
    same = sum(usual == varied for usual, varied in drawn) / 300
    assert same == pytest.approx(0.3 + 0.7 * 0.75**7, abs=0.07)
    assert max(varied.scan.axial_mm for _, varied in drawn) > 0.5 > max(usual.scan.axial_mm for usual, _ in drawn)
    assert min(varied.scan.level for _, varied in drawn) < 0.05 < min(usual.scan.level for usual, _ in drawn)
    assert max(varied.tissue.contact_losses for _, varied in drawn) == 7


def test_an_opened_fan_gets_a_higher_picture_and_a_resized_gland_keeps_its_gap_to_the_probe():
    drawn = [(draw_settings(seed), varied_settings(seed)) for seed in range(200)]
    opened = [(a.scan, b.scan) for a, b in drawn if b.scan.half_angle > 1.75]
    assert len(opened) > 5
    assert all(b.shape[1] > a.shape[1] or b.shape[1] == 200 for a, b in opened)
    odd = next(b.anatomy for a, b in drawn if b.anatomy.width_mm != a.anatomy.width_mm)
    same = resized(odd, width=1.0, height=1.0, length=1.0)
    higher = resized(odd, width=1.0, height=1.5, length=1.0)
    assert same.centre_mm[1] == pytest.approx(odd.centre_mm[1])
    behind = odd.height_mm * odd.posterior_share * (1 - odd.dent)
    assert higher.centre_mm[1] == pytest.approx(odd.centre_mm[1] - 0.5 * behind)


def test_training_phantoms_are_varied_and_those_for_validation_are_not():
    assert items(None, "training", 1) == [{"phantom": 1_000_000, "case": "phantom1000000", "varied": True}]
    assert "varied" not in items(None, "validation", 1)[0]
    seed = next(seed for seed in range(100) if varied_settings(seed).anatomy != draw_settings(seed).anatomy)
    loaded = LoadCased()({"phantom": seed, "case": "p", "varied": True})
    truth = make_phantom(seed, settings=varied_settings(seed)).structures["ctv"]
    assert (loaded["label"][0].numpy() > 0).sum() == truth.sum()
    assert truth.sum() != make_phantom(seed).structures["ctv"].sum()


def test_info_says_what_each_part_of_the_network_is_worth(capsys):
    assert main(["info", "--network", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["network"]["_target_"] == "prostate_seg.network.Segmenter"
    assert facts["remark"] is None
    assert {row["network"] for row in facts["measured"]} >= {"as released", "encoder blocks removed"}
    assert main(["info", "--network"]) == 0
    assert "encoder blocks removed: mean Dice" in capsys.readouterr().out


def test_info_does_not_quote_figures_that_were_measured_for_other_weights(tiny_bundle, capsys):
    assert main(["info", "--network", "--bundle", str(tiny_bundle)]) == 0
    assert "was measured for other weights" in capsys.readouterr().out


@pytest.mark.parametrize(
    "rows",
    [
        None,
        5,
        ["x"],
        [{"set": "a", "network": "b", "cases": 1, "dice": "0.9", "worst": 0.8}],
        [{"set": "a", "network": "b", "cases": 1, "dice": 0.9, "worst": 0.8, "lost": 0.1}],
    ],
)
def test_a_damaged_identity_file_is_one_sentence(tiny_bundle, tmp_path, capsys, rows):
    folder = shutil.copytree(tiny_bundle, tmp_path / "bundle")
    digest = sha256_of_file(folder / "models" / "model.pt")
    (folder / "models" / "identity.json").write_text(json.dumps({"weights_sha256": digest, "rows": rows}))
    assert main(["info", "--network", "--bundle", str(folder)]) == 2
    assert "identity.json is damaged: a row lacks a figure" in capsys.readouterr().err


def test_info_without_weights_or_figures_says_so(tiny_bundle, tmp_path, capsys):
    folder = shutil.copytree(tiny_bundle, tmp_path / "bundle")
    (folder / "models" / "model.pt").unlink()
    assert main(["info", "--network", "--bundle", str(folder)]) == 0
    assert "There are no weights at" in capsys.readouterr().out
    (folder / "models" / "identity.json").unlink()
    assert main(["info", "--network", "--bundle", str(folder)]) == 0
    assert "Nothing was measured for these weights" in capsys.readouterr().out


def test_info_about_a_folder_that_is_no_bundle_is_one_sentence(tmp_path, capsys):
    assert main(["info", "--network", "--bundle", str(tmp_path)]) == 2
    assert "is no bundle" in capsys.readouterr().err
    assert main(["info", "--bundle", str(tmp_path)]) == 2
    assert "--bundle needs --network" in capsys.readouterr().err
