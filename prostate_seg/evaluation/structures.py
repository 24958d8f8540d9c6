"""Evaluation of several structures: every metric for each of them, and needles and seeds."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError, ProstateSegError
from ..geometry.structures import key, structure
from ..reading.instances import Grid, grid_of_mask
from ..reading.masks import read_mask, structure_names
from .case import CaseResult, measured
from .folders import paired, results_of
from .masks_of_pair import current_mask, several_masks
from .metrics import Panoptic
from .pairs import Pair
from .things import ThingResults, evaluate_things, things_alone


@dataclass(frozen=True)
class StructureResults:
    """Results of several structures.

    Attributes
    ----------
    results
        One result for each case, by the name of the structure.
    notes
        Remarks: structures that exclude each other and overlap, and what is not scored.
    errors
        Why the structures or things of a case could not be compared, if no row says so.
    things
        Results of needles and seeds (:func:`.evaluate_things`).
    """

    results: Mapping[str, list[CaseResult]]
    notes: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()
    things: ThingResults = field(default_factory=ThingResults)

    def panoptic(self, name: str) -> Panoptic:
        """Return the counts of a structure over the cases; a structure of a case is one segment."""
        return sum((one.whole for one in self.results[name] if one.whole is not None), Panoptic())


def evaluate_structures(
    predictions: str | Path,
    references: str | Path,
    names: Sequence[str] = (),
    *,
    patients: Mapping[str, str] | None = None,
    resample: bool = False,
    partial: bool = False,
    jobs: int | None = 1,
) -> StructureResults:
    """Evaluate several structures of masks against those of reference masks of the same name.

    Files with several structures are ``.seg.nrrd``, DICOM Segmentations, structure sets and panoptic maps. A
    structure that the prediction lacks counts as missed: an empty mask. One that the reference lacks is a result
    with an error, because its truth is unknown. Needles and seeds are compared too (:func:`.evaluate_things`);
    there may be nothing else.

    Parameters
    ----------
    predictions, references, patients, resample, jobs
        As for :func:`.evaluate_folders`; there is one reference.
    names
        Names of the structures. Empty: all that the references have.
    partial
        Leave out the things of a reference without a prediction.

    Raises
    ------
    InputError
        There is nothing to compare, or no reference names its structures.
    """
    alone = things_alone(Path(predictions), Path(references))
    found = [] if alone else paired(predictions, references, patients=patients)
    pairs = [pair for pair in found if _is_whole(pair)]
    if not pairs and not alone:
        raise InputError(f"No case of {predictions} has exactly one mask in {references}; give matching names.")
    errors: list[str] = []
    there = [tuple(_names(path, pair.case, errors) for path in _files(pair)) for pair in pairs]
    known = {key(name): name for _, expected in there for name in expected}
    things = evaluate_things(
        predictions, references, names, partial=partial, grid_of=lambda case: _grid(found, case)
    )
    counted = {key(name) for name in (*things.matches, *things.panoptic)}
    if not known and not counted and not alone:
        raise InputError(
            f"No mask in {references} names its structures; give .seg.nrrd, a DICOM Segmentation or a structure "
            "set."
        )
    wanted = [known.get(key(name), name) for name in names] or list(known.values())
    results, notes = {}, list(things.notes)
    for name in dict.fromkeys(wanted):
        shown = [key(name) in {key(one) for one in [*found, *expected]} for found, expected in there]
        cases = [pair for pair, here in zip(pairs, shown, strict=True) if here]
        if not cases:
            if key(name) not in counted:
                notes.append(f"No case has the structure {name}.")
            continue
        one = functools.partial(measured, resample=resample, structure=name, strict=True)
        results[name] = results_of(cases, one, jobs=jobs)
    for pair in pairs:
        notes += _overlaps(pair, results)
    return StructureResults(results, tuple(notes), (*errors, *things.errors), things)


def _grid(pairs: Sequence[Pair], case: str) -> Grid | None:
    """Return the grid of a case's reference, or of its prediction; None if no mask gives one."""
    files = [path for pair in pairs if pair.case == case for path in (*pair.references, *pair.predictions)]
    for path in files:
        with suppress(ProstateSegError):  # the result of the case says why
            if grid := grid_of_mask(several_masks(path)):
                return grid
    return None


def _is_whole(pair: Pair) -> bool:
    return len(pair.predictions) == len(pair.references) == 1


def _files(pair: Pair) -> tuple[Path, Path]:
    return pair.predictions[0], pair.references[0]


def _names(path: Path, case: str, errors: list[str]) -> list[str]:
    """Return the names in a file; add to the errors if it cannot be read and no row of the CTV says so."""
    try:
        return structure_names(several_masks(path))
    except ProstateSegError as error:
        if several_masks(path) != current_mask(path):
            errors.append(f"{case}: {error}")
        return []


def _overlaps(pair: Pair, evaluated: Mapping[str, Any]) -> list[str]:
    """Return a remark for each two structures of a prediction that exclude each other and overlap."""
    file = several_masks(pair.predictions[0])
    groups: dict[tuple[str, str | None], list[str]] = {}
    for name in _names(pair.predictions[0], pair.case, []):
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
