"""Parts of an archive: each of N processes segments every Nth case and records what became of its cases."""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from jsonschema import Draft202012Validator

from ..errors import InputError, SettingsError
from ..system.atomic import made_folder
from ..system.checked_files import read_json
from ..system.json_files import write_json
from ..system.replaced import check_replaceable
from .options import Outcome

SLURM = "slurm"  # value of --part: number and count from the job array
MADE_BY = "prostate-seg segment --part"
RECORD_AGAIN_S = 30.0  # a killed part has lost the record of at most so much time
_NAME = re.compile(r"part-\d+-of-\d+\.json", re.ASCII)
_ARRAY = ("SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_MIN", "SLURM_ARRAY_TASK_COUNT")
_STEP = "SLURM_ARRAY_TASK_STEP"
_CASE = {"type": "string", "pattern": r"^(?!\.)[\w.-]+\Z", "maxLength": 100}  # a name, not a path
_WHOLE = {"type": "integer", "minimum": 0, "maximum": 1_000_000_000}
_CASES, _TEXT = {"type": "array", "items": _CASE}, {"type": "string"}
_ENTRIES = {
    **dict.fromkeys(("part", "of", "all_cases"), _WHOLE),
    **dict.fromkeys(("cases", "done"), _CASES),
    **dict.fromkeys(("all_cases_sha256", "settings_sha256"), _TEXT),
    "failed": {"type": "object", "additionalProperties": _TEXT},
}
_SCHEMA = {"type": "object", "properties": _ENTRIES, "required": list(_ENTRIES)}
Item = TypeVar("Item")


@dataclass(frozen=True)
class Part:
    """Part ``number`` (from 1) of ``of`` equal parts."""

    number: int
    of: int

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.of:
            raise SettingsError(f"--part is {self}, expected a part from 1/{self.of} to {self.of}/{self.of}.")

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    @property
    def record(self) -> str:
        """File name of the record."""
        return f"part-{self.number}-of-{self.of}.json"

    @classmethod
    def parse(cls, text: str, environment: Mapping[str, str] = os.environ) -> Part:
        """Return the part of ``K/N``, or of ``slurm``: that of this task of a Slurm job array.

        Raise SettingsError if the text, or Slurm's variables in the environment, name no part.
        """
        if text == SLURM:
            return _of_array(environment)
        found = re.fullmatch(r"([1-9]\d{0,6})/([1-9]\d{0,6})", text, re.ASCII)
        if found is None:
            raise SettingsError(f"--part is {text!r}, expected K/N with K from 1 to N, such as 2/8, or {SLURM}.")
        return cls(int(found[1]), int(found[2]))

    def share(self, items: Sequence[Item]) -> list[Item]:
        """Return every Nth item, beginning with the Kth."""
        return list(items[self.number - 1 :: self.of])


def _of_array(environment: Mapping[str, str]) -> Part:
    """Return the part of a task. The numbers of the tasks may begin with any number and have any step."""
    try:
        task, first, count = (int(environment[name]) for name in _ARRAY)
        step = int(environment.get(_STEP, "1"))
    except (KeyError, ValueError):
        raise SettingsError(
            f"--part {SLURM} needs {', '.join(_ARRAY)}; start it by sbatch --array=1-N, or give --part K/N."
        ) from None
    place, rest = divmod(task - first, step) if step > 0 else (-1, 0)
    if rest or not 0 <= place < count:
        raise SettingsError(
            f"--part {SLURM}: the array has {count} tasks from {first}, but this is task {task}; give the array "
            "without gaps, such as --array=1-4, or give --part K/N."
        )
    if count == 1:
        raise SettingsError(
            f"--part {SLURM}: this array has the single task {task}, which would be the whole archive; to run one "
            "part again give --part K/N, for the whole archive leave --part out."
        )
    return Part(place + 1, count)


