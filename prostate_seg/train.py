"""Training through the bundle: plan it, run it, and leave a bundle that ``segment`` takes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser, ConfigWorkflow

from .datalist import items
from .errors import BundleError, OutputError, ProstateSegError, SettingsError
from .information import released_bundle, weights_file
from .monai_adapters import STATE_FILE, check_names

_OPTIONS = {"init": "--init", "datalist": "--data", "ckpt_dir": "--output", "bundle_root": "--bundle"}
_SHARED = ("prepare", "pad")  # also written in inference.json: changing one side only would train another grid


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
    init: str = "released",
    bundle: Path | None = None,
    settings: Mapping[str, Any] | None = None,
) -> Plan:
    """Check a run before it starts.

    run: folder for checkpoints and the new bundle; an interrupted run in it goes on. datalist: see
    :mod:`prostate_seg.datalist`; None trains on phantoms. init: ``released``, ``phantoms``, ``none`` (random
    weights) or the path of a state dict. settings: names of train.json, nested with ``::``, and their values.
    Raises SettingsError for a name that train.json does not have, or that has an option of its own.
    """
    source = bundle or released_bundle()
    overrides: dict[str, Any] = dict(settings or {})
    config = _checked(source, overrides)
    if init == "released" and _is_ensemble(source):
        raise SettingsError(
            f"{source} holds an ensemble; train from one member (fold-0/bundle), or give another --init."
        )
    weights = weights_file(source, init)
    if init != "none" and not weights.is_file():
        raise BundleError(f"There are no weights at {weights} to start from; give another --init, or --init none.")
    if datalist is not None:
        if not datalist.is_file():
            raise SettingsError(f"There is no datalist at {datalist}; give the path of a JSON file.")
        overrides.setdefault("phantoms", 0)
        overrides.setdefault("validation_phantoms", 0)
        overrides["datalist"] = str(datalist.resolve())
    merged = config | overrides
    items(merged["datalist"], "training", merged["phantoms"])
    items(merged["datalist"], "validation", merged["validation_phantoms"])
    overrides["init"] = "none" if init == "none" else str(weights.resolve())
    overrides["ckpt_dir"] = str((run / "checkpoints").resolve())
    overrides["bundle_root"] = str(source)
    for name, value in overrides.items():
        if isinstance(value, str) and ("#" in value or value[:1] in ("$", "@", "%")):
            raise SettingsError(
                f"MONAI's configuration cannot hold {value!r} ({name}); use a name without # $ @ %."
            )
    return Plan(source, run, overrides)


def _is_ensemble(source: Path) -> bool:
    try:
        content = json.loads((source / "configs" / "inference.json").read_text(encoding="utf-8"))
        return str(content["network_def"]["_target_"]).endswith(".Ensemble")
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise BundleError(f"{source} is no bundle to train: its inference.json cannot be read.") from error


def _checked(source: Path, overrides: Mapping[str, Any]) -> dict[str, Any]:
    """train.json of a bundle, after its overrides were held against it."""
    file = source / "configs" / "train.json"
    try:
        config: dict[str, Any] = ConfigParser.load_config_files([str(file)])
    except (OSError, ValueError) as error:
        raise BundleError(f"{source} is no bundle to train: {file} cannot be read.") from error
    check_names(overrides, config)
    for name in overrides:
        if name in _OPTIONS:
            raise SettingsError(f"{name} has an option of its own; give it by {_OPTIONS[name]}.")
        if name.replace("#", "::").split("::")[0] in _SHARED:
            raise SettingsError(
                f"{name} must be equal in train.json and inference.json; copy the bundle, change both, and "
                "give the copy by --bundle."
            )
    epochs = overrides.get("train::trainer::max_epochs", 1)
    if isinstance(epochs, bool) or not isinstance(epochs, int) or epochs < 1:
        raise SettingsError(f"A run has a whole number of epochs above 0, got {epochs!r}.")
    return config


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
    try:
        workflow.initialize()
        workflow.run()
        workflow.finalize()
    except RuntimeError as error:  # MONAI wraps what an expression raises
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, ProstateSegError):
            cause = cause.__cause__
        raise cause or error from None
    return _new_bundle(planned, workflow.parser["network_def"])


def _new_bundle(planned: Plan, network: Mapping[str, Any]) -> Path:
    """Configurations, schema and licence of the source bundle with the new weights; nothing else travels."""
    best = planned.run / "checkpoints" / "model.pt"
    if not best.is_file():
        raise SettingsError(
            "The run ended before its first validation, so there are no best weights; train for at least "
            f"val_interval epochs more (a finished run, {STATE_FILE}, goes on from its last epoch)."
        )
    folder, partial = planned.run / "bundle", planned.run / ".bundle.partial"
    shutil.rmtree(partial, ignore_errors=True)
    (partial / "models").mkdir(parents=True)
    (partial / "docs").mkdir()
    shutil.copytree(planned.bundle / "configs", partial / "configs")
    for file in ("LICENSE", "docs/metadata.schema.json"):
        shutil.copyfile(planned.bundle / file, partial / file)
    shutil.copyfile(best, partial / "models" / "model.pt")
    rewrite(partial / "configs" / "inference.json", {"network_def": network})
    metadata = json.loads((partial / "configs" / "metadata.json").read_text(encoding="utf-8"))
    own = {
        "name": f"{metadata['name']}_retrained",
        "data_source": "the cases of a user's datalist" if planned.overrides.get("datalist") else "phantoms",
        "changelog": metadata["changelog"] | {metadata["version"]: "retrained from this version's configuration"},
    }
    rewrite(partial / "configs" / "metadata.json", own)
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)
    return folder


def rewrite(path: Path, changes: Mapping[str, Any]) -> None:
    """Change entries of a JSON file."""
    content = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(content | changes, indent=4), encoding="utf-8")
