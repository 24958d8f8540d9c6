"""Training data from an export or a public set: images, masks and a datalist, under pseudonyms."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError, OutputError, ProstateSegError
from ..geometry.structures import CTV
from ..geometry.volume import Segmentation
from ..reading.cases import Skipped
from ..system.atomic import is_of_system, made_folder, replacing
from ..system.digests import sha256_of_file
from ..system.json_files import write_json
from ..system.parallel import in_processes
from ..writing import write
from ..writing.contact_sheet import write_png
from .collect import split_by_patient
from .datalist import DATALIST, SECTIONS, load
from .found_cases import Found, Item

LEFT_OVER, RECORDS, PICTURES = "left_over.json", "records", "pictures"
IMAGES, LABELS = "images", "labels"
DIED = "its process died: too little memory, or a decoder crashed; give fewer --jobs"


@dataclass(frozen=True)
class Prepared:
    """Result of :func:`prepare`: the datalist, the cases in it, and what is left over with the reasons.

    ``held_back`` is the number of cases for validation, ``failed`` that of the cases of this run that could not be
    taken.
    """

    datalist: Path
    cases: tuple[str, ...]
    left_over: tuple[Skipped, ...]
    held_back: int
    failed: int = 0


def prepare(
    found: Found,
    output: Path,
    *,
    validation: int = 0,
    jobs: int = 1,
    watch: Callable[[int], None] | None = None,
) -> Prepared:
    """Write cases as training data.

    ``images/NAME.nrrd`` and ``labels/NAME.seg.nrrd`` (or ``.nii.gz`` if there is only a CTV), ``pictures/NAME.png``
    with the contour of the CTV, ``datalist.json``, and ``left_over.json``. A case that was made before from the
    same files is kept, so an interrupted run goes on, and a later run adds to the folder. Images, masks and their
    names hold no identity of patients; ``left_over.json`` and the datalist hold names of files and ROIs.

    Parameters
    ----------
    found
        Result of :func:`.export_cases.items_of` or :func:`.public_sets.find_items`.
    output
        Folder; it is made if it does not exist. One that holds something else is refused.
    validation
        Use every n-th patient for validation, also where a public set has its own split; 0 keeps such a split.
        Cases for testing stay so.
    jobs
        Number of processes.
    watch
        Called with the number of finished cases after each.

    Raises
    ------
    InputError
        No case can be taken.
    OutputError
        The folder holds something else, or cannot be written.
    """
    if not found.items:
        told = "; ".join(f"{one.name}: {one.reason}" for one in found.left_over[:3])
        raise InputError(
            f"No image of this {found.what} has contours that can be used ({told or 'there is none'})."
        )
    _check_folder(output)
    for part in (IMAGES, LABELS, RECORDS, PICTURES):
        made_folder(output / part)
    left, failed = list(found.left_over), 0
    results = _each(partial(_made, output=output), found.items, jobs)
    for number, (item, result) in enumerate(zip(found.items, results, strict=True), 1):
        done, reasons = result or (False, [DIED])
        left += [Skipped(item.image, reason) for reason in reasons]
        failed += not done
        if watch is not None:
            watch(number)
    write_json(output / LEFT_OVER, {"left_over": [asdict(one) for one in left]})
    records = list(_records(output).values())
    if not records:
        raise InputError("; ".join(f"{one.name}: {one.reason}" for one in left[-3:]))
    content = _datalist(records, validation)
    with replacing(output / DATALIST) as temporary:
        temporary.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    load(output / DATALIST)
    cases = tuple(record["entry"]["case"] for record in records)
    return Prepared(output / DATALIST, cases, tuple(left), len(content["validation"]), failed)


def _datalist(records: Sequence[Mapping[str, Any]], validation: int) -> dict[str, Any]:
    """Return the datalist, with the official split of a public set unless ``validation`` is given."""
    kept = ("testing",) if validation else SECTIONS
    open_ones = [record["entry"] for record in records if record.get("section") not in kept]
    content = split_by_patient(open_ones, validation, "made by prostate-seg prepare")
    for record in records:
        if record.get("section") in kept:
            content.setdefault(record["section"], []).append(record["entry"])
    return content


def check_apart(output: Path, exports: Sequence[Path]) -> None:
    """Raise OutputError if the output lies in an input or an input in the output: it would be found as input."""
    place = Path(os.path.realpath(output))
    for export in exports:
        given = Path(os.path.realpath(export))
        if place.is_relative_to(given) or given.is_relative_to(place):
            raise OutputError(
                f"The output {output} and the export {export} lie in each other; give another output."
            )


def known_cases(output: Path) -> dict[str, tuple[str, str]]:
    """Return name and patient of the cases of earlier runs, by the key of their image."""
    return {record["key"]: (name, record["entry"]["patient"]) for name, record in _records(output).items()}


def _records(output: Path) -> dict[str, Any]:
    """Return the records of finished cases by name; one that is damaged is left out."""
    paths = sorted((output / RECORDS).glob("*.json")) if (output / RECORDS).is_dir() else []
    return {path.stem: record for path in paths if (record := _record(path))}


def _record(path: Path) -> dict[str, Any]:
    """Return the record of a case; empty if there is none, or if it is damaged."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        if {"key", "made_of", "entry", "files"} <= set(record) and "patient" in record["entry"]:
            return dict(record)
    except (OSError, ValueError, TypeError):
        pass
    return {}


