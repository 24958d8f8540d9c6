"""Folder of a case: outputs, report and manifest."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..errors import SettingsError
from ..evaluation.metrics.patient import extents_mm
from ..geometry.extent import extent_mm
from ..geometry.hints import Hints
from ..geometry.structures import key
from ..geometry.things import grouped
from ..geometry.volume import Segmentation, Volume, volume_ml
from ..reading.acquisition import Acquisition
from ..system.digests import digests_of
from ..system.json_files import write_json
from ..writing.formats import FORMATS, empty_formats, write_formats
from ..writing.hints import write_hints
from ..writing.manifest import (
    DIGESTS,
    HINTS,
    MANIFEST,
    AcquisitionOptions,
    Extent,
    MaskFacts,
    StructureFacts,
    ThingFacts,
    mask_digest,
    voxel_digest,
)
from ..writing.request import Request

REPORT, THINGS = "report", "things"


def check_identity(formats: Sequence[str], *, identify: bool, anonymous: bool = False) -> None:
    """Raise SettingsError if identify is set but there is no report, or if anonymous is set as well."""
    if identify and anonymous:
        raise SettingsError(
            "--anonymous-names keeps names out of the results, --identify puts them into the report; give one."
        )
    if identify and not {REPORT, "planimetry"} & set(formats):
        raise SettingsError(
            f"--identify is about {FORMATS[REPORT].file} and planimetry.html; add {REPORT} or planimetry to "
            "--format."
        )


def check_several(formats: Sequence[str], option: str) -> None:
    """Raise SettingsError if an option asks for further structures and no format holds several."""
    if not any(FORMATS[name].structures for name in formats):
        several = ", ".join(row.name for row in FORMATS.values() if row.structures)
        raise SettingsError(f"{option} is about formats that hold several; add one of {several} to --format.")


def with_things(formats: Sequence[str], things: Sequence[str]) -> tuple[str, ...]:
    """Return the formats, and ``things`` if things are looked for, so that none is lost.

    Raise SettingsError if a format of things is asked for, but no things.
    """
    if things:
        return tuple(dict.fromkeys([*formats, THINGS]))
    if names := empty_formats(formats, things=False):
        raise SettingsError(
            f"--format {', '.join(names)} is about needles and seeds; ask for them, as by --structures needle,seed."
        )
    return tuple(formats)


def identity_remark(formats: Sequence[str]) -> str:
    """Return a warning that names the formats with patient attributes; empty if there are none."""
    named = ", ".join(FORMATS[name].file for name in formats if "dicom" in FORMATS[name].needs)
    if not named:
        return ""
    return (
        f"Not anonymous: {named} with the patient's name, ID and dates, as DICOM asks; leave DICOM formats out, or "
        "take the identity out of the images first."
    )


def stated(acquisition: Acquisition) -> AcquisitionOptions:
    """Return the acquisition options as they appear in the manifest."""
    return {
        "frame_spacing_mm": acquisition.frame_spacing_mm,
        "frame_order": acquisition.frame_order,
        "probe_side": acquisition.probe_side,
    }


def mask_facts(volume: Volume, ctv: Segmentation) -> MaskFacts:
    """Return the manifest entries of a mask and its image. Undefined numbers are null."""
    single = volume.array.shape[2] == 1
    along_axes = [round(value, 2) for value in extent_mm(ctv)]
    extent: Extent = {"axes": [*along_axes[:2], None] if single else [*along_axes], "patient": None}
    if volume.orientation == "assumed":
        extent["reason"] = "the file gives no orientation"
    else:
        extent["patient"] = _extents_in_patient(ctv)
    return {
        "input": {"kind": volume.source.kind, "sha256": volume.source.sha256},
        "orientation": volume.orientation,
        "ctv_sha256": mask_digest(ctv),
        "spacing_mm": [round(value, 6) for value in volume.spacing_mm],
        "volume_ml": None if single else round(ctv.volume_ml, 3),
        "extent_mm": extent,
        "statement": "research use only, not a medical device",
    }


def structure_facts(segmentation: Segmentation) -> dict[str, StructureFacts]:
    """Return the manifest entries of the further structures."""
    single = segmentation.labels.shape[2] == 1
    return {
        name: {
            "volume_ml": None if single else round(volume_ml(mask, segmentation.affine), 3),
            "learnt_on": _learnt_on(segmentation, name),
            "sha256": voxel_digest(mask),
        }
        for name, mask in segmentation.structures.items()
    }


def thing_facts(segmentation: Segmentation, names: Sequence[str]) -> dict[str, ThingFacts]:
    """Return the manifest entries of the things that were looked for."""
    found = {key(name): things for name, things in grouped(segmentation.things).items()}
    return {
        name: {"count": len(found.get(key(name), [])), "learnt_on": _learnt_on(segmentation, name)}
        for name in names
    }


def _learnt_on(segmentation: Segmentation, name: str) -> str:
    if name in segmentation.phantom_trained:
        return "phantoms"
    return "patients" if segmentation.model else "none"  # none: drawn by hand


def structure_remark(names: Sequence[str]) -> str:
    """Return the warning on structures that no patient taught."""
    return f"Phantom-trained, not tried on a patient: {', '.join(names)}. Check and correct each of them."


def structure_warnings(segmentation: Segmentation) -> list[str]:
    """Return warnings on further structures: those that no patient taught, and those that were not found."""
    found = []
    if segmentation.phantom_trained:
        found.append(structure_remark(segmentation.phantom_trained))
    empty = [name for name, mask in segmentation.structures.items() if not mask.any()]
    if empty:
        found.append(f"Not found in this image: {', '.join(empty)}.")
    return found


def _extents_in_patient(ctv: Segmentation) -> dict[str, float | None]:
    """Return the extents along the patient's axes; for a single slice, the extent across the slice is None."""
    affine = np.array(ctv.affine)
    across = int(np.abs(affine[:3, 2]).argmax()) if ctv.labels.shape[2] == 1 else None
    if across is not None:
        affine[:3, 2] = 0.0
    extents = extents_mm(ctv.mask(), affine)
    names = ("left_right", "anterior_posterior", "superior_inferior")
    return {
        name: None if index == across else round(length, 2)
        for index, (name, length) in enumerate(zip(names, extents, strict=True))
    }


def fill_case_folder(folder: Path, request: Request, hints: Hints | None = None) -> list[str]:
    """Write all requested formats, the hints if they are given, and the manifest; return the file names.

    Raise OutputError on failure.
    """
    outputs = [*write_formats(folder, request), MANIFEST]
    if hints is not None:
        write_hints(folder / HINTS, hints)
        outputs.append(HINTS)
    write_json(folder / MANIFEST, {**(request.manifest or {}), "outputs": outputs, DIGESTS: digests_of(folder)})
    return outputs
