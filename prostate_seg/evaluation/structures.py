"""Evaluation of several structures: every metric for each of them, and panoptic quality over all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError, ProstateSegError
from ..geometry.structures import key, structure
from ..reading.masks import read_mask, structure_names
from ..system.atomic import made_folder
from ..system.csv_files import write_rows
from ..system.json_files import write_json
from ..system.replaced import check_replaceable
from .case import CaseResult, measured
from .folders import paired, results_of
from .masks_of_pair import several_masks
from .metrics import Panoptic
from .pairs import Pair
from .tables import COLUMNS, INTERVAL, qualities, summaries_as_json, summaries_of
from .things import Matches, evaluate_things, things_as_json

TABLE, DOCUMENT = "structures.csv", "structures.json"
_MARKS = {TABLE: "case,structure,dice", DOCUMENT: '"panoptic_over_all"'}


@dataclass(frozen=True)
class StructureResults:
    """Results of several structures.

    Attributes
    ----------
    results
        One result for each case, by the name of the structure.
    notes
        Remarks: structures that exclude each other and overlap, that no case has, and things that cannot be read.
    things
        Matches of needles and seeds (:func:`.evaluate_things`).
    """

    results: Mapping[str, list[CaseResult]]
    notes: tuple[str, ...] = ()
    things: Matches = field(default_factory=dict)

    def panoptic(self, name: str) -> Panoptic:
        """Return the counts of a structure over the cases; a structure of a case is one segment."""
        return sum((one.whole for one in self.results[name] if one.whole is not None), Panoptic())

    def over_all(self) -> dict[str, float | None]:
        """Return PQ, SQ and RQ over all structures: the means of the structures that have a segment.

        As in the paper, each quality is averaged over the structures.
        """
        found = [qualities(self.panoptic(name)) for name in self.results]
        columns = {name: [one[name] for one in found] for name in qualities(Panoptic())}
        known = {name: [value for value in column if value is not None] for name, column in columns.items()}
        return {name: sum(values) / len(values) if values else None for name, values in known.items()}


def evaluate_structures(
    predictions: str | Path,
    references: str | Path,
    names: Sequence[str] = (),
    *,
    patients: Mapping[str, str] | None = None,
    resample: bool = False,
    jobs: int | None = 1,
) -> StructureResults:
    """Evaluate several structures of masks against those of reference masks of the same name.

    Files with several structures are ``.seg.nrrd``, DICOM Segmentations, structure sets and panoptic maps. A
    structure that the prediction lacks counts as missed: an empty mask. One that the reference lacks is a result
    with an error, because its truth is unknown.

    Parameters
    ----------
    predictions, references, patients, resample, jobs
        As for :func:`.evaluate_folders`; there is one reference.
    names
        Names of the structures. Empty: all that the references have.

    Raises
    ------
    InputError
        There is nothing to compare, or no reference names its structures.
    """
    pairs = [pair for pair in paired(predictions, references, patients=patients) if _is_whole(pair)]
    if not pairs:
        raise InputError(f"No case of {predictions} has exactly one mask in {references}; give matching names.")
    there = [(_names(pair.predictions[0]), _names(pair.references[0])) for pair in pairs]
    known = {key(name): name for _, expected in there for name in expected}
    things, unread = evaluate_things(predictions, references, names)
    if not known and not things:
        raise InputError(
            f"No mask in {references} names its structures; give .seg.nrrd, a DICOM Segmentation or a structure "
            "set."
        )
    wanted = [known.get(key(name), name) for name in names] or list(known.values())
    results, notes = {}, unread
    for name in dict.fromkeys(wanted):
        shown = [key(name) in {key(one) for one in [*found, *expected]} for found, expected in there]
        cases = [pair for pair, here in zip(pairs, shown, strict=True) if here]
        if not cases:
            if key(name) not in map(key, things):
                notes.append(f"No case has the structure {name}.")
            continue
        one = partial(measured, resample=resample, structure=name, strict=True)
        results[name] = results_of(cases, one, jobs=jobs)
    for pair in pairs:
        notes += _overlaps(pair, results)
    return StructureResults(results, tuple(notes), things)


def _is_whole(pair: Pair) -> bool:
    return len(pair.predictions) == len(pair.references) == 1


def _names(path: Path) -> list[str]:
    try:
        return structure_names(several_masks(path))
    except ProstateSegError:  # the result of the case says why
        return []


def _overlaps(pair: Pair, evaluated: Mapping[str, Any]) -> list[str]:
    """Return a remark for each two structures of a prediction that exclude each other and overlap."""
    file = several_masks(pair.predictions[0])
    groups: dict[tuple[str, str | None], list[str]] = {}
    for name in _names(pair.predictions[0]):
        meaning = structure(name)
        if meaning.group and key(name) in {key(one) for one in evaluated}:
            groups.setdefault((meaning.group, meaning.parent), []).append(name)
    notes = []
    for names in groups.values():
        try:
            masks = [read_mask(file, structure=name).mask() for name in names]
        except ProstateSegError:
            continue
        for n, first in enumerate(names):
            for second, mask in zip(names[:n], masks[:n], strict=True):
                if shared := int(np.count_nonzero(mask & masks[n])):
                    notes.append(f"{pair.case}: {second} and {first} exclude each other and share {shared} voxels.")
    return notes


def check_structure_results(folder: str | Path) -> None:
    """Raise OutputError if the tables would replace files that this package did not write."""
    check_replaceable(Path(folder), _MARKS)


def write_structure_results(found: StructureResults | None, folder: str | Path) -> list[Path]:
    """Write ``structures.csv`` (a row for each case and structure) and ``structures.json`` (summaries, PQ, notes).

    Without results, the tables of an earlier evaluation are deleted. Raise OutputError if a file cannot be written
    or would replace one that this package did not write.
    """
    folder = Path(folder)
    check_structure_results(folder)
    if found is None:
        for name in (TABLE, DOCUMENT):
            (folder / name).unlink(missing_ok=True)
        return []
    made_folder(folder)
    columns = ("case", "structure", *COLUMNS[1:])
    rows = ({**one.as_row(), "structure": name} for name, results in found.results.items() for one in results)
    write_rows(folder / TABLE, columns, ([row[column] for column in columns] for row in rows))
    write_json(folder / DOCUMENT, structures_as_json(found))
    return [folder / TABLE, folder / DOCUMENT]


def structures_as_json(found: StructureResults) -> dict[str, Any]:
    """Return the content of ``structures.json``."""
    return {
        "interval": INTERVAL,
        "notes": list(found.notes),
        "panoptic_over_all": found.over_all(),
        "things": things_as_json(found.things),
        "structures": {
            name: {
                "cases_measured": sum(one.metrics is not None for one in results),
                "cases_with_error": sum(one.metrics is None for one in results),
                "panoptic": asdict(found.panoptic(name)) | qualities(found.panoptic(name)),
                "summary": summaries_as_json(results),
            }
            for name, results in found.results.items()
        },
    }


def structure_rows(found: StructureResults) -> list[tuple[str, int, dict[str, float | None]]]:
    """Return name, number of measured cases, and mean Dice, HD95, ASSD and PQ, SQ, RQ of each structure."""
    rows = []
    for name, results in found.results.items():
        summary = summaries_of(results)
        means = {metric: summary[metric].mean for metric in ("dice", "hd95_mm", "assd_mm")} if summary else {}
        count = sum(one.metrics is not None for one in results)
        rows.append((name, count, means | qualities(found.panoptic(name))))
    return rows
