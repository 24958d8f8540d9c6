"""Training through the bundle: plan it, run it, and leave a bundle that ``segment`` takes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser, ConfigWorkflow

from .errors import BundleError, OutputError, SettingsError
from .information import released_bundle
from .monai_adapters import check_names

RELEASED = "released"


@dataclass(frozen=True)
class Plan:
    """A training run: the bundle it starts from, where it goes, and the settings that it changes."""

    bundle: Path
    run: Path
    overrides: Mapping[str, Any]


def plan(
    run: Path,
    *,
    datalist: Path | None = None,
    init: str = RELEASED,
    bundle: Path | None = None,
    settings: Mapping[str, Any] | None = None,
) -> Plan:
    """Check a run before it starts.

    run: folder for checkpoints and the new bundle; an interrupted run in it goes on. datalist: see
    :mod:`prostate_seg.datalist`; None trains on phantoms. init: ``released``, ``none`` (random weights) or
    the path of a state dict. settings: names of train.json, nested with ``::``, and their values. Raises
    SettingsError for a name that train.json does not have.
    """
    source = bundle or released_bundle()
    overrides: dict[str, Any] = dict(settings or {})
    check_names(overrides, ConfigParser.load_config_files([str(source / "configs" / "train.json")]))
    weights = source / "models" / "model.pt" if init == RELEASED else Path(init)
    if init != "none" and not weights.is_file():
        raise BundleError(f"There are no weights at {weights} to start from; give another --init, or --init none.")
    if datalist is not None:
        if not datalist.is_file():
            raise SettingsError(f"There is no datalist at {datalist}; give the path of a JSON file.")
        overrides.setdefault("phantoms", 0)
        overrides.setdefault("validation_phantoms", 0)
        overrides["datalist"] = str(datalist.resolve())
    overrides["init"] = "none" if init == "none" else str(weights.resolve())
    overrides["ckpt_dir"] = str((run / "checkpoints").resolve())
    overrides["bundle_root"] = str(source)
    return Plan(source, run, overrides)


def train(planned: Plan) -> Path:
    """Run a plan to its end; returns the new bundle's folder, whose weights are the best validated ones."""
    configs = planned.bundle / "configs"
    try:
        planned.run.mkdir(parents=True, exist_ok=True)
        (planned.run / "settings.json").write_text(json.dumps(dict(planned.overrides), indent=1), encoding="utf-8")
    except OSError as error:
        raise OutputError(f"{planned.run} cannot be written ({error.strerror}); choose another folder.") from error
    workflow = ConfigWorkflow(
        config_file=str(configs / "train.json"),
        meta_file=str(configs / "metadata.json"),
        logging_file=str(configs / "logging.conf"),
        workflow_type="train",
        **planned.overrides,
    )
    workflow.initialize()
    workflow.run()
    workflow.finalize()
    return _new_bundle(planned)


def _new_bundle(planned: Plan) -> Path:
    best = planned.run / "checkpoints" / "model.pt"
    if not best.is_file():
        raise SettingsError(
            "The run ended before its first validation, so there are no best weights; train for at least "
            "val_interval epochs."
        )
    folder = planned.run / "bundle"
    shutil.copytree(planned.bundle, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("models", "docs"))
    (folder / "models").mkdir(exist_ok=True)
    shutil.copyfile(best, folder / "models" / "model.pt")
    return folder
