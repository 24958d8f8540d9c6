"""Plan of a training: its bundle, cases and settings, all checked before it starts."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser

from ..errors import BundleError, SettingsError
from ..inference.bundle_info import name_and_version
from ..inference.limits import check_limits
from ..inference.overrides import check_names
from ..inference.pretrained import Fit
from ..inference.released import released_bundle, weights_file
from ..inference.settings import draw_network, read_settings
from ..inference.settings import read_json as read_object
from ..system.checked_files import read_json, shortened
from ..system.digests import sha256_of_file
from .datalist import items
from .engine import freeze
from .ranges import check_values
from .saved import STATE_FILE
from .start import FILE as START
from .start import start_of
from .structures import StructureTraining, needed_overlay
from .tracking import check_tracking
from .trust import check_trusted

SETTINGS = "settings.json"  # record of a run
_OPTIONS = {
    **{"init": "--init", "datalist": "--data", "bundle_root": "--bundle"},
    **{"ckpt_dir": "--output", "model_dir": "--output"},
}
_SHARED = ("prepare", "pad")  # must be equal in inference.json, or training and inference use different grids
_CONFIGS = ("train.json", "inference.json", "metadata.json", "logging.conf")
TRAVEL = ("LICENSE", "docs/metadata.schema.json")  # further files that the new bundle gets
_NEEDED = ("datalist", "init", "ckpt_dir", "bundle_root", "network_def", "phantoms", "validation_phantoms")
EPOCHS = "train::trainer::max_epochs"


@dataclass(frozen=True)
class Plan:
    """Training run: the bundle it starts from, its folder, and the settings that it changes.

    ``record`` is the content of the run's settings.json: these settings, and SHA-256 of the files that it depends
    on. ``start`` holds the initial weights and what fitted, if another network's encoder was given. ``structures``
    are further structures that are trained; the CTV's network of the bundle then stays as it is. ``tracking`` is
    None or ``mlflow``. ``command`` is the command line that trains such a bundle, for the model card.
    """

    bundle: Path
    run: Path
    overrides: Mapping[str, Any]
    record: Mapping[str, Any]
    start: tuple[Mapping[str, Any], Fit] | None = None
    structures: StructureTraining | None = None
    tracking: str | None = None
    command: str = ""


@dataclass(frozen=True)
class Extra:
    """What a training takes beside its cases and initial weights.

    Attributes
    ----------
    encoder
        Path of another vision transformer's weights, from which the encoder takes what fits.
    structures
        Further structures to train: names, or a JSON file (:meth:`.StructureTraining.of`).
    tracking
        ``mlflow``: also record the run in a store in the run's folder. The record of settings does not name it.
    command
        Command line, for the model card.
    """

    encoder: Path | None = None
    structures: str | None = None
    tracking: str | None = None
    command: str = ""


def plan(
    run: Path,
    *,
    datalist: Path | None = None,
    init: str = "released",
    extra: Extra | None = None,
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
    extra
        Another network's encoder, or further structures.
    bundle
        Bundle to start from. None: the released one.
    settings
        Values by their names in train.json, nested with ``::``. Names with an option of their own are refused.
    trust
        Run any code in the bundle's train.json.
    """
    source, extra = bundle or released_bundle(), extra or Extra()
    _check_whole(source)
    if extra.tracking is not None:
        check_tracking(extra.tracking)
    check_trusted(source, trust=trust)
    overrides: dict[str, Any] = dict(settings or {})
    config, changed = _checked(source, overrides)
    if init == "released" and _is_ensemble(source):
        raise SettingsError(
            f"{source} holds an ensemble; train from one member (fold-0/bundle), or give another --init."
        )
    weights, more = weights_file(source, init), None
    if extra.structures is not None:
        more = StructureTraining.of(extra.structures)
        needed_overlay(source)
        overrides = {**more.overrides, **overrides}
        changed.update(dict(more.overrides))
        weights = more.start_of(source) if init == "released" else weights
    if init != "none" and not weights.is_file():
        raise BundleError(f"There are no weights at {weights} to start from; give another --init, or --init none.")
    overrides |= _cases(datalist, overrides) | _interval(changed, overrides)
    merged = config | overrides
    found = items(merged["datalist"], "training", merged["phantoms"])
    found += items(merged["datalist"], "validation", merged["validation_phantoms"])
    if more is not None:
        more.check(found)
    elif alone := [case["case"] for case in found if "phantom" not in case and "label" not in case]:
        raise SettingsError(
            f"Case {alone[0]} has no label, that is no mask of the CTV; add it, or train its structures by "
            "--structures."
        )
    overrides["init"] = "none" if init == "none" else str(weights.resolve())
    start = None
    if extra.encoder is not None:
        seed = changed.get("seed", 0)
        drawn = int(seed) if isinstance(seed, int) else 0
        start = start_of(changed["network_def"], extra.encoder, weights=overrides["init"], seed=drawn)
        overrides["init"] = str((run / START).resolve())
    overrides["ckpt_dir"] = str((run / "checkpoints").resolve())
    if "model_dir" in config:  # the source bundle keeps its weights
        overrides["model_dir"] = overrides["ckpt_dir"]
    overrides["bundle_root"] = str(source)
    _check_texts(overrides, known=more.overrides if more else {})
    files = {"train_json": source / "configs" / "train.json", "datalist": merged["datalist"]}
    files |= {"init": None if init == "none" else weights, "init_encoder": extra.encoder}
    record = overrides | {f"{name}_sha256": sha256_of_file(file) for name, file in files.items() if file}
    if is_begun(run):
        check_same(run / SETTINGS, record)
    return Plan(source, run, overrides, record, start, more, extra.tracking, extra.command)


