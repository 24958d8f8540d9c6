"""What a training reports, and the bundle that it makes: baseline, lines, table, picture, name, card, weights."""

import json
import shutil

import pytest
import torch
from ignite.engine import Events
from monai.bundle import ConfigWorkflow
from PIL import Image

from prostate_seg import load_bundle
from prostate_seg.cli import main
from prostate_seg.training.card import Card
from prostate_seg.training.progress import TrainingProgress, best_of, read_progress


@pytest.fixture(scope="module")
def cases(nifti_case, tmp_path_factory):
    folder = tmp_path_factory.mktemp("cases")
    for name in ("one", "two"):
        shutil.copyfile(nifti_case[0], folder / f"{name}.nii.gz")
    entries = [{"image": f"{name}.nii.gz", "label": str(nifti_case[1]), "patient": name} for name in ("one", "two")]
    (folder / "cases.json").write_text(json.dumps({"training": entries[:1], "validation": entries[1:]}))
    return folder / "cases.json"


@pytest.fixture
def trained(tiny_bundle, cases, tmp_path, capfd, logging_as_before):
    def run(*options, epochs=2):
        arguments = ["train", "--data", cases, "-o", tmp_path / "mine", "--bundle", tiny_bundle, "--epochs", epochs]
        assert main([*map(str, arguments), "--set", "val_interval=1", "--set", "amp=false", *options]) == 0
        return tmp_path / "mine", capfd.readouterr().err

    return run


def test_a_run_tells_the_start_weights_then_a_line_an_epoch_of_at_most_80_columns(trained):
    run, said = trained("--set", "learning_rate=0.01")
    lines = [line for line in said.splitlines() if " start weights: " in line or " of 2: " in line]
    assert len(lines) == 3
    assert " start weights: Dice 0." in lines[0]
    assert " epoch 1 of 2: loss " in lines[1]
    assert all(len(line) <= 80 for line in lines)
    rows = read_progress(run / "checkpoints")
    assert [row["epoch"] for row in rows] == [0, 1, 2]
    assert "loss" not in rows[0]
    assert {"val_dice", "hd95_mm", "volume_error_ml"} <= set(rows[2])
    with Image.open(run / "checkpoints" / "progress.png") as picture:
        assert picture.size == (800, 400)


def test_the_new_bundle_has_its_own_name_version_card_and_half_the_bytes(trained, tiny_bundle):
    run, _ = trained()
    metadata = json.loads((run / "bundle" / "configs" / "metadata.json").read_text())
    assert (metadata["name"], metadata["version"]) == ("prostate_us_segmenter_mine", "1.0.0")
    assert set(metadata["changelog"]) == {"1.0.0"}
    assert metadata["eval_metrics"]["mean_dice"] == pytest.approx(
        best_of(read_progress(run / "checkpoints"))["val_dice"], abs=1e-4
    )
    card = (run / "bundle" / "docs" / "README.md").read_text()
    assert "- training: 1 cases of 1 patients" in card
    assert "| epoch | loss | val_dice | hd95_mm |" in card
    assert str(run.parent) not in card  # names of files, no paths
    state = torch.load(run / "bundle" / "models" / "model.pt", weights_only=True)
    assert {value.dtype for value in state.values() if value.is_floating_point()} == {torch.float16}
    assert load_bundle(run / "bundle").info.version == "1.0.0"


def test_a_run_that_is_never_better_keeps_the_start_weights_and_says_so(trained, tiny_bundle):
    run, said = trained("--set", "learning_rate=0.0", epochs=1)
    assert "No epoch is better than the start weights" in said
    assert best_of(read_progress(run / "checkpoints"))["epoch"] == 0
    kept, start = (
        torch.load(place / "models" / "model.pt", weights_only=True) for place in (run / "bundle", tiny_bundle)
    )
    assert all(torch.equal(kept[name].float(), start[name].half().float()) for name in start)


def test_a_card_without_a_table_of_epochs_says_so(tmp_path, tiny_bundle):
    card = Card.of(tmp_path, tiny_bundle, {"datalist": None})
    assert card.outcome == "There is no table of its epochs."
    assert "Phantoms alone; no patient." in card.text()
    assert card.metadata()["eval_metrics"] == {}


def bundle_training(bundle, run, datalist, **settings):
    """Train by MONAI's workflow in a copied bundle, as its command does. Return the trainer."""
    configs = bundle / "configs"
    workflow = ConfigWorkflow(
        config_file=str(configs / "train.json"), workflow_type="train", bundle_root=str(bundle), ckpt_dir=str(run),
        datalist=str(datalist), amp=False, phantoms=0, validation_phantoms=0, val_interval=1,
        init=str(bundle / "models" / "model.pt"),
        **{"train::trainer::max_epochs": 2, "learning_rate": 0.01, **settings},
    )  # fmt: skip
    workflow.initialize()
    HANDLERS[:] = workflow.parser.get_parsed_content("train::handlers")
    return workflow.trainer


HANDLERS = []  # of the last training


def test_only_a_finished_training_replaces_the_bundles_weights_and_keeps_those_from_before(
    tiny_bundle, cases, tmp_path, logging_as_before
):
    bundle = tmp_path / "bundle"
    shutil.copytree(tiny_bundle, bundle)
    model, kept = (bundle / "models" / name for name in ("model.pt", "model_before_training.pt"))
    before = model.read_bytes()
    trainer = bundle_training(bundle, tmp_path / "run", cases)
    validator = next(handler for handler in HANDLERS if isinstance(handler, TrainingProgress)).validator
    trainer.add_event_handler(Events.EPOCH_STARTED(once=1), lambda: setattr(validator.state, "best_metric", -1.0))
    trainer.add_event_handler(Events.ITERATION_STARTED(once=2), _killed)
    with pytest.raises(KeyboardInterrupt):
        trainer.run()
    assert model.read_bytes() == before
    assert not kept.exists()
    bundle_training(bundle, tmp_path / "run", cases).run()  # resumed
    assert kept.read_bytes() == before
    assert model.read_bytes() == (tmp_path / "run" / "model.pt").read_bytes() != before


def test_a_training_without_a_better_epoch_leaves_the_bundles_weights(
    tiny_bundle, cases, tmp_path, logging_as_before
):
    bundle = tmp_path / "bundle"
    shutil.copytree(tiny_bundle, bundle)
    before = (bundle / "models" / "model.pt").read_bytes()
    bundle_training(bundle, tmp_path / "run", cases, learning_rate=0.0).run()
    assert (bundle / "models" / "model.pt").read_bytes() == before
    assert not (bundle / "models" / "model_before_training.pt").exists()


def test_a_state_of_another_number_of_epochs_is_put_away_and_of_the_same_training_is_finished(
    tiny_bundle, cases, tmp_path, logging_as_before
):
    bundle, run = tmp_path / "bundle", tmp_path / "run"
    shutil.copytree(tiny_bundle, bundle)
    same = {"model_dir": str(run)}  # the start weights stay
    bundle_training(bundle, run, cases, **same).run()
    again = bundle_training(bundle, run, cases, **same)
    again.run()
    assert again.state.iteration == again.state.max_epochs * again.state.epoch_length
    assert not (run / "training_state_before.pt").exists()
    other = bundle_training(bundle, run, cases, **same, **{"train::trainer::max_epochs": 1})
    other.run()
    assert (run / "training_state_before.pt").is_file()
    assert [row["epoch"] for row in read_progress(run)] == [0, 1]


def _killed():
    raise KeyboardInterrupt
