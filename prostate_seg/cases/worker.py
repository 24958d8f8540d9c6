"""A worker for other programs: corrections of open images, by lines of JSON on its input and output.

Each line of input is a request ``{"id": 1, "do": "open", "case": "a", ...}``. Requests are answered in order, with
any number of lines ``{"id": 1, "progress": "..."}`` and then one line ``{"id": 1, "result": {...}}`` or
``{"id": 1, "error": "one sentence"}``. The first line of output is ``{"worker": "prostate-seg", "version": "...",
"protocol": 1}``. The end of the input ends the worker. ``docs/slicer.md`` describes requests and results.
"""

from __future__ import annotations

import base64
import inspect
import json
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from .. import __version__
from ..errors import SettingsError
from ..geometry.entropy import entropy_percent
from ..geometry.hints_json import hints_as_json, hints_of_json
from ..geometry.margin import Margin
from ..geometry.slices import transverse_of
from ..geometry.volume import Array
from ..inference.predictor import Predictor
from ..reading.acquisition import Acquisition
from ..reading.cases import read
from ..reading.masks import stem_of
from ..system.atomic import check_writable, made_folder
from ..system.json_files import write_json
from ..writing import write
from ..writing.formats import chosen_formats
from ..writing.request import Planning
from .earlier_results import free_name
from .export import ExportOptions, export_case
from .plausible import check_size
from .requests import check_types, parsed, sentence
from .segment import describe
from .session import Session

PROTOCOL = 1
IMAGE, MASK = "trus.nrrd", "ctv.seg.nrrd"
Facts = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Opened:
    """An open image: its session, and the files and options that it was read from."""

    session: Session
    image: Path
    acquisition: Acquisition


