"""The identity gate: a network whose tokens carry the mask loses it without its transformer."""

import json
import shutil

import identity
import numpy as np
import pytest

from prostate_seg import load_bundle
from prostate_seg.evaluation.metrics import overlap
from prostate_seg.inference.released import released_bundle
from prostate_seg.network import Segmenter, VoxelDecoder

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def tokens(tmp_path_factory):
    """The bundle with the network of train_tokens.json and the weights of model_tokens.pt."""
    folder = tmp_path_factory.mktemp("tokens") / "prostate_us_segmenter"
    shutil.copytree(released_bundle(), folder)
    models, configs = folder / "models", folder / "configs"
    shutil.copyfile(models / "model_tokens.pt", models / "model.pt")
    settings = json.loads((configs / "inference.json").read_text())
    settings["network_def"] = json.loads((configs / "train_tokens.json").read_text())["network_def"]
    (configs / "inference.json").write_text(json.dumps(settings))
    return load_bundle(folder, ensembling="none", refine=False)


@pytest.fixture(scope="module")
def dice(tokens):
    """The mean Dice on phantoms 0 to 7, as trained and with parts of the network removed."""
    assert isinstance(tokens.network, Segmenter)
    assert isinstance(tokens.network.decoder, VoxelDecoder)
    cases = list(identity.phantoms(8))
    means = {}
    for name in ("as released", "attention branches return zero", "encoder blocks removed"):
        with identity.EDITS[name](tokens.network):
            means[name] = np.mean([overlap(tokens(volume).mask(), truth).dice for _, volume, truth in cases])
    return means


def test_the_tokens_alone_segment_phantoms_with_a_dice_of_0_88(dice):
    assert dice["as released"] >= 0.88


def test_without_attention_the_network_loses_0_02_and_without_its_blocks_0_05(dice):
    assert dice["attention branches return zero"] <= dice["as released"] - 0.02
    assert dice["encoder blocks removed"] <= dice["as released"] - 0.05