def _cases(datalist: Path | None, overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that a datalist brings: without others, no phantoms. Raise SettingsError if absent."""
    if datalist is None:
        return {}
    if not datalist.is_file():
        raise SettingsError(f"There is no datalist at {datalist}; give the path of a JSON file.")
    counts = {name: overrides.get(name, 0) for name in ("phantoms", "validation_phantoms")}
    return counts | {"datalist": str(datalist.resolve())}


def _check_texts(overrides: Mapping[str, Any], *, known: Mapping[str, Any]) -> None:
    """Raise SettingsError for a text that MONAI would evaluate, unless it is one of the released overlay."""
    texts = [
        (name, one) for name, value in overrides.items() for one in (value if isinstance(value, list) else [value])
    ]
    for name, value in texts:
        if isinstance(value, str) and value != known.get(name) and ("#" in value or value[:1] in ("$", "@", "%")):
            raise SettingsError(
                f"MONAI's configuration cannot hold {value!r} ({name}); use a name without # $ @ %."
            )


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


def is_begun(run: Path) -> bool:
    """Return whether a run can be continued: it has completed an epoch, or it has a bundle."""
    return (run / SETTINGS).is_file() and (
        (run / "checkpoints" / STATE_FILE).is_file() or (run / "bundle").is_dir()
    )


def _check_whole(source: Path) -> None:
    """Raise BundleError if this bundle lacks a file or an entry that the new bundle needs."""
    for name in (*(f"configs/{config}" for config in _CONFIGS), *TRAVEL):
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
    freeze(draw_network(changed["network_def"]), changed.get("frozen", ()))
    return config, changed


def _interval(changed: ConfigParser, overrides: Mapping[str, Any]) -> dict[str, int]:
    """Return a val_interval for a run too short to be validated. Raise SettingsError if the user gave one."""
    epochs, interval = changed.get(EPOCHS), changed.get("val_interval")
    if type(epochs) is not int or type(interval) is not int or epochs >= interval:
        return {}
    if "val_interval" in overrides:
        raise SettingsError(
            f"val_interval is {interval}, but the run has {epochs} epochs and would end before its first "
            "validation; make it smaller, or leave it out."
        )
    return {"val_interval": epochs}
