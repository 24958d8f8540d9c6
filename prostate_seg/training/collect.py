"""Collection of corrected masks as training cases: images, labels, and a datalist with the origin of each case."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError, OutputError, ProstateSegError
from ..geometry.resample import on_grid_of
from ..geometry.structures import CTV
from ..geometry.volume import Array, Segmentation
from ..reading.cases import read
from ..reading.masks import read_mask, read_segments
from ..system.atomic import replacing_folder
from ..system.digests import sha256_of_file
from ..writing import write
from ..writing.current_mask import given_mask, manifest_of
from ..writing.formats import FORMATS
from ..writing.manifest import HINTS, MANIFEST, mask_digest, voxel_digest
from .datalist import DATALIST, load
from .split import divided, split_of


@dataclass(frozen=True)
class Collected:
    """Datalist, names of the cases taken, and names of the cases left out with the reason."""

    datalist: Path
    taken: tuple[str, ...]
    left_out: Mapping[str, str]
    unchanged: tuple[str, ...]  # names of those left out because nobody changed their mask


class _UnchangedError(InputError):
    """The mask is as it was segmented."""


def collect(
    folders: Sequence[Path],
    output: Path,
    *,
    unchanged: bool = False,
    patients: Mapping[str, str] | None = None,
    validation: int = 0,
) -> Collected:
    """Copy cases that ``segment`` wrote, with their corrected masks, into a new folder for training.

    A mask is corrected if it obeys hints, or if a user changed it since it was written. The new folder contains
    ``datalist.json``, ``images/``, ``labels/`` and, for cases with hints, ``hints/``. Further structures that a
    user drew or changed become the ``structures`` of a case; unchanged ones are left out, and so is a CTV that
    nobody changed beside them. If an error is raised, the folder is not created.

    Parameters
    ----------
    folders
        Folders of cases, or folders that contain them.
    output
        Folder to create; it must not exist.
    unchanged
        Also take masks that were not changed.
    patients
        Patient of each case, by the name of the case. By default each case is its own patient.
    validation
        Use every n-th patient for validation, but at least one if there are two or more patients; 0 for none.

    Raises
    ------
    InputError
        No case can be taken, a folder holds no case, two cases have the same name, or ``patients`` lacks a case.
    OutputError
        The output exists or cannot be written.
    """
    cases = sorted(found for folder in folders for found in _cases(folder))
    names = [case.name for case in cases]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(f"Several cases are called {', '.join(twice)}; rename their folders.")
    unnamed = [] if patients is None else [name for name in names if name not in patients]
    if unnamed:
        raise InputError(f"The table of patients does not name {', '.join(unnamed)}; add them.")
    if os.path.lexists(output):
        raise OutputError(f"{output} is there already; give a new folder.")
    entries, left_out, same = [], {}, []
    with replacing_folder(output) as partial:
        for part in ("images", "labels"):
            (partial / part).mkdir()
        for case in cases:
            try:
                entry = _taken(case, partial, unchanged=unchanged)
            except ProstateSegError as error:
                left_out[case.name] = str(error)
                same += [case.name] if isinstance(error, _UnchangedError) else []
                continue
            except Exception as error:  # any error of a library: the other cases must still be taken
                left_out[case.name] = f"unexpected {type(error).__name__} in its files; segment the case again"
                continue
            entries.append(entry | {"patient": case.name if patients is None else patients[case.name]})
        if not entries:
            reasons = "; ".join(f"{name}: {reason}" for name, reason in list(left_out.items())[:3])
            raise InputError(f"No case can be taken ({reasons or 'there is none'}).")
        parts = split_of((entry["patient"] for entry in entries), validation)
        content = divided(entries, parts, "collected from cases that prostate-seg segmented")
        (partial / DATALIST).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        load(partial / DATALIST)
    return Collected(output / DATALIST, tuple(entry["case"] for entry in entries), left_out, tuple(same))


def _cases(folder: Path) -> list[Path]:
    folder = folder.resolve()
    if (folder / MANIFEST).is_file():
        return [folder]
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder; give folders that prostate-seg segment wrote.")
    found = [place for place in folder.iterdir() if (place / MANIFEST).is_file()]
    if not found:
        raise InputError(f"{folder} holds no case ({MANIFEST}); give folders that prostate-seg segment wrote.")
    return found


def _taken(case: Path, output: Path, *, unchanged: bool) -> dict[str, Any]:
    image_file = case / FORMATS["nrrd"].file
    if not image_file.is_file():
        verb = "refine" if (case / HINTS).exists() else "segment"
        raise InputError(f"{FORMATS['nrrd'].file} is not there; {verb} with --format nrrd,seg-nrrd")
    manifest, given = manifest_of(case), given_mask(case)
    image = read(image_file)
    masks, affine = _masks(given.file)
    placed = {name: on_grid_of(image, mask, affine, name)[0] for name, mask in masks.items()}
    structures = _corrected(placed, manifest)
    label = Segmentation(placed[CTV].astype(np.uint8), image.affine, orientation=image.orientation)
    hints = bool(manifest.get("hints"))
    drawn = mask_digest(label) != manifest.get("ctv_sha256")
    corrected = drawn or hints
    if not corrected and not structures and not unchanged:
        raise _UnchangedError("its mask was not changed since it was segmented (--unchanged takes it too)")
    if not label.labels.any():
        raise InputError("its mask is empty")
    kept = {"hints": _copied_hints(case, output), "changed_after_hints": drawn} if hints else {}
    shutil.copyfile(image_file, output / "images" / f"{case.name}.nrrd")
    entry: dict[str, Any] = {"case": case.name, "image": f"images/{case.name}.nrrd"}
    if corrected or unchanged:
        entry["label"] = f"labels/{case.name}.nii.gz"
        write(label, output / entry["label"])
    if structures:
        file = f"labels/{case.name}.seg.nrrd"
        write(replace(label, structures=structures), output / file)
        entry["structures"] = dict.fromkeys(structures, file)
    entry["provenance"] = {
        "drawn": "corrected" if corrected or structures else "automatic",
        "masks": {
            **({CTV: "corrected" if corrected else "automatic"} if "label" in entry else {}),
            **dict.fromkeys(structures, "corrected"),
        },
        "from": given.file.name,
        "mask_file_sha256": sha256_of_file(given.file),
        "input_sha256": (manifest.get("input") or {}).get("sha256"),
        "bundle": manifest.get("bundle"),
        **kept,
    }
    return entry


def _copied_hints(case: Path, output: Path) -> str:
    """Copy the hints that the mask of a case obeys, and return their path in the new folder."""
    if not (case / HINTS).is_file():
        raise InputError(f"{HINTS} is not there, though its manifest tells of hints; refine the case again")
    (output / "hints").mkdir(exist_ok=True)
    name = f"hints/{case.name}.json"
    shutil.copyfile(case / HINTS, output / name)
    return name


def _masks(file: Path) -> tuple[dict[str, Array], Array]:
    """Return the CTV and further structures of a mask file by name, and the affine. Raise InputError."""
    if not file.name.lower().endswith(".seg.nrrd"):
        single = read_mask(file)
        return {CTV: single.mask()}, single.affine
    segments, affine = read_segments(file)
    name = CTV if CTV in segments else next(iter(segments), "")
    if not name or (len(segments) > 1 and name != CTV):
        raise InputError(f"{file.name} holds {', '.join(segments) or 'no segment'}, expected one CTV")
    return {CTV: segments.pop(name), **segments}, affine


def _corrected(masks: Mapping[str, Array], manifest: Mapping[str, Any]) -> dict[str, Array]:
    """Return the further structures that a user drew or changed, without empty ones."""
    written = manifest.get("structures") or {}
    return {
        name: mask
        for name, mask in masks.items()
        if name != CTV and mask.any() and (written.get(name) or {}).get("sha256") != voxel_digest(mask)
    }
