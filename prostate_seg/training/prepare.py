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
from ..system.json_files import write_json
from ..system.locks import LOCK
from ..system.parallel import in_processes
from ..writing import write
from ..writing.contact_sheet import write_png
from .datalist import DATALIST, SECTIONS, load
from .found_cases import Found, Item
from .records import (
    RECORDS,
    digests_in,
    is_complete,
    record_of,
    records_in,
    remember,
    remove_case,
    split_in,
    write_split,
)
from .split import Split, divided, split_of

IMAGES, LABELS, PICTURES, LEFT_OVER = "images", "labels", "pictures", "left_over.json"
DIED = "its process died: too little memory, or a decoder crashed; give fewer --jobs"


@dataclass(frozen=True)
class Prepared:
    """Result of :func:`prepare`: the datalist, the cases in it, and what is left over with the reasons.

    ``training`` and ``held_back`` are the numbers of cases for training and for validation, ``failed`` that of the
    pairs of this run that could not be taken.
    """

    datalist: Path
    cases: tuple[str, ...]
    left_over: tuple[Skipped, ...]
    training: int
    held_back: int
    failed: int = 0


def prepare(
    found: Found,
    output: Path,
    *,
    validation: int | None = None,
    jobs: int = 1,
    watch: Callable[[int], None] | None = None,
) -> Prepared:
    """Write cases as training data.

    ``images/NAME.nrrd`` and ``labels/NAME.seg.nrrd`` (or ``.nii.gz`` if there is only a CTV), ``pictures/NAME.png``
    with the contour of the CTV, ``datalist.json``, and ``left_over.json``. A case that was made before from the
    same files is kept, so an interrupted run goes on, and a later run adds to the folder. A case whose image is
    among those of this run but is not taken any more is removed. Images, masks and their names hold no identity of
    patients; ``left_over.json`` and the datalist hold names of files and ROIs.

    Search and call belong into one block of :func:`.locks.only_run`, so that no other run changes the folder.

    Parameters
    ----------
    found
        Result of :func:`.export_cases.items_of` or :func:`.public_sets.find_items`.
    output
        Folder; it is made if it does not exist. One that holds something else is refused.
    validation
        Use every n-th patient for validation, also if a public set has its own split; 0 keeps such a split. None:
        the number of the last run, or 0. Patients stay on their side, see :func:`.split.split_of`, and cases for
        testing stay so.
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
    given_up = any(record["key"] in found.images for record in records_in(output).values())
    if not found.items and not given_up:
        raise _nothing_taken(found)
    check_folder(output)
    for part in (IMAGES, LABELS, RECORDS, PICTURES):
        made_folder(output / part)
    earlier = split_in(output)
    remember(output, {item.person: item.patient for item in found.items if item.person})
    left, taken = list(found.left_over), set()
    results = _each(partial(_made, output=output), found.items, jobs)
    for number, (item, result) in enumerate(zip(found.items, results, strict=True), 1):
        done, reasons = result or (False, [DIED])
        left += [Skipped(item.image, reason) for reason in reasons]
        taken |= {item.name} if done else set()
        if watch is not None:
            watch(number)
    left += _removed(output, found, taken)
    write_json(output / LEFT_OVER, {"left_over": [asdict(one) for one in left]})
    records = list(records_in(output).values())
    content = _write_datalist(output, records, earlier, earlier.every if validation is None else validation)
    if not found.items or not records:
        raise _nothing_taken(replace(found, left_over=tuple(left)))
    cases = tuple(record["entry"]["case"] for record in records)
    training, held_back = len(content["training"]), len(content["validation"])
    failed = found.failed + len(found.items) - len(taken)
    return Prepared(output / DATALIST, cases, tuple(left), training, held_back, failed)


def _nothing_taken(found: Found) -> InputError:
    told = "; ".join(f"{one.name}: {one.reason}" for one in found.left_over[:3])
    return InputError(f"No image of this {found.what} has contours that can be used ({told or 'there is none'}).")


def _removed(output: Path, found: Found, taken: set[str]) -> Iterator[Skipped]:
    """Remove the earlier cases of the images of this run that were not taken."""
    for name, record in records_in(output).items():
        if record["key"] in found.images and name not in taken:
            remove_case(output, name, record)
            yield Skipped(name, "an earlier case, taken out of the data: its image or contours no longer count")


def _write_datalist(
    output: Path, records: Sequence[Mapping[str, Any]], earlier: Split, every: int
) -> dict[str, Any]:
    """Write the datalist and return it, with the official split of a public set if no patient is held back."""
    kept = ("testing",) if every else SECTIONS
    entries = [record["entry"] for record in records if record.get("section") not in kept]
    parts = split_of((entry["patient"] for entry in entries), every, earlier)
    content = divided(entries, parts, "made by prostate-seg prepare")
    for record in records:
        if record.get("section") in kept:
            content.setdefault(record["section"], []).append(record["entry"])
    write_split(output, parts)
    with replacing(output / DATALIST) as temporary:
        temporary.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    load(output / DATALIST)
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


def _each(work: Callable[[Item], Any], items: Sequence[Item], jobs: int) -> Iterator[Any]:
    if min(jobs, len(items)) <= 1:
        return map(work, items)
    return in_processes(work, items, min(jobs, len(items)))


def check_folder(output: Path) -> None:
    """Raise OutputError if a folder holds something that is not of an earlier run."""
    names = set(os.listdir(output)) - {LOCK} if output.is_dir() else set()
    others = sorted(name for name in names if not is_of_system(output / name))
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
    """Write one case unless it is there. Return why structures of it were not taken."""
    record = output / RECORDS / f"{item.name}.json"
    opened, before = item.open(), record_of(record)
    same = before and before["made_of"] == opened.made_of and before["entry"]["patient"] == item.patient
    if same and is_complete(output, before):
        return list(before.get("notes", []))
    loaded = opened.load()
    volume, masks = loaded.image, dict(loaded.masks)
    ctv = Segmentation(masks.pop(CTV).astype(np.uint8), volume.affine, orientation=volume.orientation)
    if not ctv.labels.any():
        raise InputError(f"{item.contours} encloses no voxel of its image, expected the {CTV}")
    remove_case(output, item.name, before)  # from here on the case is unfinished
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
    content["files"] = digests_in(output, [entry["image"], entry["label"], picture])
    write_json(record, content | ({"section": item.section} if item.section else {}))
    return list(loaded.notes)
