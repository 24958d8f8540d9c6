"""Merging the parts of an archive: the results of every case in one folder, and what is missing."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

from ..errors import InputError, OutputError
from ..system.atomic import made_folder, reason_of, replacing_folder
from ..system.half_written import remove_abandoned
from ..system.json_files import write_json
from ..system.replaced import check_replaceable
from ..writing.manifest import DIGESTS, Manifest
from .earlier_results import checked_files, is_replaceable_result, segmented_manifest
from .options import Outcome
from .parts import Part, Record, check_record, is_record, records_in

MERGED = "merged.json"
REVIEW = ("review.csv", "review.html")
MADE_BY = "prostate-seg merge"
MOST_NAMED = 20  # missing parts with a line of their own
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

    def result(self, name: str) -> Manifest | None:
        """Return the manifest of a case, or None if the part has no results of it."""
        return segmented_manifest(self.folder / name) if name in self.done else None

    def reason(self, name: str) -> str:
        """Return why a case has no results."""
        if name in self.record.failed:
            return self.record.failed[name].removeprefix(f"{name}: ")
        if name in self.done:
            return f"part {self.record.part} finished it, but its results are not in {self.folder}; {_AGAIN}."
        return f"part {self.record.part} ended before it was done; {_AGAIN}."


@dataclass(frozen=True)
class Parts:
    """The parts of one run over an archive: their records, sorted by part, at most one of each part."""

    placed: tuple[Placed, ...]

    @property
    def of(self) -> int:
        """Number of parts of the run."""
        return self.placed[0].record.part.of

    @cached_property
    def missing(self) -> list[int]:
        """Numbers of the parts without a record."""
        there = {placed.record.part.number for placed in self.placed}
        return [number for number in range(1, self.of + 1) if number not in there]

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
        for part in (Part(number, self.of) for number in self.missing[:MOST_NAMED]):
            yield f"part {part} is missing: there is no {part.record}; run segment --part {part}."
        if len(self.missing) > MOST_NAMED:
            yield f"{len(self.missing) - MOST_NAMED} more parts are missing; {MERGED} lists them."
        archives = {(placed.record.all_cases_sha256, placed.record.all_cases) for placed in self.placed}
        if len(archives) > 1:
            counts = " and ".join(str(count) for count in sorted(count for _, count in archives))
            yield f"the parts saw different archives (of {counts} cases); run each again with --skip-existing."
        if len({placed.record.settings_sha256 for placed in self.placed}) > 1:
            yield (
                "the parts were made with different settings (formats, ensembling, structures, bundle ...); run "
                "them again with equal ones and --overwrite."
            )
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
    """Yield the outcome of every case, in the order of the archive; copy its results unless they are in ``output``.

    The copied results are there completely or not at all. What an earlier merge copied is kept if it is the same
    but for times, and replaced if nobody changed it. A case whose results in two parts differ counts as failed.
    """
    remove_abandoned(output, parts.cases)
    for name, places in parts.cases.items():
        try:
            yield _merged_case(name, places, output)
        except OSError as error:  # also OutputError
            told = (
                str(error)
                if isinstance(error, OutputError)
                else f"its results cannot be read ({reason_of(error)})."
            )
            yield Outcome(name, error=f"{name}: {told}")
    for placed in parts.placed:
        if placed.folder != output.resolve():
            placed.record.write(output)


def _merged_case(name: str, places: Sequence[Placed], output: Path) -> Outcome:
    if name.casefold() in (MERGED, *REVIEW) or is_record(name):
        raise OutputError("this name is that of a file of merge; rename the image and segment it again.")
    found = [(placed.folder, result) for placed in places if (result := placed.result(name))]
    if not found:
        raise OutputError(places[0].reason(name))
    folder, manifest = found[0]
    if any(_without_times(other) != _without_times(manifest) for _, other in found):
        raise OutputError(
            f"its results in {' and '.join(str(one) for one, _ in found)} differ; remove one of them."
        )
    files = checked_files(folder / name, manifest)
    target = output / name
    if folder == output.resolve():
        return Outcome(name, target, manifest)
    earlier = segmented_manifest(target)
    if earlier and _without_times(earlier) == _without_times(manifest) and _is_whole(target, earlier):
        return Outcome(name, target, earlier)
    with replacing_folder(target, may_replace=is_replaceable_result, tidy=False) as partial:
        for file in files:
            made_folder((partial / file).parent)
            shutil.copyfile(folder / name / file, partial / file)
    return Outcome(name, target, manifest)


def _is_whole(folder: Path, manifest: Manifest) -> bool:
    try:
        return bool(checked_files(folder, manifest))
    except OutputError:
        return False


def _without_times(manifest: Manifest) -> dict[str, Any]:
    """Return the manifest without run times, and without the digests of pages, which show them."""
    digests = {file: digest for file, digest in manifest.get(DIGESTS, {}).items() if not file.endswith(".html")}
    return {**manifest, "timing_s": None, DIGESTS: digests}


def mixture(manifests: Mapping[str, Manifest], entry: Literal["bundle", "versions"]) -> Iterator[str]:
    """Yield a sentence if the cases differ in the bundle, or in the versions of the software."""
    count = len({repr(manifest.get(entry)) for manifest in manifests.values()})
    if count > 1:
        what = {"bundle": "bundles", "versions": "versions of the software"}[entry]
        yield f"the cases were made with {count} different {what}; each manifest.json names its own."


def write_merged(output: Path, parts: Parts, outcomes: Sequence[Outcome]) -> Path:
    """Write ``merged.json``: the parts, and the error and manifest of each case. Return its path."""
    cases = [{"case": one.case, "error": one.error or None, "manifest": one.manifest} for one in outcomes]
    summary = {"made_by": MADE_BY, "parts": parts.of, "missing_parts": parts.missing, "cases": cases}
    write_json(output / MERGED, summary)
    return output / MERGED
