"""From a mask, as segmented or as corrected in 3D Slicer, back to the formats of planning systems and archives.

What ``prostate-seg export`` does, without printing and without Qt, so that a Slicer module can call it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from .acquisition import Acquisition
from .errors import InputError, SettingsError
from .export import FILES
from .export.delivery import SOFTWARE, SOFTWARE_VERSION, Delivery, Maker, remarks
from .export.files import check_free, replacing_folder
from .export.manifest import MANIFEST, mask_digest, write_manifest
from .export.outputs import Planning, check_source, is_result, write_outputs
from .masks import on_grid_of, read_segments
from .readers import read
from .volume import Array, Segmentation, Volume

Drawn = Literal["automatic", "semiautomatic", "manual"]


@dataclass(frozen=True)
class Order:
    """What is to be handed over, and how.

    mask: a mask file, or a case's folder as ``segment`` writes it. source: the image it was drawn on; of a
    case's folder its ``trus.nrrd`` where None (DICOM formats need the DICOM). segment: the name of the CTV among
    several segments; structures: of further ones. acquisition: how the source is read; a case's own where None.
    drawn: how the mask came about; None: automatic where a case's mask is unchanged, else semiautomatic.
    """

    mask: Path
    formats: tuple[str, ...]
    source: Path | None = None
    segment: str | None = None
    structures: tuple[str, ...] = ()
    acquisition: Acquisition | None = None
    planning: Planning = field(default_factory=Planning)
    drawn: Drawn | None = None


@dataclass(frozen=True)
class HandedOver:
    """The folder that was written, its files, and what to look at."""

    folder: Path
    outputs: list[str]
    notes: list[str]


def hand_over(order: Order, output: Path, *, overwrite: bool = False) -> HandedOver:
    """Write a mask's formats into a folder named after its case below ``output``; all or nothing.

    Raises SettingsError, InputError, GeometryError (another image, or one that has changed) and OutputError.
    """
    order.planning.check(order.formats)
    if order.drawn is not None and order.drawn not in get_args(Drawn):
        raise SettingsError(f"The mask was drawn {order.drawn!r}, expected {' or '.join(get_args(Drawn))}.")
    file, manifest = _mask_file(order.mask)
    name = order.mask.resolve().name if order.mask.is_dir() else _stem(file)
    folder = output / name
    may_replace = is_result if overwrite else None
    check_free(folder, may_replace=may_replace)
    volume = _source(order, file, manifest)
    check_source(volume, order.formats)
    delivery = _delivery(order, file, volume, manifest)
    with replacing_folder(folder, may_replace=may_replace) as partial:
        outputs = [*write_outputs(partial, delivery, order.formats, order.planning), MANIFEST]
        write_manifest(partial / MANIFEST, _manifest(delivery, manifest, outputs))
    return HandedOver(folder, outputs, [*volume.warnings, *remarks(delivery.ctv)])


def _mask_file(mask: Path) -> tuple[Path, dict[str, Any]]:
    """The file with the mask, and the manifest of the case that it lies in (empty where there is none)."""
    if not mask.exists():
        raise InputError(f"{mask}: no such file or folder; give a mask file or the folder of a case.")
    folder = mask if mask.is_dir() else mask.parent
    manifest: dict[str, Any] = {}
    if (folder / MANIFEST).is_file():
        try:
            manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        except ValueError as error:
            raise InputError(f"{folder / MANIFEST} is no JSON ({error}); segment the case again.") from error
    if mask.is_file():
        return mask, manifest
    found = [folder / FILES[name] for name in ("seg-nrrd", "nifti") if (folder / FILES[name]).is_file()]
    if not found:
        raise InputError(
            f"{mask} holds neither {FILES['seg-nrrd']} nor {FILES['nifti']}; give a mask file or one case's folder."
        )
    return found[0], manifest


def _source(order: Order, file: Path, manifest: Mapping[str, Any]) -> Volume:
    """The image that the mask belongs to. Raises InputError where it is not the one that was segmented."""
    image = order.source or file.parent / FILES["nrrd"]
    if order.source is None and not image.is_file():
        raise InputError(f"{file.name} does not say which image it was drawn on; give it with --source.")
    known = {entry.name for entry in fields(Acquisition)}
    stated = {key: value for key, value in (manifest.get("acquisition") or {}).items() if key in known}
    acquisition = order.acquisition or (Acquisition(**stated) if order.source else Acquisition())
    volume = read(
        image,
        frame_spacing_mm=acquisition.frame_spacing_mm,
        frame_order=acquisition.frame_order,
        probe_side=acquisition.probe_side,
    )
    expected = (manifest.get("input") or {}).get("sha256")
    if order.source is not None and expected and expected != volume.source.sha256:
        raise InputError(
            f"{image.name} is not what {file.parent.name} was segmented from, or has changed since (SHA-256 "
            f"{volume.source.sha256[:12]}..., expected {expected[:12]}...); give the image that was segmented."
        )
    return volume


def _delivery(order: Order, file: Path, volume: Volume, manifest: Mapping[str, Any]) -> Delivery:
    segments, affine = read_segments(file)
    chosen = _chosen(segments, order, file)
    on_grid = {name: on_grid_of(volume, segments[name], affine, name) for name in chosen}
    if not on_grid[chosen[0]].any():
        raise InputError(f"The segment {chosen[0]} of {file.name} is empty, so there is nothing to hand over.")
    ctv = Segmentation(on_grid[chosen[0]].astype(np.uint8), volume.affine)
    structures = {name: on_grid[name] for name in chosen[1:]}
    return Delivery(volume, ctv, _maker(order, ctv, manifest), structures)


def _chosen(segments: Mapping[str, Array], order: Order, file: Path) -> list[str]:
    """The names of the CTV and of the further structures."""
    names = ", ".join(segments)
    if order.segment is None and len(segments) > 1:
        raise InputError(f"{file.name} has {len(segments)} segments ({names}); choose the CTV with --segment NAME.")
    chosen = [next(iter(segments)) if order.segment is None else order.segment, *order.structures]
    for name in chosen:
        if name not in segments:
            raise InputError(f"{file.name} has no segment {name!r}; it has {names}.")
        if chosen.count(name) > 1:
            raise SettingsError(f"The segment {name!r} is asked for twice; give each once.")
    return chosen


def _maker(order: Order, ctv: Segmentation, manifest: Mapping[str, Any]) -> Maker:
    unchanged = bool(manifest) and manifest.get("ctv_sha256") == mask_digest(ctv)
    drawn = order.drawn or ("automatic" if unchanged else "semiautomatic")
    bundle = manifest.get("bundle") or {"name": SOFTWARE, "version": SOFTWARE_VERSION}
    kind: Any = drawn.upper()
    return Maker(str(bundle["name"]), str(bundle["version"]), kind)


def _manifest(delivery: Delivery, manifest: Mapping[str, Any], outputs: list[str]) -> dict[str, Any]:
    """What was handed over, without names and paths; of the case it comes from: bundle and acquisition."""
    volume, ctv = delivery.volume, delivery.ctv
    kept = {key: manifest[key] for key in ("bundle", "acquisition") if key in manifest}
    return kept | {
        "input": {"kind": volume.source.kind, "sha256": volume.source.sha256},
        "ctv_sha256": mask_digest(ctv),
        "drawn": delivery.maker.kind.lower(),
        "orientation": volume.orientation,
        "spacing_mm": [round(value, 6) for value in volume.spacing_mm],
        "volume_ml": round(ctv.volume_ml, 3),
        "warnings": [*volume.warnings, *remarks(ctv)],
        "outputs": outputs,
        "versions": {SOFTWARE: SOFTWARE_VERSION},
        "statement": "research use only, not a medical device",
    }


def _stem(file: Path) -> str:
    name = file.name
    for suffix in (".seg.nrrd", ".nii.gz", ".nii", ".nrrd", ".mha"):
        if name.lower().endswith(suffix):
            return name[: -len(suffix)]
    return name
