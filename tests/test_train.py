"""Training: planned before it runs, repeatable, resumable, stopped by a misspelt setting."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from ignite.engine import Events
from monai.bundle import ConfigWorkflow
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from prostate_seg import BundleError, SettingsError, load_bundle
from prostate_seg.inference import hint_network
from prostate_seg.inference.released import released_bundle
from prostate_seg.training.plan import plan
from prostate_seg.training.run import train
from prostate_seg.training.saved import STATE_FILE


@pytest.fixture(scope="session")
def small_training(tiny_bundle, nifti_case, tmp_path_factory):
    """A datalist with one case for both sides, and settings that make an epoch one second."""
    folder = tmp_path_factory.mktemp("datalist")
    case = {"image": str(nifti_case[0]), "label": str(nifti_case[1])}
    shutil.copyfile(nifti_case[0], folder / "other.nii.gz")
    other = case | {"image": "other.nii.gz"}
    (folder / "cases.json").write_text(json.dumps({"training": [case], "validation": [other]}))
    return folder / "cases.json", {
        "amp": False,
        "batch_size": 2,
        "phantoms": 0,
        "validation_phantoms": 0,
        "repeats": 4,
    }


def losses_of(tiny_bundle, checkpoints, datalist, settings, *, epochs):
    """Losses by iteration of a run that ends, or is interrupted, after ``epochs`` of 25; the averaged weights."""
    configs = tiny_bundle / "configs"
    workflow = ConfigWorkflow(
        config_file=str(configs / "train.json"), meta_file=str(configs / "metadata.json"), workflow_type="train",
        datalist=str(datalist), ckpt_dir=str(checkpoints), model_dir=str(checkpoints), val_interval=1000,
        **{"train::trainer::max_epochs": 25, **settings},
    )  # fmt: skip
    workflow.initialize()
    trainer = workflow.trainer
    losses = {}

    def note(engine):
        losses[engine.state.iteration] = engine.state.output[0]["loss"]

    trainer.add_event_handler(Events.ITERATION_COMPLETED, note)
    trainer.add_event_handler(
        Events.EPOCH_COMPLETED(once=epochs), lambda engine: engine.terminate() if epochs < 25 else None
    )
    trainer.run()
    return losses, workflow.parser.get_parsed_content("average").module.state_dict()


@pytest.mark.slow
def test_an_interrupted_run_goes_on_to_the_same_losses_within_1e_4_over_50_steps(
    tiny_bundle, small_training, tmp_path
):
    datalist, settings = small_training
    whole, weights = losses_of(tiny_bundle, tmp_path / "whole", datalist, settings, epochs=25)
    assert sorted(whole) == list(range(1, 51))
    first, _ = losses_of(tiny_bundle, tmp_path / "parts", datalist, settings, epochs=11)
    assert max(first) == 22
    rest, resumed = losses_of(tiny_bundle, tmp_path / "parts", datalist, settings, epochs=25)
    assert sorted(rest) == list(range(23, 51))
    joined = first | rest
    assert np.abs([whole[n] - joined[n] for n in whole]).max() <= 1e-4
    assert max(float((weights[name] - resumed[name]).abs().max()) for name in weights) <= 1e-4
    assert len({round(loss, 6) for loss in whole.values()}) > 40  # the augmentation does differ by epoch


def test_a_finished_run_is_a_bundle_that_segments(tiny_bundle, small_training, small_phantom, tmp_path):
    datalist, settings = small_training
    planned = plan(
        tmp_path / "run", datalist=datalist, init="none", bundle=tiny_bundle,
        settings=settings | {"train::trainer::max_epochs": 2, "val_interval": 1},
    )  # fmt: skip
    folder = train(planned)
    assert load_bundle(folder)(small_phantom.image).labels.shape == small_phantom.image.array.shape
    events = EventAccumulator(str(tmp_path / "run" / "checkpoints")).Reload()
    assert {"train_loss", "val_dice"} <= set(events.Tags()["scalars"])
    assert json.loads((tmp_path / "run" / "settings.json").read_text())["init"] == "none"


def test_the_papers_recipe_halfway_has_a_learning_rate_of_0_99e_3_times_half_to_0_9_plus_1e_5(
    tiny_bundle, small_training, tmp_path
):
    datalist, settings = small_training
    configs = tiny_bundle / "configs"
    workflow = ConfigWorkflow(
        config_file=[str(configs / "train.json"), str(configs / "train_paper_recipe.json")],
        workflow_type="train", datalist=str(datalist), ckpt_dir=str(tmp_path), model_dir=str(tmp_path), **settings,
        **{"train::trainer::max_epochs": 2, "val_interval": 5},
    )  # fmt: skip
    workflow.initialize()
    trainer = workflow.trainer
    rates = []
    optimizer = workflow.parser.get_parsed_content("optimizer")
    trainer.add_event_handler(Events.ITERATION_STARTED, lambda: rates.append(optimizer.param_groups[0]["lr"]))
    trainer.run()
    assert type(optimizer) is torch.optim.SGD
    assert rates[0] == pytest.approx(1e-3)
    assert rates[len(rates) // 2] == pytest.approx(0.99e-3 * 0.5**0.9 + 1e-5)


def test_a_resumed_run_keeps_the_best_weights_until_they_are_beaten(tiny_bundle, small_training, tmp_path):
    datalist, settings = small_training
    settings = settings | {"val_interval": 1, "train::trainer::max_epochs": 2}
    planned = plan(tmp_path, datalist=datalist, init="none", bundle=tiny_bundle, settings=settings)
    train(replace(planned, overrides={**planned.overrides, "train::trainer::max_epochs": 1}))  # as if interrupted
    path = tmp_path / "checkpoints" / STATE_FILE
    state = torch.load(path, weights_only=True)
    assert state["position"]["epoch"] == state["position"]["best_metric_epoch"] == 1
    state["position"]["best_metric"] = 0.99
    del state["training"]  # it tells of one epoch
    torch.save(state, path)
    before = (tmp_path / "checkpoints" / "model.pt").read_bytes()
    train(plan(tmp_path, datalist=datalist, init="none", bundle=tiny_bundle, settings=settings))
    assert torch.load(path, weights_only=True)["position"]["epoch"] == 2
    assert (tmp_path / "checkpoints" / "model.pt").read_bytes() == before


def test_a_damaged_training_state_is_named(tiny_bundle, small_training, tmp_path):
    datalist, settings = small_training
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / STATE_FILE).write_bytes(b"cut")
    with pytest.raises(BundleError, match=r"training_state\.pt cannot be resumed"):
        train(plan(tmp_path, datalist=datalist, init="none", bundle=tiny_bundle, settings=settings))


def test_the_new_bundle_describes_the_network_that_was_trained_and_keeps_that_of_hints_alone(
    tiny_bundle, small_training, small_phantom, tmp_path
):
    datalist, settings = small_training
    source = shutil.copytree(tiny_bundle, tmp_path / "source")
    (source / "data").mkdir()
    (source / "data" / "patient.dcm").write_bytes(b"private")
    for name in (hint_network.FILE, hint_network.WEIGHTS):
        shutil.copyfile(released_bundle() / name, source / name)
    own = {"network_def::encoder::depth": 2, "train::trainer::max_epochs": 1, "val_interval": 1}
    run = tmp_path / "run"
    folder = train(plan(run, datalist=datalist, init="none", bundle=source, settings=settings | own))
    assert json.loads((folder / "configs/inference.json").read_text())["network_def"]["encoder"]["depth"] == 2
    assert (folder / hint_network.WEIGHTS).read_bytes() == (released_bundle() / hint_network.WEIGHTS).read_bytes()
    assert load_bundle(folder)(small_phantom.image).labels.any() in (True, False)
    assert load_bundle(folder).info.name.startswith("prostate_us_segmenter_")
    assert not (folder / "data").exists()


def test_training_from_the_released_weights_starts_with_them(tiny_bundle, small_training, tmp_path):
    datalist, settings = small_training
    planned = plan(tmp_path, datalist=datalist, bundle=tiny_bundle, settings=settings)
    assert Path(planned.overrides["init"]) == (tiny_bundle / "models" / "model.pt").resolve()
    workflow = ConfigWorkflow(
        config_file=str(tiny_bundle / "configs" / "train.json"), workflow_type="train", **planned.overrides
    )
    workflow.initialize()
    state = torch.load(tiny_bundle / "models" / "model.pt", weights_only=True)
    for name, value in workflow.parser.get_parsed_content("network").state_dict().items():
        assert torch.equal(value, state[name])


def test_training_can_start_from_the_weights_that_saw_phantoms_alone(small_training, tmp_path):
    datalist, settings = small_training
    planned = plan(tmp_path, datalist=datalist, init="phantoms", settings=settings)
    assert Path(planned.overrides["init"]).name == "model_phantoms.pt"


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        (
            {"settings": {"learning_rat": 1}},
            SettingsError,
            "no setting named learning_rat; did you mean learning_rate",
        ),
        ({"settings": {"train::trainer::max_epohcs": 1}}, SettingsError, "did you mean train::trainer::max_epochs"),
        ({"settings": {"prepare": []}}, SettingsError, "prepare must be equal in train.json and inference.json"),
        ({"settings": {"init": "none"}}, SettingsError, "init has an option of its own; give it by --init"),
        ({"init": "none", "settings": {"phantoms": 0}}, SettingsError, "There are no training cases"),
        ({"init": "absent.pt"}, BundleError, "no weights at absent.pt to start from"),
        ({"datalist": Path("absent.json"), "init": "none"}, SettingsError, "no datalist at absent.json"),
    ],
)
def test_a_run_that_cannot_start_is_refused_before_anything_is_written(
    tiny_bundle, tmp_path, arguments, error, text
):
    with pytest.raises(error, match=text):
        plan(tmp_path / "run", bundle=tiny_bundle, **arguments)
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["batch_sise", "train::trainer::max_epohcs"])
def test_a_misspelt_override_stops_monais_run_too(tiny_bundle, tmp_path, name):
    config = tiny_bundle / "configs" / "train.json"
    command = ["-m", "monai.bundle", "run", "training", "--config_file", config, "--bundle_root", tiny_bundle]
    done = subprocess.run(
        [sys.executable, *map(str, command), f"--{name}", "1", "--ckpt_dir", str(tmp_path / "checkpoints")],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode != 0
    assert f"no setting named {name}; did you mean" in done.stderr
    assert not (tmp_path / "checkpoints").exists()
