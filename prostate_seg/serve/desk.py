"""The cases of the page: which are open, and what the page asks of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from threading import Lock
from typing import Any

from ..errors import OutputError, ProstateSegError
from ..inference.predictor import Predictor
from ..reading.acquisition import Acquisition
from ..reading.cases import Case
from .keeping import hints_file, is_saved
from .opened import Opened

MOST_OPEN = 4  # sessions in memory; the others are opened again from their hints
LOOKS = ("version", "picture", "outline", "doubt")  # they do not wait for an answer to a hint
CHANGES = ("add", "undo", "redo", "save")


class Desk:
    """Cases to look at and to correct.

    A case is opened when it is chosen. Cases are opened one at a time, and so are the answers for one case.

    Parameters
    ----------
    cases
        The cases, with different names.
    predictor
        Predictor with a shape model.
    output
        Folder of the results: ``<case>.hints.json`` after each hint, and the folder ``<case>`` when it is saved.
    acquisition
        Values for files that lack them.

    Raises
    ------
    OutputError
        The folder of a case holds results that are not of this page.
    """

    VERBS = ("open", "version", "picture", "outline", "doubt", "warnings", "add", "undo", "redo", "suggest", "save")

    def __init__(
        self, cases: Sequence[Case], predictor: Predictor, *, output: Path, acquisition: Acquisition | None = None
    ) -> None:
        self.cases, self.predictor, self.output = tuple(cases), predictor, output
        self.acquisition = acquisition or Acquisition()
        self._opened: dict[int, Opened] = {}  # the last used at the end
        self._opening = Lock()  # one network at a time
        self._of_case = [Lock() for _ in cases]
        self._verbs: dict[str, Callable[[Opened, Mapping[str, Any]], Any]] = {
            "open": lambda opened, content: opened.state(),
            "version": lambda opened, content: opened.seen(),
            "picture": Opened.picture,
            "outline": Opened.outline,
            "doubt": Opened.doubt,
            "warnings": lambda opened, content: {"warnings": opened.warnings()},
            "add": Opened.add,
            "undo": lambda opened, content: opened.undo(),
            "redo": lambda opened, content: opened.redo(),
            "suggest": lambda opened, content: opened.suggest(),
            "save": lambda opened, content: opened.save(),
        }
        for case in self.cases:
            if (output / case.name).exists() and not is_saved(output / case.name):
                raise OutputError(
                    f"{output / case.name} exists already and holds no hints that were saved here; give another "
                    "output folder (-o)."
                )

    def listed(self) -> dict[str, Any]:
        """Return the names of the cases, and whether each has hints and is saved."""
        return {
            "cases": [
                {
                    "name": case.name,
                    "hints": hints_file(self.output, case.name).exists(),
                    "saved": is_saved(self.output / case.name, hints_file(self.output, case.name)),
                }
                for case in self.cases
            ]
        }

    def done(self, number: int, verb: str, content: Mapping[str, Any]) -> Any:
        """Do what the page asks of a case, and return the answer. Raise ProstateSegError if it cannot be done.

        The version of a case that is not open is None. A change is refused if the page has missed another one.

        Parameters
        ----------
        number
            Index of the case.
        verb
            One of ``VERBS``.
        content
            Content of the request.
        """
        if verb in LOOKS and (shown := self._opened.get(number)):
            return self._verbs[verb](shown, content)
        if verb == "version":
            return {"version": None, "saved": False}
        with self._of_case[number]:
            opened = self._opened.pop(number, None) or self._open(number)
            self._opened[number] = opened
            while len(self._opened) > MOST_OPEN:
                self._opened.pop(next(iter(self._opened)), None)
            if verb in CHANGES:
                opened.check_seen(content)
            return self._verbs[verb](opened, content)

    def _open(self, number: int) -> Opened:
        case = self.cases[number]
        with self._opening:
            try:
                return Opened.of(case, self.predictor, self.output, self.acquisition)
            except ProstateSegError as error:
                raise type(error)(f"{case.name}: {str(error).removeprefix(f'{case.name}: ')}") from error
