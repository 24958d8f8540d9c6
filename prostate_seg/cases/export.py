"""Export of a mask to the formats of planning systems and archives.

The mask may be unchanged since the segmentation, or corrected in 3D Slicer. The module does the work of
``prostate-seg export``. It prints nothing and does not use Qt, so a Slicer module can call it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal, cast, get_args

import numpy as np

from ..errors import InputError, SettingsError
from ..geometry.resample import on_grid_of
from ..geometry.structures import CTV, key
from ..geometry.things import grouped
from ..geometry.volume import Array, Segmentation, Volume, volume_ml
from ..reading.acquisition import Acquisition
from ..reading.cases import read
from ..reading.masks import read_segments, stem_of
from ..system.atomic import check_free, replacing_folder
from ..system.half_written import remove_abandoned
from ..system.source_digest import phantom_trained_segments
from ..writing.contoured_volume import (
    SOFTWARE,
    SOFTWARE_VERSION,
    Author,
    ContouredVolume,
    Kind,
    mask_warnings,
)
from ..writing.current_mask import GivenMask, given_mask, source_of
from ..writing.formats import FORMATS, check_probability, check_source
from ..writing.manifest import Manifest, Model, mask_digest
from ..writing.request import Planning, Request
from .earlier_results import check_apart, is_replaceable_result, unchanged_hints
from .folder import (
    check_identity,
    check_several,
    fill_case_folder,
    mask_facts,
    stated,
    structure_facts,
    structure_remark,
    thing_facts,
)
from .origin import origin_remarks, things_beside

Drawn = Literal["automatic", "semiautomatic", "manual"]


@dataclass(frozen=True)
class ExportOptions:
    """Settings of an export.

    Attributes
    ----------
    mask
        Mask file, or a folder that ``segment`` wrote.
    formats
        Names of :data:`prostate_seg.writing.formats.FORMATS`.
    source
        Image that the mask was drawn on. None: ``trus.nrrd`` in the case's folder. DICOM formats need the DICOM
        files.
    segment
        Name of the CTV; required if the mask has several segments and none is called CTV.
    structures
        Names of further segments to export, or ``all``: all that are not empty.
    acquisition
        How to read the source. The manifest of the case gives the values that are None here.
    planning
        How to write the structure set.
    drawn
        How the mask was drawn. None: the value of the case if its mask is unchanged, otherwise semiautomatic.
    identify
        Whether the report names case and patient.
    name
        Name of the new folder. None: the name of the mask file or of its folder.
    """

    mask: Path
    formats: tuple[str, ...]
    source: Path | None = None
    segment: str | None = None
    structures: tuple[str, ...] = ()
    acquisition: Acquisition | None = None
    planning: Planning = field(default_factory=Planning)
    drawn: Drawn | None = None
    identify: bool = False
    name: str | None = None


@dataclass(frozen=True)
class Exported:
    """Result of an export.

    Attributes
    ----------
    folder
        Folder that was written.
    outputs
        Names of its files.
    notes
        Remarks that the user should check.
    """

    folder: Path
    outputs: list[str]
    notes: list[str]


def export_case(options: ExportOptions, output: Path, *, overwrite: bool = False) -> Exported:
    """Write a mask in all requested formats into a new folder below ``output``.

    The folder has the name of the case. If an error occurs, nothing is written.

    Parameters
    ----------
    options
        Settings of the export.
    output
        Parent of the new folder.
    overwrite
        Replace a folder of the same name if it holds only unchanged earlier results.

    Raises
    ------
    SettingsError
        The settings contradict each other or are invalid.
    InputError
        The mask or the image cannot be read, a segment is missing, or the image is not that of the case.
    GeometryError
        The mask was drawn on another image, or on another version of the image.
    OutputError
        The folder cannot be written, or it must not be replaced.
    """
    options.planning.check(options.formats)
    check_identity(options.formats, identify=options.identify)
    if options.drawn is not None and options.drawn not in get_args(Drawn):
        raise SettingsError(f"The mask was drawn {options.drawn!r}, expected {' or '.join(get_args(Drawn))}.")
    if options.structures:
        check_several(options.formats, "--structure")
    given = given_mask(options.mask)
    own = options.mask.resolve().name if options.mask.is_dir() else stem_of(given.file)
    folder = output / (options.name or own)
    check_apart(folder, [given.file, *([options.source] if options.source else [])])
    remove_abandoned(output)
    may_replace = is_replaceable_result if overwrite else None
    check_free(folder, may_replace=may_replace)
    acquisition = _acquisition(options, given.manifest)
    volume = _source(options, given, acquisition)
    check_source(volume, options.formats)
    contoured, notes = _contoured(options, given, volume)
    options.planning.check_structures(list(contoured.masks))
    check_probability(contoured.ctv, options.formats)
    notes = [*volume.warnings, *notes, *mask_warnings(contoured.ctv)]
    with replacing_folder(folder, may_replace=may_replace) as partial:
        manifest = _manifest(contoured, given.manifest, acquisition, notes)
        identity = folder.name if options.identify else None
        request = Request(contoured, options.formats, options.planning, manifest, identity)
        obeyed = unchanged_hints(given.file.parent, given.manifest, volume) if "hints" in manifest else None
        outputs = fill_case_folder(partial, request, obeyed)
    return Exported(folder, outputs, notes)


def _acquisition(options: ExportOptions, manifest: Mapping[str, Any]) -> Acquisition:
    """Return how to read the source: by the options, and by the case's manifest for what they leave open."""
    known = {entry.name for entry in fields(Acquisition)}
    stated = {key: value for key, value in (manifest.get("acquisition") or {}).items() if key in known}
    said = asdict(options.acquisition) if options.acquisition else {}
    return Acquisition(**(stated | {key: value for key, value in said.items() if value is not None}))