class Worker:
    """Answers requests. Each action is a method that returns what the reply holds.

    Parameters
    ----------
    load
        Returns the predictor; called once, for the first image.
    progress
        Called with a sentence about what is being done.
    """

    def __init__(self, load: Callable[[], Predictor], progress: Callable[[str], None]) -> None:
        self.load, self.progress = load, progress
        self.predictor: Predictor | None = None
        self.cases: dict[str, Opened] = {}

    def answer(self, request: Mapping[str, Any]) -> Facts:
        """Return the result of a request. Raise SettingsError if it is unknown or has wrong arguments."""
        arguments = {name: value for name, value in request.items() if name not in ("id", "do")}
        action = ACTIONS.get(str(request.get("do")))
        if action is None:
            raise SettingsError(
                f"The request is {str(request.get('do'))!r:.40}, expected one of {', '.join(ACTIONS)}."
            )
        try:
            inspect.signature(action).bind(self, **arguments)
        except TypeError as error:
            raise SettingsError(f"The request {request['do']} does not fit: {error}.") from None
        check_types(arguments)
        return action(self, **arguments)

    def open(
        self, case: str, image: str, *, folder: str, hints: Facts | None = None, acquisition: Facts | None = None
    ) -> Facts:
        """Segment an image, obey its hints, and write image and mask into an existing folder."""
        try:
            stated = Acquisition(**(acquisition or {}))
        except TypeError:
            raise SettingsError(
                f"The acquisition has {', '.join(acquisition or ())}, expected frame_spacing_mm, frame_order and "
                "probe_side."
            ) from None
        if not Path(folder).is_dir():
            raise SettingsError(f"There is no folder {folder}; create it first.")
        self.progress("Reading the image.")
        volume = read(Path(image), **vars(stated))
        check_size(volume)
        if self.predictor is None:
            self.progress("Loading the network.")
            self.predictor = self.load()
        self.progress("Segmenting.")
        session = Session(volume, self.predictor, None if hints is None else hints_of_json(hints, volume))
        write(volume, Path(folder) / IMAGE)
        write(session.segmentation, Path(folder) / MASK)
        self.cases[case] = Opened(session, Path(image), stated)
        slices = transverse_of(volume.array.shape, volume.affine, volume.orientation)
        grid = {
            "shape": list(volume.array.shape),
            "affine": volume.affine.tolist(),
            "orientation": volume.orientation,
            "slices": vars(slices),
        }
        return {"grid": grid, "dicom": bool(volume.source.frames)} | self._state(session) | self.assess(case)

    def add(self, case: str, hints: list[Facts]) -> Facts:
        """Add hints and return the new mask. If one is refused, none is added."""
        session = self._session(case)
        if not isinstance(hints, list):
            raise SettingsError("The request add has no list of hints; give one.")
        session.add(*hints_of_json({"space": "RAS mm", "hints": hints}, session.volume).items)
        return self._state(session)

    def undo(self, case: str) -> Facts:
        """Remove the last hint and return the mask without it."""
        session = self._session(case)
        session.undo()
        return self._state(session)

    def assess(self, case: str) -> Facts:
        """Return warnings, uncertainty, and the entropy of the probability in percent of one bit."""
        session = self._session(case)
        found = session.segmentation
        manifest = describe(session.volume, found, session.predictor, session.assessment())
        doubt = np.zeros(found.labels.shape) if found.probability is None else found.probability
        return {
            "warnings": list(manifest["warnings"]),
            "uncertainty": manifest["uncertainty"],
            "doubt": packed(entropy_percent(doubt)),
        }

    def suggest(self, case: str) -> Facts:
        """Return the place that would help most: ``at_mm``, ``slice`` and ``gain``, or null."""
        found = self._session(case).suggest()
        return {"suggestion": None if found is None else {**vars(found), "at_mm": list(found.at_mm)}}

    def save(self, case: str, file: str) -> Facts:
        """Write the hints of a case as JSON."""
        write_json(file, hints_as_json(self._session(case).hints))
        return {"file": file}

    def export(self, case: str, mask: str, *, output: str, formats: str, **how: Any) -> Facts:
        """Write a mask file, which may have been changed by hand, in formats for the image of a case.

        The new folder has the name of the mask file. It replaces the unchanged export of the same image; if
        anything else has that name, it gets a number.

        ``how`` may hold ``segment``, ``structures`` (as in ExportOptions) and ``ptv_margin`` (as in Margin.parse).
        """
        self._session(case)
        if unknown := set(how) - {"segment", "structures", "ptv_margin"}:
            raise SettingsError(f"The request export has {', '.join(sorted(unknown))}, which it does not know.")
        margin = how.get("ptv_margin")
        opened = self.cases[case]
        names = chosen_formats(formats)
        planning = Planning(Margin.parse(margin) if margin else None)
        planning.check(names)
        check_writable(Path(output))
        folder = Path(mask).name if Path(mask).is_dir() else stem_of(Path(mask))
        self.progress("Exporting.")
        order = ExportOptions(
            Path(mask),
            names,
            opened.image,
            segment=how.get("segment"),
            structures=tuple(how.get("structures", ())),
            acquisition=opened.acquisition,
            planning=planning,
            name=free_name(Path(output), folder, opened.session.volume.source.sha256),
        )
        done = export_case(order, made_folder(Path(output)), overwrite=True)
        return {"folder": str(done.folder), "outputs": done.outputs, "notes": done.notes}

    def close(self, case: str) -> Facts:
        """Forget a case."""
        self.cases.pop(case, None)
        return {}

    def _session(self, case: str) -> Session:
        if case not in self.cases:
            raise SettingsError(f"No image is open as {case!r:.40}; open it first.")
        return self.cases[case].session

    def _state(self, session: Session) -> Facts:
        found = session.segmentation
        return {
            "mask": packed(found.mask()),
            "volume_ml": found.volume_ml,
            "moved_mm": list(session.moved_mm),
            "hints": hints_as_json(session.hints),
        }


ACTIONS: dict[str, Callable[..., Facts]] = {
    action.__name__: action
    for action in (
        Worker.open,
        Worker.add,
        Worker.undo,
        Worker.assess,
        Worker.suggest,
        Worker.save,
        Worker.export,
        Worker.close,
    )
}


def packed(array: Array) -> Facts:
    """Return an array as JSON: shape, and values as base64 of zlib; bool eight to a byte, else one byte each."""
    kind = "bits" if array.dtype == np.bool_ else "bytes"
    plain = np.packbits(array) if kind == "bits" else array.astype(np.uint8)
    return {"shape": list(array.shape), kind: base64.b64encode(zlib.compress(plain.tobytes(), 1)).decode("ascii")}


def serve(requests: IO[str], replies: IO[str], load: Callable[[], Predictor]) -> None:
    """Answer requests until they end, or until nobody reads the replies. Errors are answered too."""

    def reply(**content: Any) -> None:
        line = json.dumps(content, allow_nan=False)
        replies.write(line + "\n")
        replies.flush()

    reply(worker="prostate-seg", version=__version__, protocol=PROTOCOL)
    number: Any = None
    worker = Worker(load, lambda text: reply(id=number, progress=text))
    for line in requests:
        number = None
        try:
            request = parsed(line)
            number = request["id"]
            reply(id=number, result=worker.answer(request))
        except BrokenPipeError:  # nobody reads the replies any more
            return
        except Exception as error:  # from any library: go on with the next request
            reply(id=number, error=sentence(error))
