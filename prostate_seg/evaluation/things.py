"""Evaluation of needles and seeds: found, missed, invented, how far off, and panoptic quality, over all cases."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import GeometryError, InputError, ProstateSegError
from ..geometry.instances import Instances
from ..geometry.structures import key
from ..geometry.things import Thing, grouped
from ..geometry.volume import same_grid
from ..reading.instances import Grid, read_instances
from ..reading.panoptic import MAP, SEGMENTS
from ..reading.things import FILE, SUFFIX, lists_things, read_things
from .masks_of_pair import grid_text
from .metrics import Panoptic
from .metrics.panoptic import instance_counts
from .metrics.things import LIMITS_MM, ThingMatches, match_things
from .pairs import PANOPTIC, case_name, find_pairs, has_masks, is_one_case

Matches = dict[str, list[ThingMatches]]  # by structure, one for each limit


@dataclass(frozen=True)
class ThingResults:
    """Results of needles, seeds and calcifications over all cases.

    Attributes
    ----------
    matches
        Matches by distance, by structure.
    panoptic
        Matches of voxels by their IoU, by structure.
    notes
        Things that are not scored.
    errors
        Why cases could not be compared.
    """

    matches: Matches = field(default_factory=dict)
    panoptic: Mapping[str, Panoptic] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Drawn:
    """The things of a file: with their ends, or their voxels alone."""

    things: tuple[Thing, ...] = ()
    voxels: Instances | None = None

    @property
    def structures(self) -> tuple[str, ...]:
        return self.voxels.structures if self.voxels else tuple(one.structure for one in self.things)


@dataclass(frozen=True)
class _Case:
    """The things of a case."""

    name: str
    found: _Drawn
    truth: _Drawn
    matches: Matches
    panoptic: Mapping[str, Panoptic]


def evaluate_things(
    predictions: str | Path,
    references: str | Path,
    names: Sequence[str] = (),
    *,
    partial: bool = False,
    grid_of: Callable[[str], Grid | None] = lambda case: None,
) -> ThingResults:
    """Compare the things of cases of the same name, added up over the cases.

    A case is a file ``NAME.things.json``, or a folder NAME with ``things.json`` or a panoptic map. A prediction
    without a reference is left out, because its truth is unknown. So is a structure that no reference has.

    Parameters
    ----------
    predictions, references
        Two folders of cases, two folders of one case each, or two files.
    names
        Names of the structures. Empty: all.
    partial
        Leave out a reference without a prediction, which otherwise counts as missed.
    grid_of
        Function that gives the grid on which the things of a case are compared by their voxels. A panoptic map
        that does not list the ends of its things has a grid of its own.
    """
    found, expected = things_of_cases(Path(predictions), Path(references))
    cases, errors = [], []
    for name, file in expected.items():
        if partial and name not in found:
            continue
        try:
            cases.append(_compared(name, _drawn(found.get(name)), _drawn(file), grid_of))
        except ProstateSegError as error:
            errors.append(f"{name}: {error}")
    notes = _notes(cases, names)
    if expected and (more := [name for name in found if name not in expected]):
        notes.append(f"The things of {_listed(more)} have no reference and are not scored.")
    return ThingResults(*_sums(cases, names), tuple(notes), tuple(errors))


def _sums(cases: Sequence[_Case], names: Sequence[str]) -> tuple[Matches, dict[str, Panoptic]]:
    """Return the sums over the cases, by the structures of the references."""
    shown: dict[str, str] = {}
    for name in (name for case in cases for name in case.truth.structures):
        shown.setdefault(key(name), name)
    matches: Matches = {}
    panoptic: dict[str, Panoptic] = {}
    for kind, name in shown.items():
        if names and kind not in map(key, names):
            continue
        for case in cases:
            if kind in case.matches:
                before = matches.get(name, [ThingMatches(limit) for limit in LIMITS_MM])
                matches[name] = [a + b for a, b in zip(before, case.matches[kind], strict=True)]
            if kind in case.panoptic:
                panoptic[name] = panoptic.get(name, Panoptic()) + case.panoptic[kind]
    return matches, panoptic


def things_of_cases(predictions: Path, references: Path) -> tuple[dict[str, Path], dict[str, Path]]:
    """Return the files of things by the name of the case: of the predictions, and of the references."""
    if is_one_case(predictions, references):
        name = case_name(references)
        files = [_file_of(place) for place in (predictions, references)]
        found, expected = ({name: file} if file else {} for file in files)
        return found, expected
    return _files(predictions), _files(references)


def things_alone(predictions: Path, references: Path) -> bool:
    """Return whether two places have things of the same cases, but no masks of the same cases."""
    found, expected = things_of_cases(predictions, references)
    if not found.keys() & expected.keys():
        return False
    if is_one_case(predictions, references):
        return not (has_masks(predictions) and has_masks(references))
    try:
        find_pairs(predictions, references)
    except InputError:
        return True
    return False


def _files(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        return {}
    files = {path.name.removesuffix(SUFFIX): path for path in sorted(folder.glob(f"[!.]*{SUFFIX}"))}
    cases = {path.name: _file_of(path) for path in sorted(folder.glob("[!.]*")) if path.is_dir()}
    return files | {name: file for name, file in cases.items() if file}


def _file_of(place: Path) -> Path | None:
    """Return the file of the things of a case: of its folder, of its panoptic map, or the path itself."""
    if place.is_file():
        file = place.with_name(SEGMENTS) if place.name == MAP else place
        return file if file.suffix == ".json" and file.is_file() else None
    files = (place / FILE, *((place / name).with_name(SEGMENTS) for name in PANOPTIC))
    return next((file for file in files if file.is_file()), None)


def _drawn(file: Path | None) -> _Drawn:
    if file is None:
        return _Drawn()
    if file.name == SEGMENTS and not lists_things(file) and file.with_name(MAP).is_file():
        return _Drawn(voxels=read_instances(file.with_name(MAP)))
    return _Drawn(read_things(file))


def _compared(case: str, found: _Drawn, truth: _Drawn, grid_of: Callable[[str], Grid | None]) -> _Case:
    """Compare the things of a case; by distance only if both list their ends, by voxels only on a grid."""
    matches: Matches = {}
    if not found.voxels and not truth.voxels:
        groups = [{key(name): things for name, things in grouped(part.things).items()} for part in (found, truth)]
        for kind in dict.fromkeys([*groups[1], *groups[0]]):
            matches[kind] = match_things(groups[0].get(kind, []), groups[1].get(kind, []))
    own = next((part.voxels.numbers for part in (truth, found) if part.voxels), None)
    grid = (own.affine, own.array.shape) if own else grid_of(case)
    if grid is None:
        return _Case(case, found, truth, matches, {})
    drawn, real = (part.voxels or Instances.of(part.things, *grid) for part in (found, truth))
    if not same_grid(drawn.numbers, real.numbers):
        raise GeometryError(
            f"The grids differ: prediction {grid_text(drawn.numbers)}, reference {grid_text(real.numbers)}; list "
            f"the ends of the instances as things in {SEGMENTS}, so that they can be drawn on one grid."
        )
    counts = instance_counts(drawn.numbers.array, real.numbers.array, (drawn.structures, real.structures))
    return _Case(case, found, truth, matches, counts)


def _notes(cases: Sequence[_Case], names: Sequence[str]) -> list[str]:
    """Return a remark for each structure that no reference has, and one for cases that are compared by half."""
    known = {key(name) for case in cases for name in case.truth.structures}
    unknown: dict[str, list[str]] = {}
    for case in cases:
        for name in case.found.structures:
            if key(name) not in known and (not names or key(name) in map(key, names)):
                unknown.setdefault(name, []).append(case.name)
    notes = [
        f"No reference has a {name}: {len(where)} of {_listed(where)} are not scored, as their truth is unknown."
        for name, where in unknown.items()
    ]
    if far := [case.name for case in cases if case.found.voxels or case.truth.voxels]:
        notes.append(f"{SEGMENTS} of {_listed(far)} lists no ends of its instances, so no distance is measured.")
    if flat := [case.name for case in cases if case.matches and not case.panoptic]:
        notes.append(f"No mask gives a grid for the things of {_listed(flat)}: only distances are measured.")
    return notes


def _listed(cases: Sequence[str]) -> str:
    names = list(dict.fromkeys(cases))
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def things_as_json(found: Matches) -> dict[str, Any]:
    """Return counts, RQ, errors and angles for JSON, by structure and limit."""
    return {name: [_row(one) for one in matches] for name, matches in found.items()}


def _row(one: ThingMatches) -> dict[str, Any]:
    return {
        "limit_mm": one.limit_mm,
        "matched": len(one.errors_mm),
        "missed": one.missed,
        "invented": one.invented,
        "recognition_quality": one.recognition_quality,
        "median_error_mm": one.median_error_mm,
        "median_angle_deg": one.median_angle_deg,
    }
