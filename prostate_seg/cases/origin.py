"""Which image a mask was drawn on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ..geometry.volume import Volume
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
    image = source or given.file.parent / FORMATS["nrrd"].file
    recorded = recorded_sources(given.file)
    drawn_on = {name: recorded[number] for name, number in segments.items() if number in recorded}
    of_case = source_of(manifest_of(image.parent)) if image.name == FORMATS["nrrd"].file else ""
    if source is None and not of_case:
        return [GRID_ONLY]
    check_drawn_on(given.file, drawn_on, image.name, {volume.source.sha256, of_case} - {""})
    return [] if drawn_on or source_of(given.manifest) else [GRID_ONLY]
