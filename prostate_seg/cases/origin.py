"""Which image a mask was drawn on, and the things beside it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ..geometry.things import Thing
from ..geometry.volume import Volume
from ..reading.panoptic import SEGMENTS, is_panoptic
from ..reading.things import FILE, image_of_things, phantom_trained_things, read_things
from ..system.source_digest import check_drawn_on, recorded_sources
from ..writing.current_mask import GivenMask, manifest_of, source_of
from ..writing.formats import FORMATS

GRID_ONLY = (
    "Nothing says which image the mask was drawn on, so the two were matched by their grid only: check that it "
    "belongs to this image."
)


def origin_remarks(source: Path | None, given: GivenMask, volume: Volume, segments: Mapping[str, int]) -> list[str]:
    """Check that the segments were drawn on this image; return a note if no file names the image.

    The ``trus.nrrd`` of a case is also identified by the digest of the image that was segmented. ``segments`` holds
    the number of each exported segment in the mask file. Raise GeometryError if a segment was drawn on another
    image.
    """
    image, of_case = _image(source, given)
    recorded = recorded_sources(given.file)
    drawn_on = {name: recorded[number] for name, number in segments.items() if number in recorded}
    if source is None and not of_case:
        return [GRID_ONLY]
    check_drawn_on(given.file, drawn_on, image.name, {volume.source.sha256, of_case} - {""})
    return [] if drawn_on or source_of(given.manifest) else [GRID_ONLY]


def things_beside(
    source: Path | None, given: GivenMask, volume: Volume
) -> tuple[tuple[Thing, ...], tuple[str, ...]]:
    """Return the things in the ``things.json`` beside a mask, or in the ``segments.json`` of a panoptic map.

    The second part are the names of those whose model was trained on phantoms alone. Raise InputError if the file
    cannot be read, GeometryError if the things lie in another image.
    """
    file = given.file.with_name(SEGMENTS if is_panoptic(given.file) else FILE)
    if not file.is_file():
        return (), ()
    image, of_case = _image(source, given)
    drawn_on = {"things": digest} if (digest := image_of_things(file)) else {}
    if source is not None or of_case:  # otherwise nothing says which image this is, see origin_remarks
        check_drawn_on(file, drawn_on, image.name, {volume.source.sha256, of_case} - {""})
    return read_things(file), phantom_trained_things(file)


def _image(source: Path | None, given: GivenMask) -> tuple[Path, str]:
    """Return the image that a mask is exported with, and the digest of the image that a case was made from."""
    image = source or given.file.parent / FORMATS["nrrd"].file
    return image, source_of(manifest_of(image.parent)) if image.name == FORMATS["nrrd"].file else ""
