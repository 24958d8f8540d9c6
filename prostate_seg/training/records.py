"""What a folder of prepared cases remembers: the files each case was made of, its patients, and their split."""

from __future__ import annotations

import hmac
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import OutputError
from ..system.atomic import reason_of
from ..system.checked_files import read_json
from ..system.digests import sha256_of_file
from ..system.json_files import write_json
from .split import Split

RECORDS, PATIENTS, SPLIT = "records", "patients.json", "split.json"


@dataclass(frozen=True, repr=False)
class Known:
    """Cases and patients of earlier runs.

    Attributes
    ----------
    cases
        Name and patient of each case, by the key of its image.
    patients
        Pseudonyms by the keyed digest of the Patient ID: without the key, an ID cannot be guessed from it.
    secret
        The key of these digests.
    """

    cases: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    patients: Mapping[str, str] = field(default_factory=dict)
    secret: bytes = field(default_factory=lambda: secrets.token_bytes(32))

    def digest(self, person: str) -> str:
        """Return the keyed digest (HMAC-SHA-256) of a Patient ID as hexadecimal digits."""
        return hmac.new(self.secret, person.encode(), "sha256").hexdigest()


def known_in(output: Path) -> Known:
    """Return what a folder knows of earlier runs. Raise OutputError if its file of patients is damaged."""
    cases = {record["key"]: (name, record["entry"]["patient"]) for name, record in records_in(output).items()}
    if not (output / PATIENTS).exists():
        return Known(cases)
    try:
        content = read_json(output / PATIENTS)
        return Known(cases, dict(content["patients"]), bytes.fromhex(content["secret"]))
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise _damaged(output / PATIENTS, error) from error


def remember(output: Path, people: Mapping[str, str]) -> None:
    """Keep the pseudonyms of Patient IDs for later runs. Raise OutputError."""
    if people:
        known = known_in(output)
        patients = {**known.patients, **{known.digest(person): name for person, name in people.items()}}
        write_json(output / PATIENTS, {"secret": known.secret.hex(), "patients": patients})


def split_in(output: Path) -> Split:
    """Return the split of patients of the last run. Raise OutputError if its file is damaged."""
    if not (output / SPLIT).exists():
        return Split()
    try:
        content = read_json(output / SPLIT)
        return Split(int(content["every"]), frozenset(content["training"]), frozenset(content["validation"]))
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise _damaged(output / SPLIT, error) from error


def write_split(output: Path, parts: Split) -> None:
    """Write the split of patients for later runs. Raise OutputError."""
    content = {"training": sorted(parts.training), "validation": sorted(parts.validation)}
    write_json(output / SPLIT, {"every": parts.every, **content})


def records_in(output: Path) -> dict[str, Any]:
    """Return the records of finished cases by name; one that is damaged is left out."""
    paths = sorted((output / RECORDS).glob("*.json")) if (output / RECORDS).is_dir() else []
    return {path.stem: record for path in paths if (record := record_of(path))}


def record_of(path: Path) -> dict[str, Any]:
    """Return the record of a case; empty if there is none, or if it is damaged."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        if {"key", "made_of", "entry", "files"} <= set(record) and "patient" in record["entry"]:
            return dict(record)
    except (OSError, ValueError, TypeError):
        pass
    return {}


def remove_case(output: Path, name: str, record: Mapping[str, Any]) -> None:
    """Delete the record and the files of a case; the record first, so that an interruption leaves no half case."""
    (output / RECORDS / f"{name}.json").unlink(missing_ok=True)
    for file in record.get("files", ()):
        (output / file).unlink(missing_ok=True)


def is_complete(output: Path, record: Mapping[str, Any]) -> bool:
    """Return whether all files of a case are as they were written."""
    return bool(record["files"] == digests_in(output, record["files"]))


def digests_in(output: Path, files: Mapping[str, str] | list[str]) -> dict[str, str]:
    """Return the SHA-256 of files by name; those that are not there are left out."""
    return {file: sha256_of_file(output / file) for file in files if (output / file).is_file()}


def _damaged(path: Path, error: Exception) -> OutputError:
    why = reason_of(error) if isinstance(error, OSError) else "it is damaged"
    return OutputError(f"{path} cannot be read ({why}); restore it, or delete it to go on without what it knew.")
