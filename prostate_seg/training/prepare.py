"""Training data from what a planning system exported: images, masks and a datalist, under pseudonyms."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import GeometryError, InputError, OutputError, ProstateSegError
from ..geometry.resample import on_grid_of
from ..geometry.structures import CTV
from ..geometry.volume import Array, Segmentation, Volume
from ..reading.acquisition import Acquisition
from ..reading.cases import Skipped, read_case
from ..reading.masks import read_mask
from ..system.atomic import is_of_system, made_folder, replacing
from ..system.digests import sha256_of_file
from ..system.json_files import write_json
from ..system.parallel import in_processes
from ..writing import write
from ..writing.contact_sheet import write_png
from .collect import split_by_patient
from .datalist import DATALIST, load
from .export_pairs import Pair, Pairing

LEFT_OVER, RECORDS, PICTURES = "left_over.json", "records", "pictures"
IMAGES, LABELS = "images", "labels"
DIED = "its process died: too little memory, or a decoder crashed; give fewer --jobs"


@dataclass(frozen=True)
class Prepared:
    """Result of :func:`prepare`: the datalist, the cases in it, and what is left over with the reasons.

    ``failed`` is the number of pairs of this run that could not be taken.
    """

    datalist: Path
    cases: tuple[str, ...]
    left_over: tuple[Skipped, ...]
    failed: int = 0


def prepare(
    pairing: Pairing,
    output: Path,
    *,
    acquisition: Acquisition | None = None,
    validation: int = 0,
    jobs: int = 1,
    watch: Callable[[int], None] | None = None,
) -> Prepared:
    """Write the pairs of an export as training data.

    ``images/NAME.nrrd`` and ``labels/NAME.seg.nrrd`` (or ``.nii.gz`` if there is only a CTV), ``pictures/NAME.png``
    with the contour of the CTV, ``datalist.json``, and ``left_over.json``. A case that was made before from the
    same files is kept, so an interrupted run goes on, and a later run adds to the folder. Images, masks and their
    names hold no identity of patients; ``left_over.json`` and the datalist hold names of files and ROIs.

    Parameters
    ----------
    pairing
        Result of :func:`.export_pairs.pair_export`.
    output
        Folder; it is made if it does not exist. One that holds something else is refused.
    acquisition
        Values that the images lack.
    validation
        Use every n-th patient for validation; 0 for none.
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
    if not pairing.pairs:
        told = "; ".join(f"{one.name}: {one.reason}" for one in pairing.left_over[:3])
        raise InputError(f"No image of this export has contours that can be used ({told or 'there is none'}).")
    _check_folder(output)
    for part in (IMAGES, LABELS, RECORDS, PICTURES):
        made_folder(output / part)
    work = partial(_made, output=output, acquisition=acquisition or Acquisition())
    left, failed = list(pairing.left_over), 0
    for number, (pair, found) in enumerate(zip(pairing.pairs, _each(work, pairing.pairs, jobs), strict=True), 1):
        done, reasons = found or (False, [DIED])
        left += [Skipped(pair.case.name, reason) for reason in reasons]
        failed += not done
        if watch is not None:
            watch(number)
    write_json(output / LEFT_OVER, {"left_over": [asdict(one) for one in left]})
    entries = [record["entry"] for record in _records(output).values()]
    if not entries:
        raise InputError("; ".join(f"{one.name}: {one.reason}" for one in left[-3:]))
    content = split_by_patient(entries, validation, "prepared from an export")
    with replacing(output / DATALIST) as temporary:
        temporary.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    load(output / DATALIST)
    return Prepared(output / DATALIST, tuple(entry["case"] for entry in entries), tuple(left), failed)


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
    found = {}
    for path in sorted((output / RECORDS).glob("*.json")) if (output / RECORDS).is_dir() else ():
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            if {"key", "made_of", "entry", "files"} <= set(record) and "patient" in record["entry"]:
                found[path.stem] = record
        except (OSError, ValueError, TypeError):
            continue
    return found


def _each(work: Callable[[Pair], Any], pairs: Sequence[Pair], jobs: int) -> Iterator[Any]:
    if min(jobs, len(pairs)) <= 1:
        return map(work, pairs)
    return in_processes(work, pairs, min(jobs, len(pairs)))