def _each(work: Callable[[Item], Any], items: Sequence[Item], jobs: int) -> Iterator[Any]:
    if min(jobs, len(items)) <= 1:
        return map(work, items)
    return in_processes(work, items, min(jobs, len(items)))


def _check_folder(output: Path) -> None:
    """Raise OutputError if a folder holds something that is not of an earlier run."""
    others = [name for name in os.listdir(output) if not is_of_system(output / name)] if output.is_dir() else []
    if others and not (output / RECORDS).is_dir():
        raise OutputError(f"{output} holds something else ({others[0]}); give a new folder.")


def _made(item: Item, output: Path) -> tuple[bool, list[str]]:
    """Write one case. Return whether it was taken, and why it, or a structure of it, was not."""
    try:
        return True, _taken(item, output)
    except OutputError:
        raise
    except ProstateSegError as error:
        return False, [str(error).removeprefix(f"{item.image}: ").rstrip(".")]
    except Exception as error:  # any error of a library: the other cases must still be taken
        return False, [f"unexpected {type(error).__name__} in its files"]


def _taken(item: Item, output: Path) -> list[str]:
    record = output / RECORDS / f"{item.name}.json"
    opened = item.open()
    before = _record(record)
    if before and before["made_of"] == opened.made_of and before["files"] == _digests(output, before["files"]):
        return list(before.get("notes", []))
    record.unlink(missing_ok=True)  # from here on the case is unfinished
    for file in before["files"] if before else ():
        (output / file).unlink(missing_ok=True)
    loaded = opened.load()
    volume, masks = loaded.image, dict(loaded.masks)
    ctv = Segmentation(masks.pop(CTV).astype(np.uint8), volume.affine, orientation=volume.orientation)
    image = replace(volume, source=replace(volume.source, header=None, frames=()))
    entry: dict[str, Any] = {"case": item.name, "image": f"{IMAGES}/{item.name}.nrrd", "patient": item.patient}
    entry["label"] = f"{LABELS}/{item.name}.seg.nrrd" if masks else f"{LABELS}/{item.name}.nii.gz"
    if masks:
        entry["structures"] = dict.fromkeys(masks, entry["label"])
    entry["provenance"] = {**opened.made_of, "spacing_mm": [round(one, 4) for one in volume.spacing_mm],
                           "orientation": volume.orientation, "kind": volume.source.kind}  # fmt: skip
    picture = f"{PICTURES}/{item.name}.png"
    write(image, output / entry["image"])
    write(replace(ctv, structures=masks), output / entry["label"])
    write_png(output / picture, image, ctv)
    content = {"key": item.key, "made_of": opened.made_of, "entry": entry, "notes": loaded.notes}
    content["files"] = _digests(output, [entry["image"], entry["label"], picture])
    write_json(record, content | ({"section": item.section} if item.section else {}))
    return list(loaded.notes)


def _digests(output: Path, files: Sequence[str] | Mapping[str, str]) -> dict[str, str]:
    """Return the SHA-256 of files by name; those that are not there are left out."""
    return {file: sha256_of_file(output / file) for file in files if (output / file).is_file()}
