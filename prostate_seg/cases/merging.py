"""Merging the parts of an archive: the results of every case in one folder, and what is missing."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

from ..errors import InputError, OutputError
from ..system.atomic import check_free, replacing_folder
from ..system.json_files import write_json
from ..system.replaced import check_replaceable
from ..writing.manifest import DIGESTS, Manifest
from .earlier_results import segmented_manifest
from .options import Outcome
from .parts import Part, Record, check_record, records_in

MERGED = "merged.json"
MADE_BY = "prostate-seg merge"
_AGAIN = "run it again with --skip-existing"


@dataclass(frozen=True)
class Placed:
    """A record and the folder that holds it and the results of its part."""

    record: Record
    folder: Path

    @cached_property
    def done(self) -> frozenset[str]:
        """Names of the cases with results."""
        return frozenset(self.record.done)


@dataclass(frozen=True)
class Parts:
    """The parts of one run over an archive: their records, sorted by part, at most one of each part."""

    placed: tuple[Placed, ...]

    @property
    def of(self) -> int:
        """Number of parts of the run."""
        return self.placed[0].record.part.of

    @property
    def missing(self) -> list[Part]:
        """Parts without a record."""
        there = {placed.record.part.number for placed in self.placed}
        return [Part(number, self.of) for number in range(1, self.of + 1) if number not in there]

    @cached_property
    def cases(self) -> dict[str, list[Placed]]:
        """The cases in the order of the archive, each with the records that list it (one, if all is well)."""
        listed = [
            (row, placed.record.part.number, name, placed)
            for placed in self.placed
            for row, name in enumerate(placed.record.cases)
        ]
        found: dict[str, list[Placed]] = {}
        for _, _, name, placed in sorted(listed, key=lambda entry: entry[:3]):
            found.setdefault(name, []).append(placed)
        return found

    def remarks(self) -> Iterator[str]:
        """Yield a sentence for each reason why the merged results are incomplete, failed cases excepted."""
        for part in self.missing:
            yield f"part {part} is missing: there is no {part.record}; run segment --part {part}."
        archives = {(placed.record.all_cases_sha256, placed.record.all_cases) for placed in self.placed}
        if len(archives) > 1:
            counts = " and ".join(str(count) for count in sorted(count for _, count in archives))
            yield f"the parts saw different archives (of {counts} cases); run each again with --skip-existing."
        for name, places in self.cases.items():
            if len(places) > 1:
                parts = " and ".join(str(placed.record.part) for placed in places)
                yield f"{name} is in the parts {parts}; its results in {places[0].folder} are taken if done there."


def found_parts(folders: Sequence[Path]) -> Parts:
    """Read the records of the parts in the folders.

    Raises InputError if a folder does not exist, if none holds a record, or if the records are of several runs.
    """
    placed: list[Placed] = []
    for folder in dict.fromkeys(path.resolve() for path in folders):
        if not folder.is_dir():
            raise InputError(f"{folder} is no folder, expected the results of segment --part; check the path.")
        placed += [Placed(record, folder) for record in records_in(folder)]
    if not placed:
        names = ", ".join(map(str, folders[:3]))
        raise InputError(
            f"{names}: no part-K-of-N.json, expected the results of segment --part; a whole run needs no merge."
        )
    counts = sorted({one.record.part.of for one in placed})
    if len(counts) > 1:
        raise InputError(
            f"The records are of runs with {' and '.join(map(str, counts))} parts, expected one run; remove the "
            f"part-*-of-{counts[0]}.json or the others."
        )
    placed.sort(key=lambda one: one.record.part.number)
    for one, other in pairwise(placed):
        if one.record.part == other.record.part:
            raise InputError(
                f"Part {one.record.part} has a record in {one.folder} and in {other.folder}, expected one; leave "
                "one of the folders out."
            )
    return Parts(tuple(placed))


def check_output(output: Path, parts: Parts) -> None:
    """Raise OutputError if a file in the output folder would be lost."""
    check_replaceable(output, {MERGED: MADE_BY})
    for placed in parts.placed:
        check_record(output, placed.record.part)


def merged(parts: Parts, output: Path) -> Iterator[Outcome]:
    """Yield the outcome of every case, in the order of the archive; copy its folder unless it is in ``output``.

    A copied folder is there completely or not at all. A folder that is there already is kept if it holds the same
    result. A case whose results in two parts differ counts as failed.
    """
    for name, places in parts.cases.items():
        try:
            yield _merged_case(name, places, output)
        except OutputError as error:
            yield Outcome(name, error=f"{name}: {error}")
    for placed in parts.placed:
        if placed.folder != output.resolve():
            placed.record.write(output)


def _merged_case(name: str, places: Sequence[Placed], output: Path) -> Outcome:
    found = [
        (placed.folder, manifest)
        for placed in places
        if name in placed.done and (manifest := segmented_manifest(placed.folder / name))
    ]
    if not found:
        return Outcome(name, error=f"{name}: {_reason(name, places[0])}")
    folder, manifest = found[0]
    if any(_without_times(other) != _without_times(manifest) for _, other in found):
        twice = " and ".join(str(folder) for folder, _ in found)
        return Outcome(name, error=f"{name}: its results in {twice} differ; remove one of them.")
    target = output / name
    if folder != output.resolve() and segmented_manifest(target) != manifest:
        check_free(target)
        with replacing_folder(target, tidy=False) as partial:
            shutil.copytree(folder / name, partial, dirs_exist_ok=True)
    return Outcome(name, target, manifest)


def _without_times(manifest: Manifest) -> dict[str, Any]:
    """Return the manifest without run times, and without the digests of files that may hold them."""
    return {entry: value for entry, value in manifest.items() if entry not in ("timing_s", DIGESTS)}


def _reason(name: str, placed: Placed) -> str:
    """Return why a case has no results."""
    record = placed.record
    if name in record.failed:
        return record.failed[name].removeprefix(f"{name}: ")
    if name in placed.done:
        return f"part {record.part} finished it, but its results are not in {placed.folder}; {_AGAIN}."
    return f"part {record.part} ended before it was done; {_AGAIN}."


def mixture(manifests: Mapping[str, Manifest]) -> Iterator[str]:
    """Yield a sentence if the cases were not all made with the same bundle, or with the same software."""
    for entry, text in (("bundle", "bundles"), ("versions", "versions of the software")):
        count = len({repr(manifest.get(entry)) for manifest in manifests.values()})
        if count > 1:
            yield f"the cases were made with {count} different {text}; each manifest.json names its own."


def write_merged(output: Path, parts: Parts, outcomes: Sequence[Outcome]) -> Path:
    """Write ``merged.json``: the parts, and the error and manifest of each case. Return its path."""
    cases = [{"case": one.case, "error": one.error or None, "manifest": one.manifest} for one in outcomes]
    missing = [part.number for part in parts.missing]
    write_json(output / MERGED, {"made_by": MADE_BY, "parts": parts.of, "missing_parts": missing, "cases": cases})
    return output / MERGED
