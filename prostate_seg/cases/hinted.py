"""Cases that are segmented with hints: where the hints come from, and what they changed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ..errors import InputError, SettingsError
from ..geometry.hints import End, Hints, Plane, kind_of
from ..geometry.slice_hints import plane_after, slices_of
from ..geometry.volume import Volume
from ..inference.predictor import Predictor
from ..reading.hints import read_hints
from ..writing.manifest import HINTS, HintFacts
from .options import HintSource
from .session import Session


def session_of(volume: Volume, predictor: Predictor, source: HintSource, folder: Path) -> Session:
    """Segment a volume and give it the hints of a source.

    Parameters
    ----------
    volume, predictor
        As for :class:`Session`.
    source
        Where the hints come from.
    folder
        The case's folder, for earlier hints.

    Raises
    ------
    InputError, GeometryError
        A file holds no hints, or they do not fit the volume or each other.
    SettingsError
        More hints are to be taken back than there are, or a slice does not exist.
    """
    session = Session(volume, predictor, _earlier(volume, source, folder))
    for _ in range(source.undo):
        session.undo()
    ends: tuple[tuple[End, int | None], ...] = (("apex", source.apex), ("base", source.base))
    planes = [_plane(volume, end, number) for end, number in ends if number is not None]
    if planes:
        session.add(*planes)
    for file in source.files:
        found = read_hints(file, volume, session.segmentation)
        session.restart(replace(found, items=(*session.hints.items, *found.items)))
    return session


def _earlier(volume: Volume, source: HintSource, folder: Path) -> Hints | None:
    kept = folder / HINTS
    if not source.earlier or not kept.exists():
        if source.undo:
            raise SettingsError(
                f"There are no earlier hints to take back, {kept} does not exist; leave --undo out."
            )
        return None
    hints = read_hints(kept, volume)
    if source.undo > len(hints):
        raise SettingsError(
            f"--undo is {source.undo}, expected at most {len(hints)}: {folder.name} has no more earlier hints."
        )
    return hints


def _plane(volume: Volume, end: End, number: int) -> Plane:
    slices = slices_of(volume)
    if not 1 <= number <= slices.count:
        raise InputError(
            f"--{end} is slice {number}, expected 1 to {slices.count}, the slices of the image; give the number "
            "that the case page shows."
        )
    return plane_after(volume, end, slices.index(number))


def hint_facts(session: Session) -> HintFacts:
    """Return the manifest's entry on the hints of a session."""
    mean, largest = session.moved_mm
    return {
        "count": len(session.hints),
        "kinds": [kind_of(hint) for hint in session.hints.items],
        "volume_before_ml": round(session.prediction.segmentation.volume_ml, 3),
        "moved_mm": {"mean": round(mean, 3), "largest": round(largest, 3)},
    }
