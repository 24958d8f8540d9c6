"""Proposal of a training's settings from its cases, with a reason for each: ``plan.json`` of a run.

The file can be read and edited before the training starts. What the command line gives counts before it. The rules
were measured on real cases (docs/own-data.md).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import SettingsError
from ..geometry.extent import extent_mm
from ..inference.settings import read_json as read_object
from ..reading.masks import read_mask
from ..system.atomic import made_folder
from ..system.checked_files import read_json
from ..system.digests import sha256_of_file
from ..system.json_files import write_json
from .datalist import SECTIONS, load
from .plan import EPOCHS, is_begun

FILE, OWN_DATALIST = "plan.json", "datalist.json"  # in the folder of the run
BATCH = 4
STEPS, STEPS_OF_STRUCTURES, STEPS_FROM_NOTHING = 600, 2000, 4000
VALIDATIONS, PATIENCE = 12, 5
GIVEN = "given"
FEW_PATIENTS = 10
FOLDS = 5  # without cases for validation, every fifth patient is held back
_ENTRIES = ("datalist_sha256", "cases", "settings", "reasons", "held_back", "remarks")


@dataclass(frozen=True)
class Proposal:
    """Settings of a training that were found from its cases.

    Attributes
    ----------
    settings
        Values by their names in train.json.
    reasons
        A sentence for each setting.
    cases
        Facts about the cases: numbers, spacing, sizes.
    held_back
        Patients of the training cases that are used for validation, because the datalist has no cases for it.
    remarks
        Sentences about grid and window, and about cases that do not suit them.
    datalist_sha256
        Digest of the datalist.
    """

    settings: dict[str, Any]
    reasons: dict[str, str]
    cases: dict[str, Any]
    held_back: list[str]
    remarks: list[str]
    datalist_sha256: str

    @contextmanager
    def written(self, run: Path, datalist: Path) -> Iterator[Path]:
        """Write plan.json into the folder of a run. Yield the datalist to train with.

        It is the given one, or one in the run with patients held back. If the training is refused before it has
        begun, the files are removed again.
        """
        existed, files = run.is_dir(), [run / FILE, *([run / OWN_DATALIST] if self.held_back else [])]
        new = [file for file in files if not file.exists()]
        made_folder(run)
        write_json(run / FILE, {name: getattr(self, name) for name in _ENTRIES})
        if self.held_back:
            write_json(run / OWN_DATALIST, self._parted(datalist))
        try:
            yield files[-1] if self.held_back else datalist
        except BaseException:
            if not is_begun(run):
                for file in new:
                    file.unlink(missing_ok=True)
                if not existed:
                    with suppress(OSError):
                        run.rmdir()
            raise

    def _parted(self, datalist: Path) -> dict[str, Any]:
        sections = load(datalist)
        held = [case for case in sections["training"] if _patient(case) in self.held_back]
        kept = [case for case in sections["training"] if _patient(case) not in self.held_back]
        return {"training": kept, "validation": held, "testing": sections["testing"]}


def steps_needed(*, trained: bool, structures: bool) -> tuple[int, str]:
    """Return the number of steps of a training, and the reason.

    Parameters
    ----------
    trained
        Whether it starts from trained weights.
    structures
        Whether structures beside the CTV are learnt.
    """
    if not trained:
        return STEPS_FROM_NOTHING, "random weights learn slowly"
    if structures:
        return STEPS_OF_STRUCTURES, "the structures are learnt anew (a guess, not measured)"
    return STEPS, "from trained weights the validation hardly changes after that"


def proposal(
    datalist: Path, run: Path, given: Mapping[str, Any], *, bundle: Path, steps: tuple[int, str], folds: bool
) -> Proposal:
    """Return the proposal in the folder of a run, or make one from the cases of a datalist.

    Parameters
    ----------
    datalist
        Path of the datalist.
    run
        Folder of the run. A plan.json in it is read, as somebody may have edited it.
    given
        Settings that the user gives; they count before those of a plan.json.
    bundle
        Bundle that the training starts from. Its grid and window stay.
    steps
        Result of :func:`steps_needed`.
    folds
        Whether the cases are divided into folds, so that none needs to be held back.

    Raises
    ------
    SettingsError
        The datalist is invalid, or plan.json is damaged or was made for another one.
    """
    digest = sha256_of_file(datalist) if datalist.is_file() else ""
    sections = load(datalist)
    if (run / FILE).is_file():
        found = _read(run / FILE, digest)
        changed = {name for name, value in given.items() if found.settings.get(name) != value}
        reasons = found.reasons | dict.fromkeys(changed, GIVEN)
        return replace(found, settings=found.settings | dict(given), reasons=reasons)
    held = [] if folds or given.get("validation_phantoms") else _held_back(sections)
    cases = [case for name in SECTIONS[:2] for case in sections[name]]
    count = len(cases) * (FOLDS - 1) // FOLDS if folds else len(sections["training"])
    count -= sum(_patient(case) in held for case in sections["training"])
    settings, reasons = _settings(max(1, count), given, steps)
    facts = _facts(cases)
    remarks = _remarks(facts, *_grid(bundle)) if "largest_extent_mm" in facts else []
    return Proposal(settings, reasons, facts, held, remarks, digest)


def _patient(case: Mapping[str, Any]) -> str:
    return str(case.get("patient", case["image"]))


def _held_back(sections: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[str]:
    """Return every fifth patient, at least one, if there are no cases for validation and several patients."""
    patients = sorted({_patient(case) for case in sections["training"]})
    if sections["validation"] or len(patients) < 2:
        return []
    return patients[FOLDS - 1 :: FOLDS] or patients[-1:]


def _settings(
    count: int, given: Mapping[str, Any], steps: tuple[int, str]
) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the settings for a number of training cases, and their reasons; some depend on given ones."""
    settings, reasons = dict(given), dict.fromkeys(given, GIVEN)

    def propose(name: str, value: int, reason: str) -> int:
        if name not in given:
            settings[name], reasons[name] = value, reason
        found = settings[name]
        return found if type(found) is int and found > 0 else value  # a wrong one is refused later

    repeats = given.get("repeats", 1)
    count *= repeats if type(repeats) is int and repeats > 0 else 1
    phantoms = given.get("phantoms", 0)
    count += phantoms if type(phantoms) is int and phantoms > 0 else 0
    batch = propose("batch_size", min(BATCH, count), f"{BATCH}, or all cases if there are fewer")
    each = -(-count // batch)
    about = f"about {steps[0]} steps, of which an epoch has {each}: {steps[1]}"
    epochs = propose(EPOCHS, -(-steps[0] // each), about)
    about = f"about {VALIDATIONS} validations in the whole training"
    interval = propose("val_interval", max(1, epochs // VALIDATIONS), about)
    if epochs >= 2 * PATIENCE * interval:
        propose("patience", PATIENCE, f"end after {PATIENCE} validations without a better one")
    return settings, reasons


def _facts(cases: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return numbers, spacing and sizes of cases."""
    facts: dict[str, Any] = {"cases": len(cases), "patients": len({_patient(case) for case in cases})}
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


def _grid(bundle: Path) -> tuple[list[float], list[float]]:
    """Return spacing and window in mm of a bundle's training; empty if they are not at the usual places."""
    config = read_object(bundle / "configs" / "train.json")
    try:
        spacing = next(step["spacing_mm"] for step in config["prepare"] if "spacing_mm" in step)
        return list(spacing), [mm * n for mm, n in zip(spacing, config["pad"]["spatial_size"], strict=True)]
    except (KeyError, TypeError, StopIteration, ValueError):
        return [], []


def _remarks(facts: Mapping[str, Any], spacing_mm: Sequence[float], window_mm: Sequence[float]) -> list[str]:
    """Return sentences on grid and window, and on what about the cases does not suit them."""
    remarks = []
    if spacing_mm:
        grid, window = (" x ".join(f"{mm:g}" for mm in lengths) for lengths in (spacing_mm, window_mm))
        remarks.append(f"Grid ({grid} mm) and window ({window} mm) are those of the start weights, and stay.")
        largest = facts["largest_extent_mm"]
        if any(a > b for a, b in zip(sorted(largest), sorted(window_mm), strict=True)):
            extent = " x ".join(f"{mm:g}" for mm in largest)
            remarks.append(f"The largest CTV ({extent} mm) exceeds the window: training sees parts of it.")
        if min(facts["median_spacing_mm"]) > min(spacing_mm):
            remarks.append("The images are coarser than the grid; an error of a voxel costs more than usual.")
    if facts["patients"] < FEW_PATIENTS:
        remarks.append(
            f"{facts['patients']} patients are few: scores of the held-back ones vary widely, so give --folds "
            f"{min(FOLDS, facts['patients'])}."
        )
    return remarks


def reasons_in(run: Path) -> dict[str, str]:
    """Return the reasons in plan.json of a run, or of the run of its folds; empty without a plan."""
    for folder in (run, run.parent):
        if (folder / FILE).is_file():
            with suppress(SettingsError):
                return dict(_read(folder / FILE, None).reasons)
    return {}


def _read(path: Path, digest: str | None) -> Proposal:
    try:
        content = read_json(path)
        found = Proposal(**{name: content[name] for name in _ENTRIES})
        json.dumps(found.settings)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise SettingsError(f"{path} is no plan of this program ({error}); correct it, or remove it.") from error
    if not isinstance(found.settings, dict) or not isinstance(found.held_back, list):
        raise SettingsError(f"{path} is no plan of this program; correct it, or remove it.")
    if digest is not None and found.datalist_sha256 != digest:
        raise SettingsError(f"{path} was made for another datalist; give that one, or remove the plan.")
    return found