def _source(options: ExportOptions, given: GivenMask, acquisition: Acquisition) -> Volume:
    """Read the image that the mask belongs to. Raise InputError if it is not the image that was segmented."""
    own = given.file.parent / FORMATS["nrrd"].file
    if options.source is None or (own.is_file() and options.source.resolve() == own.resolve()):
        if not own.is_file():
            raise InputError(f"{given.file.name} does not say which image it was drawn on; give it with --source.")
        volume = read(own)
        return replace(volume, orientation=given.manifest.get("orientation", volume.orientation))
    volume = read(
        options.source,
        frame_spacing_mm=acquisition.frame_spacing_mm,
        frame_order=acquisition.frame_order,
        probe_side=acquisition.probe_side,
    )
    expected = source_of(given.manifest)
    if expected and expected != volume.source.sha256:
        raise InputError(
            f"{options.source.name} is not what {given.file.parent.name} was segmented from, or has changed since "
            f"(SHA-256 {volume.source.sha256[:12]}..., expected {expected[:12]}...); give the one that was."
        )
    return volume


def _contoured(options: ExportOptions, given: GivenMask, volume: Volume) -> tuple[ContouredVolume, list[str]]:
    """Return the contoured, and notes on how its masks were changed."""
    segments, affine = read_segments(given.file)
    chosen = _chosen(segments, options, given.file)
    numbers = {name: number for number, name in enumerate(segments) if name in chosen}
    notes = origin_remarks(options.source, given, volume, numbers)
    placed = {name: on_grid_of(volume, segments[name], affine, name) for name in chosen}
    if not placed[chosen[0]][0].any():
        raise InputError(
            f"The segment {chosen[0]} of {given.file.name} is empty, so there is nothing to hand over."
        )
    notes += [
        _interpolated(
            CTV if name == chosen[0] else name,
            before_ml=volume_ml(segments[name], affine),
            after_ml=volume_ml(mask, volume.affine),
        )
        for name, (mask, exact) in placed.items()
        if not exact
    ]
    ctv = Segmentation(
        placed[chosen[0]][0].astype(np.uint8),
        volume.affine,
        orientation=volume.orientation,
        source_sha256=volume.source.sha256,
    )
    structures = {name: placed[name][0] for name in chosen[1:]}
    marked = phantom_trained_segments(given.file)
    trained = [name for number, name in enumerate(segments) if number in marked and name in chosen]
    things, trained_things = things_beside(options.source, given, volume)
    if trained or trained_things:
        notes.append(structure_remark([*trained, *trained_things]))
    names = [CTV if name == chosen[0] else name for name in trained]
    ctv = replace(ctv, phantom_trained=(*names, *trained_things), things=things)
    author = _maker(options, ctv, given.manifest)
    return ContouredVolume(volume, ctv, author, structures), notes


