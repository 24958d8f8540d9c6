"""An opened case: its session, its displayed slices, and the answers to the page."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from ..cases.earlier_results import check_apart
from ..cases.plausible import check_size
from ..cases.segment import describe
from ..cases.session import Session
from ..errors import GeometryError, OutputError
from ..geometry.hints import Hint, Hints
from ..geometry.hints_json import hints_as_json
from ..geometry.volume import Segmentation
from ..inference.predictor import Predictor
from ..reading.acquisition import Acquisition
from ..reading.cases import Case, read_case
from ..report.slices import paths, picture, uncertainty_on
from ..writing.view import view_of
from .keeping import hints_file, is_saved, keep, kept, save
from .sheet import Sheet

NO_MORE = "No place is left where a further point would help much."
MISSED = "Another window changed this case; it is displayed as it is now: look at it, and repeat the step."


class MissedError(GeometryError):
    """A change is refused because another window changed the case since its page was renewed."""


class Opened:
    """A case with its session.

    Parameters
    ----------
    name
        Name of the case.
    session
        Session with the hints so far.
    output
        Folder of the results.
    acquisition
        What the user said of the image.
    """

    def __init__(self, name: str, session: Session, output: Path, acquisition: Acquisition | None = None) -> None:
        self.name, self.session, self.output = name, session, output
        self.acquisition = acquisition or Acquisition()
        before = session.prediction.segmentation.mask()
        self.view = view_of(session.volume, [before, session.segmentation.mask()])
        self.sheet = Sheet.of(session.volume, self.view)
        self._masks = {"before": before}
        self._show([])

    @classmethod
    def of(cls, case: Case, predictor: Predictor, output: Path, acquisition: Acquisition) -> Opened:
        """Read and segment a case, and take up its hints. Raise ProstateSegError if that fails."""
        check_apart(output / case.name, case.files)
        volume = read_case(case, **asdict(acquisition))
        check_size(volume)
        hints = kept(output, case.name, volume)
        return cls(case.name, Session(volume, predictor, hints), output, acquisition)

    def state(self) -> dict[str, Any]:
        """Return all that the page shows, without what is drawn on slices."""
        view = self.view
        areas = np.count_nonzero(view.of(self._masks["now"]), axis=(0, 1))
        return {
            "name": self.name,
            "extent": view.extent_mm,
            "gap": view.gap_mm,
            "numbers": view.numbers,
            "letters": view.letters,
            "rises": self.sheet.rises,
            "first": int(areas.argmax()) if areas.any() else len(view.numbers) // 2,
            "volume_before_ml": self._volume_ml(self.session.prediction.segmentation),
            **self._now(),
        }

    def seen(self) -> dict[str, Any]:
        """Return the version of what a page shows, and whether it is saved."""
        return {"version": self.version, "saved": self.saved}

    def check_seen(self, content: Mapping[str, Any]) -> None:
        """Raise MissedError if a page names another version under ``seen`` than that of the case."""
        if content.get("seen", self.version) != self.version:
            raise MissedError(MISSED)

    def outline(self, content: Mapping[str, Any]) -> dict[str, str]:
        """Return the outlines on a slice as SVG path data: ``now``, and ``before`` the hints."""
        found = paths(self.view, self._masks, [self._slice(content)])[0]
        return {"now": "", "before": "", **found}

    def picture(self, content: Mapping[str, Any]) -> dict[str, str]:
        """Return a slice as a picture."""
        return {"picture": picture(self.view, self._slice(content))}

    def doubt(self, content: Mapping[str, Any]) -> dict[str, str | None]:
        """Return the uncertainty on a slice as a picture; None if there is none."""
        probability = self._shown.probability
        assert probability is not None
        return {"picture": uncertainty_on(self.view.of(probability)[:, :, self._slice(content)])}

    def warnings(self) -> list[str]:
        """Return the warnings for the mask as it is now."""
        session = self.session
        found = describe(session.volume, session.segmentation, session.predictor, session.assessment())
        return found["warnings"]

    def add(self, content: Mapping[str, Any]) -> dict[str, Any]:
        """Add what was drawn and return what changed. If an error is raised, nothing has changed."""
        hint = self.sheet.hint({name: value for name, value in content.items() if name != "seen"})
        return self._changed(lambda: self.session.add(hint), [])

    def undo(self) -> dict[str, Any]:
        """Remove the last hint and return what changed."""
        if not self.session.hints.items:
            raise GeometryError("There is no hint to undo; all are removed.")
        return self._changed(self.session.undo, [*self._undone, self.session.hints.items[-1]])

    def redo(self) -> dict[str, Any]:
        """Add the hint that was undone last and return what changed."""
        if not self._undone:
            raise GeometryError("There is no hint to redo; none was undone since the last one was drawn.")
        *rest, hint = self._undone
        return self._changed(lambda: self.session.add(hint), rest)

    def suggest(self) -> dict[str, Any]:
        """Return the slice and the place where a point on the boundary would help most, or a sentence."""
        found = self.session.suggest()
        if found is None:
            return {"slice": None, "sentence": NO_MORE}
        across, down, along = self.sheet.on_page([found.at_mm])[0].tolist()
        return {"slice": self.sheet.index(along), "at": [round(across, 2), round(down, 2)]}

    def save(self) -> dict[str, Any]:
        """Write the folder of the case, and return its path and files."""
        keep(self.session.hints, self._file)
        files = save(self.session, self.output / self.name, self.acquisition)
        self.saved = True
        return {"folder": str(self.output / self.name), "files": files, "saved": True}

    @property
    def _file(self) -> Path:
        return hints_file(self.output, self.name)

    def _slice(self, content: Mapping[str, Any]) -> int:
        index, count = content.get("slice"), len(self.view.numbers)
        if type(index) is not int or not 0 <= index < count:
            raise GeometryError(f"The slice is {index!r:.40}, expected an index from 0 to {count - 1}.")
        return index

    def _changed(self, change: Callable[[], Segmentation], undone: list[Hint]) -> dict[str, Any]:
        """Change the hints, write them, and return what changed. Without the file, nothing is changed."""
        hints, current = self.session.hints, self.session.current
        change()
        try:
            keep(self.session.hints, self._file)
        except OutputError:
            self.session.hints, self.session.current = hints, current
            raise
        self._show(undone)
        return self._now()

    def _show(self, undone: list[Hint]) -> None:
        """Let pages show the session as it is; hints that were undone can be added again, the last one first."""
        self._shown, self._undone = self.session.segmentation, undone
        self._masks = {**self._masks, "now": self._shown.mask()}
        content = json.dumps(hints_as_json(self.session.hints))
        self.version = hashlib.sha256(content.encode()).hexdigest()[:16]  # equal for equal masks
        self.saved = is_saved(self.output / self.name, self._file)

    def _now(self) -> dict[str, Any]:
        hints: Hints = self.session.hints
        mean, largest = self.session.moved_mm if hints.items else (0.0, 0.0)
        return {
            **self.seen(),
            "volume_ml": self._volume_ml(self.session.segmentation),
            "moved_mm": [round(mean, 2), round(largest, 2)],
            "hints": [self.sheet.mark(hint) for hint in hints.items],
            "undone": len(self._undone),
        }

    def _volume_ml(self, segmentation: Segmentation) -> float | None:
        return None if len(self.view.numbers) == 1 else round(segmentation.volume_ml, 1)
