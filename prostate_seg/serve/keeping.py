"""Files of the page: the hints of a case after each change, and its folder when it is saved."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ..cases.earlier_results import is_unchanged_result, result_manifest
from ..cases.folder import fill_case_folder
from ..cases.hinted import hint_facts
from ..cases.segment import describe
from ..cases.session import Session
from ..errors import InputError, OutputError
from ..geometry.hints import Hints
from ..geometry.hints_json import hints_as_json
from ..geometry.volume import Volume
from ..reading.acquisition import Acquisition
from ..reading.hints import read_hints
from ..system.atomic import made_folder, reason_of, replacing_folder
from ..system.json_files import write_json
from ..writing.contoured_volume import Author, ContouredVolume, Kind
from ..writing.formats import FORMATS as TABLE
from ..writing.manifest import HINTS, MANIFEST
from ..writing.request import Request

FORMATS = ("nifti", "seg-nrrd", "nrrd")  # collect needs the image

OWN = {*(TABLE[name].file for name in FORMATS), MANIFEST, HINTS}  # files of a case's folder


def hints_file(output: Path, case: str) -> Path:
    """Return the file that holds the hints of a case from the first one on."""
    return output / f"{case}.{HINTS}"


def keep(hints: Hints, path: Path) -> None:
    """Write hints; without any, remove the file. Raise OutputError if that fails."""
    made_folder(path.parent)
    if hints.items:
        write_json(path, hints_as_json(hints))
        return
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f"Cannot remove {path} ({reason_of(error)}); make its folder writable.") from error


def kept(output: Path, case: str, volume: Volume) -> Hints | None:
    """Return the hints of a case so far; None if there are none.

    If ``refine`` has written the folder of the case since, these are its hints. InputError is raised if they do not
    fit the volume, or if the page has others that were not saved.
    """
    path, folder = hints_file(output, case), output / case
    own = read_hints(path, volume) if path.exists() else None
    manifest = result_manifest(folder) if folder.exists() else None
    if not manifest or "steps" not in manifest.get("hints", {}):
        return own
    refined = read_hints(folder / HINTS, volume)
    if own is not None and own.items != refined.items[: len(own)]:
        raise InputError(
            f"{path} holds hints that {folder} does not obey, and the case was refined since; "
            "move one of the two away."
        )
    return refined


def is_saved(folder: Path, hints: Path | None = None) -> bool:
    """Return whether the page saved a case's folder, and if a file of hints is given, with these hints.

    A folder that holds more than the page writes is none of its own.
    """
    saved = folder / HINTS
    if saved.is_file() and {path.name for path in folder.iterdir()} - OWN:
        return False
    if hints is None or not saved.is_file():
        return saved.is_file()
    return saved.read_bytes() == hints.read_bytes() if hints.is_file() else b'"hints": []' in saved.read_bytes()


def save(session: Session, folder: Path, acquisition: Acquisition) -> list[str]:
    """Write mask, manifest and hints into a case's folder, and return the names of the files.

    A folder of this function is replaced if nobody changed it since; otherwise OutputError is raised.
    """
    ctv, volume, info = session.finished(), session.volume, session.predictor.info
    manifest = describe(volume, ctv, session.predictor, session.assessment(), acquisition=acquisition)
    if session.hints.items:
        manifest["hints"] = hint_facts(session)
    kind: Kind = "SEMIAUTOMATIC" if session.hints.items else "AUTOMATIC"
    author = Author(info.name, info.version, kind, structures="AUTOMATIC")
    drawn = {name: mask for name, mask in ctv.structures.items() if mask.any()}
    contoured = ContouredVolume(volume, replace(ctv, structures={}), author, drawn)
    with replacing_folder(folder, may_replace=is_unchanged_result) as partial:
        return fill_case_folder(partial, Request(contoured, FORMATS, manifest=manifest), session.hints)