def _interpolated(name: str, *, before_ml: float, after_ml: float) -> str:
    return (
        f"The {name} was drawn on another grid and interpolated onto the image's, {before_ml:.2f} mL became "
        f"{after_ml:.2f}: check that it belongs to this image."
    )


def _chosen(segments: Mapping[str, Array], options: ExportOptions, file: Path) -> list[str]:
    """Return the names of the CTV and of the further structures. Raise InputError if one is missing."""
    names = ", ".join(segments)
    named = next((name for name in segments if key(name) == key(CTV)), None)
    if options.segment is None and len(segments) > 1 and named is None:
        raise InputError(f"{file.name} has {len(segments)} segments ({names}); choose the CTV with --segment NAME.")
    ctv = options.segment or named or next(iter(segments))
    every = "all" in map(key, options.structures)
    filled = [name for name in segments if key(name) != key(ctv) and segments[name].any()]
    others = filled if every else options.structures
    by_key = {key(name): name for name in segments}
    chosen = [name if name in segments else by_key.get(key(name), name) for name in (ctv, *others)]
    for name in chosen:
        if name not in segments:
            raise InputError(f"{file.name} has no segment {name!r}; it has {names}.")
        if chosen.count(name) > 1:
            raise SettingsError(f"The segment {name!r} is asked for twice; give each once.")
    return chosen


def _maker(options: ExportOptions, ctv: Segmentation, manifest: Mapping[str, Any]) -> Author:
    unchanged = bool(manifest) and manifest.get("ctv_sha256") == mask_digest(ctv)
    first = "semiautomatic" if manifest.get("hints") else "automatic"
    drawn = options.drawn or (manifest.get("drawn", first) if unchanged else "semiautomatic")
    bundle = manifest.get("bundle") or {"name": SOFTWARE, "version": SOFTWARE_VERSION}
    kinds = (cast(Kind, drawn.upper()), cast(Kind, (options.drawn or "manual").upper()))
    return Author(str(bundle["name"]), str(bundle["version"]), *kinds)


def _manifest(
    contoured: ContouredVolume, manifest: Mapping[str, Any], acquisition: Acquisition, warnings: list[str]
) -> Manifest:
    """Return the manifest of the export, without names and paths; the bundle is that of the segmented case."""
    made: Manifest = {
        **mask_facts(contoured.volume, contoured.ctv),
        "acquisition": stated(acquisition),
        "warnings": warnings,
        "drawn": contoured.author.kind.lower(),
        "versions": {SOFTWARE: SOFTWARE_VERSION},
    }
    if contoured.structures:
        whole = replace(contoured.ctv, structures=contoured.structures)
        made["structures"] = structure_facts(whole)
    if contoured.ctv.things:
        made["things"] = thing_facts(contoured.ctv, list(grouped(contoured.ctv.things)))
    if manifest.get("hints") and manifest.get("ctv_sha256") == made["ctv_sha256"]:
        made["hints"] = manifest["hints"]
    if set(manifest.get("bundle", ())) == set(Model.__annotations__):
        made["bundle"] = manifest["bundle"]
    return made
