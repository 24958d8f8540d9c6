"""Training with a bundle: plan a run, run it, and write a new bundle for ``segment``."""

from __future__ import annotations

import copy
import json
import logging
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ignite.engine import Engine, Events
from monai.bundle import ConfigParser, ConfigWorkflow

from ..errors import BundleError, ProstateSegError, SettingsError
from ..inference.limits import check_limits
from ..inference.overrides import check_names
from ..inference.predictor import name_and_version
from ..inference.released import released_bundle, weights_file
from ..inference.settings import draw_network, read_settings
from ..inference.settings import read_json as read_object
from ..inference.weights import read_state, save_halved
from ..system.atomic import made_folder, replacing
from ..system.checked_files import read_json, shortened
from ..system.digests import sha256_of_file
from .card import Card
from .datalist import items
from .progress import PICTURE
from .ranges import check_values
from .saved import STATE_FILE, epochs_made
from .start import FILE as START
from .start import Fit, start_of, write_start
from .trust import check_trusted

LOG = logging.getLogger(__name__)
SETTINGS = "settings.json"  # record of a run
_OPTIONS = {
    **{"init": "--init", "datalist": "--data", "bundle_root": "--bundle"},
    **{"ckpt_dir": "--output", "model_dir": "--output"},
}
_SHARED = ("prepare", "pad")  # must be equal in inference.json, or training and inference use different grids
_CONFIGS = ("train.json", "inference.json", "metadata.json", "logging.conf")
_TRAVEL = ("LICENSE", "docs/metadata.schema.json")  # further files that the new bundle gets
_NEEDED = ("datalist", "init", "ckpt_dir", "bundle_root", "network_def", "phantoms", "validation_phantoms")
_EPOCHS = "train::trainer::max_epochs"


@dataclass(frozen=True)
class Plan:
    """Training run: the bundle it starts from, its folder, and the settings that it changes.

    ``record`` is the content of the run's settings.json: these settings, and SHA-256 of the files that it depends
    on. ``start`` holds the initial weights and what fitted, if another network's encoder was given.
    """

    bundle: Path
    run: Path
    overrides: Mapping[str, Any]
    record: Mapping[str, Any]
    start: tuple[Mapping[str, Any], Fit] | None = None


def plan(
    run: Path,
    *,
    datalist: Path | None = None,
    init: str = "released",
    init_encoder: Path | None = None,
    bundle: Path | None = None,
    settings: Mapping[str, Any] | None = None,
    trust: bool = False,
) -> Plan:
    """Check a run before it starts. Raise BundleError for a bad bundle, SettingsError for bad settings or cases.

    Parameters
    ----------
    run
        Folder of checkpoints and new bundle. Settings must equal those of an interrupted run there, which
        continues.
    datalist
        Path of a datalist (see :mod:`.datalist`). None: train on phantoms.
    init
        Initial weights: ``released``, ``phantoms``, ``none`` (random) or the path of a state dict.
    init_encoder
        Path of another vision transformer's weights, from which the encoder takes what fits.
    settings
        Values by their names in train.json, nested with ``::``. Names with an option of their own are refused.
    trust
        Run any code in the bundle's train.json.
    """
    source = bundle or released_bundle()
    _check_whole(source)
    check_trusted(source, trust=trust)
    overrides: dict[str, Any] = dict(settings or {})
    config, changed = _checked(source, overrides)
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
    overrides |= _interval(changed, overrides)
    merged = config | overrides
    items(merged["datalist"], "training", merged["phantoms"])
    items(merged["datalist"], "validation", merged["validation_phantoms"])
    overrides["init"] = "none" if init == "none" else str(weights.resolve())
    start = None
    if init_encoder is not None:
        seed = changed.get("seed", 0)
        drawn = int(seed) if isinstance(seed, int) else 0
        start = start_of(changed["network_def"], init_encoder, weights=overrides["init"], seed=drawn)
        overrides["init"] = str((run / START).resolve())
    overrides["ckpt_dir"] = str((run / "checkpoints").resolve())
    if "model_dir" in config:  # the source bundle keeps its weights
        overrides["model_dir"] = overrides["ckpt_dir"]
    overrides["bundle_root"] = str(source)
    for name, value in overrides.items():
        if isinstance(value, str) and ("#" in value or value[:1] in ("$", "@", "%")):
            raise SettingsError(
                f"MONAI's configuration cannot hold {value!r} ({name}); use a name without # $ @ %."
            )
    files = {"train_json": source / "configs" / "train.json", "datalist": merged["datalist"]}
    files |= {} if init == "none" else {"init": weights}
    files |= {} if init_encoder is None else {"init_encoder": init_encoder}
    record = overrides | {f"{name}_sha256": sha256_of_file(file) for name, file in files.items() if file}
    if _is_begun(run):
        check_same(run / SETTINGS, record)
    return Plan(source, run, overrides, record, start)


