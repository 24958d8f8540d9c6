"""The file ``plan.json`` of a run: settings of a training with their reasons, written once and read as edited."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..errors import SettingsError
from ..system.atomic import made_folder
from ..system.checked_files import read_json, shortened
from ..system.json_files import write_json
from .datalist import load, patient_of
from .plan import SETTINGS

FILE, OWN_DATALIST = "plan.json", "plan_datalist.json"  # in the folder of the run


@dataclass(frozen=True)
class Purpose:
    """What a plan is made for.

    Attributes
    ----------
    trained
        Whether the training starts from trained weights.
    structures
        Whether structures beside the CTV are learnt.
    folds
        Number of members of an ensemble, or None.
    """

    trained: bool = True
    structures: bool = False
    folds: int | None = None


@dataclass(frozen=True)
class Proposal:
    """Settings of a training that were found from its cases.

    Attributes
    ----------
    settings
        Values by their names in train.json.
    reasons
        Of each planned setting its value and a sentence.
    cases
        Facts about the cases: numbers, spacing, sizes.
    held_back
        Patients of the training cases that are used for validation, because the datalist has no cases for it.
    remarks
        Sentences about grid and window, and about cases that do not suit them.
    datalist_sha256
        Digest of the datalist.
    purpose
        What the plan is made for.
    """

    settings: dict[str, Any]
    reasons: dict[str, list[Any]]
    cases: dict[str, Any]
    held_back: list[str]
    remarks: list[str]
    datalist_sha256: str
    purpose: dict[str, Any]

    def lines(self, settings: Mapping[str, Any]) -> Iterator[str]:
        """Yield a line for each setting, with its reason if it is as planned."""
        for name, value in sorted(settings.items()):
            planned, reason = self.reasons.get(name, (None, ""))
            yield f"{name} = {shortened(value)}: {reason if planned == value and reason else 'given'}"
        if self.held_back:
            yield f"held back for validation, by patient: {', '.join(map(shortened, self.held_back))}"
        yield from self.remarks

    @contextmanager
    def written(self, run: Path, datalist: Path) -> Iterator[Path]:
        """Write plan.json into the folder of a run, unless it is there. Yield the datalist to train with.

        It is the given one, or one in the run with patients held back. If the training is refused before it has
        begun, new files are removed again.
        """
        existed, new = run.is_dir(), []
        made_folder(run)
        own = run / OWN_DATALIST if self.held_back else datalist
        if not (run / FILE).exists():
            new.append(run / FILE)
            write_json(run / FILE, asdict(self))
        if self.held_back:
            new += [] if own.exists() else [own]
            write_json(own, _parted(datalist, self.held_back))
        try:
            yield own
        except BaseException:
            if not any(True for place in (".", "fold-*") for _ in run.glob(f"{place}/{SETTINGS}")):
                for file in new:
                    file.unlink(missing_ok=True)
                if not existed:
                    with suppress(OSError):
                        run.rmdir()
            raise


def reasons_in(run: Path) -> dict[str, list[Any]]:
    """Return the reasons in plan.json of a run, or of the run of its folds; empty without a plan."""
    for folder in (run, run.parent):
        if (folder / FILE).is_file():
            with suppress(SettingsError):
                return _checked(folder / FILE).reasons
    return {}


def read_plan(path: Path, digest: str, purpose: Purpose) -> Proposal:
    """Read plan.json. Raise SettingsError if it is damaged, or was made for other cases or another purpose."""
    found = _checked(path)
    if found.datalist_sha256 != digest:
        raise SettingsError(f"{path} was made for another datalist; give that one, or remove the plan.")
    if found.purpose != asdict(purpose):
        told = ", ".join(f"{name} {value}" for name, value in found.purpose.items())
        raise SettingsError(
            f"{path} was made for another training ({told:.200}); give that again, or remove the plan."
        )
    return found


def _checked(path: Path) -> Proposal:
    """Read a plan that may have been edited, or come from somebody else: only plain values are accepted."""
    try:
        found = Proposal(**read_json(path))
    except (OSError, ValueError, TypeError) as error:
        raise SettingsError(f"{path} is no plan of this program; correct it, or remove it.") from error
    if not (
        all(isinstance(part, dict) for part in (found.settings, found.reasons, found.cases, found.purpose))
        and all(isinstance(why, list) and len(why) == 2 for why in found.reasons.values())
        and all(isinstance(part, list) and all(map(_is_text, part)) for part in (found.held_back, found.remarks))
    ):
        raise SettingsError(f"{path} is no plan of this program; correct it, or remove it.")
    for name, value in found.settings.items():
        if not all(map(_is_plain, value if isinstance(value, list) else [value])):
            raise SettingsError(f"{path} gives {shortened(value)} as {name}, expected a number, a word or a list.")
    return found


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_plain(value: Any) -> bool:
    """Return whether MONAI would take a value as it is, without evaluating or building anything."""
    if isinstance(value, str):
        return not any(sign in value for sign in "$@%#")
    return value is None or isinstance(value, bool | int | float)


def _parted(datalist: Path, held_back: Sequence[str]) -> dict[str, Any]:
    sections = load(datalist)
    content: dict[str, Any] = {"training": [], "validation": [], "testing": sections["testing"]}
    for case in sections["training"]:
        content["validation" if patient_of(case, datalist) in held_back else "training"].append(case)
    return content
