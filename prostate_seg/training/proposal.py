"""Rules that find a training's settings from its cases, with a reason for each.

The rules were measured on real cases (docs/training.md).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import SettingsError
from ..geometry.extent import extent_mm
from ..inference.settings import read_json as read_object
from ..reading.masks import read_mask
from ..system.checked_files import shortened
from ..system.digests import sha256_of_file
from .datalist import SECTIONS, load, patient_of
from .plan import EPOCHS
from .plan_file import FILE, Proposal, Purpose, read_plan

BATCH = 4
STEPS, STEPS_OF_STRUCTURES, STEPS_FROM_NOTHING = 600, 2000, 4000
STEPS_OF_EPOCH = 10
VALIDATIONS, PATIENCE = 12, 5
FEW_PATIENTS = 10
HELD_BACK = 5  # without cases for validation, every fifth patient is held back


def _steps(purpose: Purpose) -> tuple[int, str]:
    """Return the number of steps of a training, and the reason."""
    if not purpose.trained:
        return STEPS_FROM_NOTHING, "random weights learn slowly (a guess)"
    if purpose.structures:
        return STEPS_OF_STRUCTURES, "the structures are learnt anew (a guess)"
    return STEPS, "from trained weights the validation hardly changes after that"


def proposal(
    datalist: Path, run: Path, given: Mapping[str, Any], *, bundle: Path, purpose: Purpose
) -> tuple[Proposal, dict[str, Any]]:
    """Return the plan in a run's folder, or make one from the cases of a datalist; and the settings to train with.

    Parameters
    ----------
    datalist
        Path of the datalist.
    run
        Folder of the run. A plan.json in it is read, as somebody may have edited it.
    given
        Settings that the user gives; they count before those of a plan, and planned ones follow them.
    bundle
        Bundle that the training starts from. Its grid and window stay.
    purpose
        What the plan is made for.

    Raises
    ------
    SettingsError
        The datalist is invalid, or plan.json is damaged or was made for another one, or for another purpose.
    """
    sections = load(datalist)
    config = read_object(bundle / "configs" / "train.json")
    if (run / FILE).is_file():
        found = read_plan(run / FILE, sha256_of_file(datalist), purpose)
        _check_held_back(run / FILE, found.held_back, sections, datalist)
        edited = {
            name: value for name, value in found.settings.items() if found.reasons.get(name, [None])[0] != value
        }
        if all(found.settings.get(name) == value for name, value in given.items()):
            return found, dict(found.settings)
        count = _count(sections, found.held_back, datalist, purpose)
        return found, _settings(count, edited | dict(given), _steps(purpose), config)[0]
    hold = purpose.folds is None and not given.get("validation_phantoms")
    held = _held_back(sections, datalist) if hold else []
    settings, reasons = _settings(_count(sections, held, datalist, purpose), given, _steps(purpose), config)
    facts = _facts([case for name in SECTIONS[:2] for case in sections[name]], datalist)
    remarks = _remarks(facts, config, purpose, bool(held))
    made = Proposal(settings, reasons, facts, held, remarks, sha256_of_file(datalist), asdict(purpose))
    return made, dict(settings)


def _held_back(sections: Mapping[str, Sequence[Mapping[str, Any]]], datalist: Path) -> list[str]:
    """Return every fifth patient, at least one, if there are no cases for validation and several patients."""
    patients = sorted({patient_of(case, datalist) for case in sections["training"]})
    if sections["validation"] or len(patients) < 2:
        return []
    return patients[HELD_BACK - 1 :: HELD_BACK] or patients[-1:]


def _check_held_back(path: Path, held_back: Sequence[str], sections: Mapping[str, Any], datalist: Path) -> None:
    known = {patient_of(case, datalist) for case in sections["training"]}
    if unknown := [name for name in held_back if name not in known]:
        raise SettingsError(f"{path} holds back {shortened(unknown[0])}, of whom there is no case for training.")


def _count(
    sections: Mapping[str, Sequence[Mapping[str, Any]]], held_back: Sequence[str], datalist: Path, purpose: Purpose
) -> int:
    """Return the number of cases that are trained on, at least 1."""
    count = sum(patient_of(case, datalist) not in held_back for case in sections["training"])
    if purpose.folds:
        count = (count + len(sections["validation"])) * (purpose.folds - 1) // purpose.folds
    return max(1, count)


def _settings(
    count: int, given: Mapping[str, Any], steps: tuple[int, str], config: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, list[Any]]]:
    """Return the settings for a number of training cases, and reasons; some depend on given ones."""
    settings: dict[str, Any] = dict(given)
    reasons: dict[str, list[Any]] = {}

    def number(name: str, otherwise: int) -> int:
        found = settings.get(name, otherwise)
        return found if type(found) is int and found > 0 else otherwise  # a wrong one is refused later

    def propose(name: str, value: int, reason: str) -> int:
        if name not in given:
            settings[name], reasons[name] = value, [value, reason]
        return number(name, value)

    phantoms = number("phantoms", 0)
    batch = propose("batch_size", min(BATCH, count + phantoms), f"{BATCH}, or all cases if there are fewer")
    step = batch * number("accumulation", 1)
    wanted = -(-max(0, STEPS_OF_EPOCH * step - phantoms) // count)
    if EPOCHS not in given and wanted > 1:
        propose("repeats", wanted, f"an epoch has {STEPS_OF_EPOCH} steps or more, since each is saved and drawn")
    each = -(-(count * number("repeats", 1) + phantoms) // step)
    epochs = propose(EPOCHS, -(-steps[0] // each), f"about {steps[0]} steps, {each} an epoch: {steps[1]}")
    interval = propose("val_interval", max(1, epochs // VALIDATIONS), f"about {VALIDATIONS} validations in all")
    if "patience" in config and epochs >= 2 * PATIENCE * interval:  # bundles before 1.5.0 have none
        propose("patience", PATIENCE, f"end after {PATIENCE} validations without a better one")
    return settings, reasons


def _facts(cases: Sequence[Mapping[str, Any]], datalist: Path) -> dict[str, Any]:
    """Return numbers, spacing and sizes of cases."""
    facts: dict[str, Any] = {"cases": len(cases), "patients": len({patient_of(case, datalist) for case in cases})}
    masks = [read_mask(Path(case["label"])) for case in cases if "label" in case]
    if not masks:
        return facts
    spacing, extents = (np.array(rows) for rows in zip(*((m.spacing_mm, extent_mm(m)) for m in masks), strict=True))
    volumes = [mask.volume_ml for mask in masks]
    return facts | {
        "median_spacing_mm": np.median(spacing, axis=0).round(3).tolist(),
        "spacing_mm_range": [spacing.min(axis=0).round(3).tolist(), spacing.max(axis=0).round(3).tolist()],
        "ctv_ml_range": [round(min(volumes), 1), round(float(np.median(volumes)), 1), round(max(volumes), 1)],
        "largest_extent_mm": extents.max(axis=0).round(1).tolist(),
    }


def _remarks(facts: Mapping[str, Any], config: Mapping[str, Any], purpose: Purpose, held_back: bool) -> list[str]:
    """Return sentences on grid and window, and on what about the cases does not suit them."""
    remarks = []
    spacing_mm, window_mm = _grid(config)
    if spacing_mm:
        grid, window = (" x ".join(f"{mm:g}" for mm in lengths) for lengths in (spacing_mm, window_mm))
        remarks.append(f"Grid ({grid} mm) and window ({window} mm) are those of the start weights, and stay.")
        largest = facts.get("largest_extent_mm", [0, 0, 0])
        if any(a > b for a, b in zip(sorted(largest), sorted(window_mm), strict=True)):
            extent = " x ".join(f"{mm:g}" for mm in largest)
            remarks.append(f"The largest CTV ({extent} mm) exceeds the window: training sees parts of it.")
        if min(facts.get("median_spacing_mm", [0])) > min(spacing_mm):
            remarks.append("The images are coarser than the grid; an error of a voxel costs more than usual.")
    if held_back and not purpose.structures and facts["patients"] < FEW_PATIENTS:
        remarks.append(
            f"{facts['patients']} patients are few: scores of the held-back ones vary widely, so give --folds "
            f"{min(HELD_BACK, facts['patients'])}."
        )
    return remarks


def _grid(config: Mapping[str, Any]) -> tuple[list[float], list[float]]:
    """Return spacing and window in mm of a bundle's training; empty if they are not at the usual places."""
    try:
        spacing = next(step["spacing_mm"] for step in config["prepare"] if "spacing_mm" in step)
        return list(spacing), [mm * n for mm, n in zip(spacing, config["pad"]["spatial_size"], strict=True)]
    except (KeyError, TypeError, StopIteration, ValueError):
        return [], []