def _check_folder(output: Path) -> None:
    """Raise OutputError if a folder holds something that is not of an earlier run."""
    others = [name for name in os.listdir(output) if not is_of_system(output / name)] if output.is_dir() else []
    if others and not (output / RECORDS).is_dir():
        raise OutputError(f"{output} holds something else ({others[0]}); give a new folder.")


def _made(pair: Pair, output: Path, acquisition: Acquisition) -> tuple[bool, list[str]]:
    """Write one case. Return whether it was taken, and why it, or a structure of it, was not."""
    try:
        return True, _taken(pair, output, acquisition)
    except OutputError:
        raise
    except ProstateSegError as error:
        return False, [str(error).removeprefix(f"{pair.case.name}: ").rstrip(".")]
    except Exception as error:  # any error of a library: the other cases must still be taken
        return False, [f"unexpected {type(error).__name__} in its files"]


def _taken(pair: Pair, output: Path, acquisition: Acquisition) -> list[str]:
    record = output / RECORDS / f"{pair.name}.json"
    volume = read_case(pair.case, **asdict(acquisition))
    made_of = {"contours_sha256": sha256_of_file(pair.contours), "rois": pair.rois, **asdict(acquisition),
               "input_sha256": volume.source.sha256}  # fmt: skip
    before = _records(output).get(pair.name)
    if before and before["made_of"] == made_of and before["files"] == _digests(output, before["files"]):
        return list(before.get("notes", []))
    record.unlink(missing_ok=True)  # from here on the case is unfinished
    for file in before["files"] if before else ():
        (output / file).unlink(missing_ok=True)
    masks, notes = _masks(pair, volume)
    ctv = Segmentation(masks.pop(CTV).astype(np.uint8), volume.affine, orientation=volume.orientation)
    image = replace(volume, source=replace(volume.source, header=None, frames=()))
    entry: dict[str, Any] = {"case": pair.name, "image": f"{IMAGES}/{pair.name}.nrrd", "patient": pair.patient}
    entry["label"] = f"{LABELS}/{pair.name}.seg.nrrd" if masks else f"{LABELS}/{pair.name}.nii.gz"
    if masks:
        entry["structures"] = dict.fromkeys(masks, entry["label"])
    entry["provenance"] = {**made_of, "spacing_mm": [round(one, 4) for one in volume.spacing_mm],
                           "orientation": volume.orientation, "kind": volume.source.kind}  # fmt: skip
    picture = f"{PICTURES}/{pair.name}.png"
    write(image, output / entry["image"])
    write(replace(ctv, structures=masks), output / entry["label"])
    write_png(output / picture, image, ctv)
    files = _digests(output, [entry["image"], entry["label"], picture])
    write_json(record, {"key": pair.key, "made_of": made_of, "entry": entry, "files": files, "notes": notes})
    return notes


def _digests(output: Path, files: Sequence[str] | Mapping[str, str]) -> dict[str, str]:
    """Return the SHA-256 of files by name; those that are not there are left out."""
    return {file: sha256_of_file(output / file) for file in files if (output / file).is_file()}


def _masks(pair: Pair, volume: Volume) -> tuple[dict[str, Array], list[str]]:
    """Return the masks of a pair on the grid of its image, and why further structures are missing.

    Raise InputError or GeometryError if the CTV cannot be taken.
    """
    header = volume.source.header
    place = str(header.get("FrameOfReferenceUID") or "") if header is not None else ""
    like = Segmentation(np.zeros(volume.array.shape, np.uint8), volume.affine, frame_of_reference=place)
    found, notes = {}, []
    for structure, roi in (pair.rois or {CTV: ""}).items():
        try:
            found[structure] = _mask(pair, volume, like, roi)
        except ProstateSegError as error:
            if structure == CTV:
                raise
            notes.append(f"without {structure}: {str(error).rstrip('.')}")
    return found, notes


def _mask(pair: Pair, volume: Volume, like: Segmentation, roi: str) -> Array:
    mask = read_mask(pair.contours, like=like, structure=(roi,) if roi else ())
    if mask.source_sha256 and mask.source_sha256 != volume.source.sha256:
        raise GeometryError(f"{pair.contours.name} was drawn on another image")
    placed = on_grid_of(volume, mask.mask(), mask.affine, pair.contours.name)[0]
    if not placed.any():
        raise InputError(f"{roi or 'the mask'} in {pair.contours.name} is empty on this image")
    return placed