def check_same(file: Path, expected: Mapping[str, Any]) -> None:
    """Raise SettingsError if a run was started with other cases or settings; the text names up to three."""
    try:
        found = read_json(file)
    except (OSError, ValueError) as error:
        raise SettingsError(f"{file} of the run cannot be read; give another -o.") from error
    told = json.loads(json.dumps(dict(expected)))
    if isinstance(found, dict) and not any(name.endswith("_sha256") for name in found):  # of earlier versions
        told = {name: value for name, value in told.items() if not name.endswith("_sha256")}
    if found == told:
        return
    before: dict[str, Any] = found if isinstance(found, dict) else {}
    names = [name for name in sorted({*before, *told}) if before.get(name) != told.get(name)]
    parts = [f"{name} {shortened(before.get(name))}, now {shortened(told.get(name))}" for name in names[:3]]
    raise SettingsError(
        f"{file} tells of a run with other cases or settings ({'; '.join(parts)}); give those again, or another -o."
    )


def _is_begun(run: Path) -> bool:
    """Return whether a run can be continued: it has completed an epoch, or it has a bundle."""
    return (run / SETTINGS).is_file() and (
        (run / "checkpoints" / STATE_FILE).is_file() or (run / "bundle").is_dir()
    )


def _check_whole(source: Path) -> None:
    """Raise BundleError if this bundle lacks a file or an entry that the new bundle needs."""
    for name in (*(f"configs/{config}" for config in _CONFIGS), *_TRAVEL):
        if not (source / name).is_file():
            raise BundleError(
                f"{source} is no bundle to train: it has no {name}; take it from the released bundle."
            )
    name_and_version(source)
    metadata = read_object(source / "configs" / "metadata.json")
    if not isinstance(metadata.get("changelog"), dict):
        raise BundleError(f"{source} is no bundle to train: its metadata.json has no changelog; write one.")


def _is_ensemble(source: Path) -> bool:
    definition = read_settings(source)["network_def"]
    return str(definition["_target_"]).endswith(".Ensemble")


def _checked(source: Path, overrides: Mapping[str, Any]) -> tuple[dict[str, Any], ConfigParser]:
    """Return a bundle's train.json, without and with the overrides. Names and values are checked."""
    config = read_object(source / "configs" / "train.json")
    missing = [name for name in _NEEDED if name not in config]
    if missing:
        raise BundleError(f"{source} is no bundle to train: its train.json lacks {', '.join(missing)}; add them.")
    if not isinstance(config["datalist"], str | None):
        raise BundleError(f"{source} is no bundle to train: its datalist is neither null nor a path; correct it.")
    check_names(overrides, config)
    for name in overrides:
        if name in _OPTIONS:
            raise SettingsError(f"{name} has an option of its own; give it by {_OPTIONS[name]}.")
        if name.replace("#", "::").split("::")[0] in _SHARED:
            raise SettingsError(
                f"{name} must be equal in train.json and inference.json; copy the bundle, change both, and "
                "give the copy by --bundle."
            )
    changed = ConfigParser(copy.deepcopy(config), globals=False)
    changed.update(dict(overrides))
    check_values(changed, overrides)
    check_limits({name: value for name, value in changed[""].items() if name != "seed"})
    draw_network(changed["network_def"])
    return config, changed


