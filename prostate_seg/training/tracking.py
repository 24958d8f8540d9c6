"""Record of a training in an experiment tracker, beside the tables and TensorBoard files of every run."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import Any

from monai.bundle.utils import DEFAULT_MLFLOW_SETTINGS

from ..errors import SettingsError
from ..system.atomic import made_folder

MLFLOW = "mlflow"
STORE = "tracking"  # folder in the run's


def check_tracking(name: str) -> None:
    """Raise SettingsError for an unknown tracker, or one that is not installed."""
    if name != MLFLOW:
        raise SettingsError(f"--tracking is {name!r:.80}, expected {MLFLOW}.")
    if importlib.util.find_spec(MLFLOW) is None:
        raise SettingsError("--tracking mlflow needs MLflow; install it: pip install 'prostate-seg[mlflow]'.")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # it reports its use over the network otherwise


def tracking_options(name: str | None, run: Path) -> dict[str, Any]:
    """Return the arguments of a ConfigWorkflow that records a run; none without a tracker.

    MONAI's handlers write losses and metrics into a SQLite database in the run's folder, and nowhere else. A
    resumed training goes on in the same MLflow run.
    """
    if name is None:
        return {}
    configs = DEFAULT_MLFLOW_SETTINGS["configs"] | {
        "experiment_name": "prostate-seg",
        "run_name": run.resolve().name,
        "save_execute_config": False,
    }
    store = made_folder((run / STORE).resolve())
    uri = f"sqlite:///{(store / 'mlruns.db').as_posix()}"  # as it is: SQLAlchemy decodes no %20
    settings = DEFAULT_MLFLOW_SETTINGS | {"configs": configs | {"tracking_uri": uri}}
    return {"tracking": settings, "output_dir": str(store)}