@dataclass(frozen=True)
class Record:
    """What a part was given and what became of it; the content of ``part-K-of-N.json``.

    Attributes
    ----------
    all_cases, all_cases_sha256
        Number of the cases of the whole archive, and SHA-256 of their names in order.
    settings_sha256
        SHA-256 of the settings that the results depend on.
    cases
        Names of the part's cases in order.
    done
        Names of the cases with results.
    failed
        Name and error sentence of each case that failed.
    """

    part: Part
    all_cases: int
    all_cases_sha256: str
    cases: tuple[str, ...]
    done: tuple[str, ...] = ()
    failed: Mapping[str, str] = field(default_factory=dict)
    settings_sha256: str = ""

    @classmethod
    def of(cls, part: Part, names: Sequence[str], settings: Mapping[str, Any] | None = None) -> Record:
        """Return the record of a part before its first case.

        Parameters
        ----------
        part
            The part.
        names
            Names of the cases of the whole archive.
        settings
            What the results depend on, as JSON can hold it; only its digest is kept.
        """
        digest = _sha256("\n".join(names))
        settings_digest = _sha256(json.dumps(settings or {}, sort_keys=True))
        return cls(part, len(names), digest, tuple(part.share(names)), settings_sha256=settings_digest)

    @property
    def complete(self) -> bool:
        """Whether every case of the part was attempted."""
        return len(self.done) + len(self.failed) == len(self.cases)

    def with_outcome(self, outcome: Outcome) -> Record:
        """Return the record after one more case, in place of an earlier outcome of the case."""
        name = outcome.case
        done = {*self.done} - {name} if outcome.error else {*self.done, name}
        failed = {case: error for case, error in self.failed.items() if case != name}
        if outcome.error:
            failed[name] = outcome.error
        return replace(self, done=tuple(case for case in self.cases if case in done), failed=failed)

    @classmethod
    def read(cls, path: Path) -> Record:
        """Read a record. Raise InputError if the file cannot be read or is no record."""
        try:
            record = cls._checked(read_json(path))
            if path.name != record.part.record:
                raise ValueError(f"its content is that of {record.part.record}")
            return record
        except OSError as error:
            raise InputError(f"{path} cannot be read ({error.strerror}); check its permissions.") from error
        except ValueError as error:
            raise InputError(
                f"{path} is no record of {MADE_BY} ({error}); remove it and run the part again."
            ) from error

    @classmethod
    def _checked(cls, content: Any) -> Record:
        """Return the record of a file's content. Raise ValueError with a clause."""
        if not isinstance(content, dict) or content.get("made_by") != MADE_BY:
            raise ValueError("something else made it")
        if not Draft202012Validator(_SCHEMA).is_valid(content):
            raise ValueError("an entry is missing or not as expected")
        count, cases, done, failed = (content[name] for name in ("all_cases", "cases", "done", "failed"))
        part = Part(int(content["part"]), int(content["of"]))
        share = len(range(int(count))[part.number - 1 :: part.of])
        contrary = len({*cases}) < len(cases) or {*done} & {*failed} or not {*done, *failed} <= {*cases}
        if contrary or len(cases) != share:
            raise ValueError("its cases contradict each other")
        digests = content["all_cases_sha256"], content["settings_sha256"]
        return cls(part, int(count), digests[0], tuple(cases), tuple(done), failed, digests[1])

    def write(self, folder: Path) -> None:
        """Write the record into the folder of the results. Raise OutputError if it cannot be written."""
        content = {
            "made_by": MADE_BY,
            "part": self.part.number,
            "of": self.part.of,
            "all_cases": self.all_cases,
            "all_cases_sha256": self.all_cases_sha256,
            "settings_sha256": self.settings_sha256,
            "complete": self.complete,
            "cases": self.cases,
            "done": self.done,
            "failed": self.failed,
        }
        write_json(made_folder(folder) / self.part.record, content)


def records_in(folder: Path) -> list[Record]:
    """Return the records in a folder. Raise InputError if one of them cannot be read."""
    return [Record.read(path) for path in sorted(folder.iterdir()) if is_record(path.name)]


def is_record(name: str) -> bool:
    """Return whether a file name is that of a record."""
    return _NAME.fullmatch(name) is not None


def check_record(folder: Path, part: Part) -> None:
    """Raise OutputError if the record would replace a file that this package did not write."""
    check_replaceable(folder, {part.record: MADE_BY})


def recorded(outcomes: Generator[Outcome], record: Record, folder: Path) -> Generator[Outcome]:
    """Pass the outcomes of a part on, and write its record: after the first, every 30 s, and when they end.

    An earlier record of the same part, cases and settings is continued: a case keeps its entry until it is
    attempted again. Nothing is written if the part has cases but none was attempted.
    """
    record, attempted, written_s = _continued(record, folder), False, float("-inf")
    try:
        with closing(outcomes):
            for outcome in outcomes:
                record, attempted = record.with_outcome(outcome), True
                if time.monotonic() - written_s > RECORD_AGAIN_S:
                    record.write(folder)
                    written_s = time.monotonic()
                yield outcome
    finally:
        if attempted or not record.cases:
            record.write(folder)


def _continued(record: Record, folder: Path) -> Record:
    """Return the earlier record in the folder if it is one of the same part, cases and settings."""
    try:
        earlier = Record.read(folder / record.part.record)
    except InputError:
        return record
    return earlier if replace(earlier, done=(), failed={}) == record else record


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