def _interval(changed: ConfigParser, overrides: Mapping[str, Any]) -> dict[str, int]:
    """Return a val_interval for a run too short to be validated. Raise SettingsError if the user gave one."""
    epochs, interval = changed.get(_EPOCHS), changed.get("val_interval")
    if type(epochs) is not int or type(interval) is not int or epochs >= interval:
        return {}
    if "val_interval" in overrides:
        raise SettingsError(
            f"val_interval is {interval}, but the run has {epochs} epochs and would end before its first "
            "validation; make it smaller, or leave it out."
        )
    return {"val_interval": epochs}


def train(planned: Plan, watch: Callable[[int, int], None] | None = None) -> Path:
    """Run a plan. Return the folder of the new bundle, with the weights of the best validation.

    ``watch`` is called after each step with the number of steps made and the number of all steps.
    """
    configs = planned.bundle / "configs"
    made_folder(planned.run)
    if not _is_begun(planned.run):
        with replacing(planned.run / SETTINGS) as temporary:
            temporary.write_text(json.dumps(dict(planned.record), indent=1), encoding="utf-8")
        if planned.start is not None:
            write_start(planned.start[0], planned.run / START)
    workflow = ConfigWorkflow(
        config_file=str(configs / "train.json"),
        meta_file=str(configs / "metadata.json"),
        logging_file=str(configs / "logging.conf"),
        workflow_type="train",
        **planned.overrides,
    )
    try:
        made = epochs_made(planned.run / "checkpoints") if planned.overrides.get("resume", True) else 0
        if made < workflow.parser.get_parsed_content(_EPOCHS):
            workflow.initialize()
            if watch is not None:
                workflow.trainer.add_event_handler(Events.ITERATION_COMPLETED, _watched, watch)
            workflow.run()
            workflow.finalize()
        else:
            LOG.info("all %d epochs were made before; the bundle is written again", made)
    except RuntimeError as error:  # MONAI wraps errors of expressions
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, ProstateSegError):
            cause = cause.__cause__
        raise cause or error from None
    return _new_bundle(planned, workflow.parser["network_def"])


def _watched(engine: Engine, watch: Callable[[int, int], None]) -> None:
    watch(engine.state.iteration, (engine.state.max_epochs or 0) * (engine.state.epoch_length or 0))


def _new_bundle(planned: Plan, network: Mapping[str, Any]) -> Path:
    """Write the new bundle: the new weights, a model card, and the files of the source bundle that it needs."""
    checkpoints = planned.run / "checkpoints"
    if not (checkpoints / "model.pt").is_file():
        raise SettingsError(
            "The run ended before its first validation, so there are no best weights; give another -o, and a "
            "smaller val_interval or more --epochs."
        )
    folder, partial = planned.run / "bundle", planned.run / ".bundle.partial"
    shutil.rmtree(partial, ignore_errors=True)
    (partial / "models").mkdir(parents=True)
    (partial / "docs").mkdir()
    shutil.copytree(planned.bundle / "configs", partial / "configs")
    for file in _TRAVEL:
        shutil.copyfile(planned.bundle / file, partial / file)
    save_halved(read_state(checkpoints / "model.pt"), partial / "models" / "model.pt")
    rewrite(partial / "configs" / "inference.json", {"network_def": network})
    if read_object(partial / "configs" / "train.json")["network_def"] != network:
        rewrite(partial / "configs" / "train.json", {"network_def": network})
    card = Card.of(planned.run, planned.bundle, planned.record)
    rewrite(partial / "configs" / "metadata.json", card.metadata())
    (partial / "docs" / "README.md").write_text(card.text(), encoding="utf-8")
    if (checkpoints / PICTURE).is_file():
        shutil.copyfile(checkpoints / PICTURE, partial / "docs" / PICTURE)
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)
    return folder


def rewrite(path: Path, changes: Mapping[str, Any]) -> None:
    """Change entries of a JSON file."""
    path.write_text(json.dumps({**read_object(path), **changes}, indent=4), encoding="utf-8")
