"""The record of a training in MLflow: a real store in the run's folder, read back by MLflow's own client."""

import json
import os
import subprocess
import sys

import pytest

from prostate_seg.cli import main
from prostate_seg.errors import SettingsError
from prostate_seg.training.tracking import check_tracking

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("logging_as_before")]


def runs_in(database, experiment):
    import mlflow

    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{database}")
    found = client.get_experiment_by_name(experiment)
    histories = []
    for run in client.search_runs([found.experiment_id]):
        histories.append({name: client.get_metric_history(run.info.run_id, name) for name in run.data.metrics})
    return histories


def test_a_run_of_2_epochs_in_a_folder_with_blanks_has_one_mlflow_run_with_2_losses(tiny_bundle, tmp_path):
    run = tmp_path / "Jörg's 20 %"
    options = ["--phantoms", "2", "--epochs", "2", "--set", "validation_phantoms=1", "--set", "val_interval=1"]
    options += ["--set", "amp=false", "--set", "batch_size=2", "--init", "none", "--bundle", str(tiny_bundle)]
    assert main(["train", "-o", str(run), "--tracking", "mlflow", *options]) == 0
    (history,) = runs_in(run / "tracking" / "mlruns.db", "prostate-seg")
    rows = [line.split(",") for line in (run / "checkpoints" / "progress.csv").read_text().splitlines()[2:]]
    losses = {metric.step: metric.value for metric in history["train_loss"]}
    assert losses == pytest.approx({int(row[0]): float(row[1]) for row in rows}, abs=1e-6)
    assert {metric.step for metric in history["val_dice"]} >= {1, 2}
    assert "tracking" not in json.loads((run / "settings.json").read_text())
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"
    with pytest.raises(SettingsError, match="--tracking is 'wandb', expected mlflow"):
        check_tracking("wandb")


def test_monais_own_option_tracks_the_bundle_too(tiny_bundle, tmp_path):
    options = {"bundle_root": tiny_bundle, "config_file": tiny_bundle / "configs" / "train.json"}
    options |= {"ckpt_dir": tmp_path, "model_dir": tmp_path, "output_dir": tmp_path, "amp": False}
    options |= {"phantoms": 2, "validation_phantoms": 1, "val_interval": 1, "train::trainer::max_epochs": 1}
    told = [text for name, value in options.items() for text in (f"--{name}", str(value))]
    command = [sys.executable, "-m", "monai.bundle", "run", "training", "--tracking", "mlflow", *told]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    (history,) = runs_in(tmp_path / "mlruns.db", "monai_experiment")
    assert len(history["train_loss"]) == 1
