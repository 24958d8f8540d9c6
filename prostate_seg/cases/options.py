"""Settings of ``prostate-seg segment``, and the outcome of a case."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..reading.acquisition import Acquisition
from ..writing.formats import default_formats
from ..writing.manifest import Manifest
from ..writing.request import Planning


@dataclass(frozen=True)
class HintSource:
    """Where the hints of a case come from. They are given in this order.

    Attributes
    ----------
    refines
        Whether an earlier result with hints is replaced, as ``refine`` does.
    earlier
        Whether the hints of an earlier result in the case's folder count.
    undo
        Number of the earlier hints, from the last one, that are taken back.
    apex, base
        Number of the last slice with gland at that end, as the case page shows it; None: not given.
    files
        Files of :func:`prostate_seg.reading.hints.read_hints`. A corrected mask is compared with the mask of the
        earlier result, or with the computed one if there is none.
    """

    refines: bool = False
    earlier: bool = False
    undo: int = 0
    apex: int | None = None
    base: int | None = None
    files: tuple[Path, ...] = ()

    def __bool__(self) -> bool:
        """Return whether there may be hints."""
        return self.refines or bool(self.files) or self.apex is not None or self.base is not None


@dataclass(frozen=True)
class Options:
    """Settings of ``prostate-seg segment``.

    Attributes
    ----------
    output
        Folder of the results, with one sub-folder for each case.
    formats
        Names of :data:`prostate_seg.writing.formats.FORMATS`.
    acquisition
        Values for files that lack them: frame spacing, frame order, side of the probe.
    planning
        How to write the structure set.
    overwrite
        Replace a folder if it holds only unchanged earlier results.
    skip_existing
        Count a case as done if its folder already holds the requested results.
    anonymous
        Error messages contain no file name. Case names are hashes already (:func:`.anonymous.anonymised`).
    identify
        Whether the report shows the names of case and patient.
    shared
        Other processes write to the same folder now. What killed runs left there is removed for the own cases only.
    hints
        Where the hints of the case come from.
    """

    output: Path
    formats: tuple[str, ...] = field(default_factory=default_formats)
    acquisition: Acquisition = field(default_factory=Acquisition)
    planning: Planning = field(default_factory=Planning)
    overwrite: bool = False
    skip_existing: bool = False
    anonymous: bool = False
    identify: bool = False
    shared: bool = False
    hints: HintSource = field(default_factory=HintSource)


@dataclass(frozen=True)
class Outcome:
    """Result of one case.

    Attributes
    ----------
    folder, manifest
        Folder of the results and its manifest; None if the case failed.
    error
        One sentence that says why the case failed; empty on success.
    traceback
        Text of the traceback; empty on success.
    skipped
        Whether the case was done before and left unchanged.
    notes
        Remarks on its hints.
    """

    case: str
    folder: Path | None = None
    manifest: Manifest | None = None
    error: str = ""
    traceback: str = ""
    skipped: bool = False
    notes: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return the outcome as ``segment --json`` prints it; missing values are null."""
        folder = None if self.folder is None else str(self.folder)
        told = {"case": self.case, "folder": folder, "error": self.error or None, "manifest": self.manifest}
        return told | {"skipped": self.skipped}
