"""The pairs of an export as cases to prepare: contours on the grid of their image."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial

import numpy as np

from ..errors import GeometryError, InputError, ProstateSegError
from ..geometry.resample import on_grid_of
from ..geometry.structures import CTV
from ..geometry.volume import Array, Segmentation, Volume
from ..reading.acquisition import Acquisition
from ..reading.cases import read_case
from ..reading.masks import read_mask
from ..system.digests import sha256_of_file
from .export_pairs import Pair, Pairing
from .found_cases import Found, Item, Loaded, Opened


def items_of(pairing: Pairing, acquisition: Acquisition) -> Found:
    """Return the cases of an export.

    Parameters
    ----------
    pairing
        Result of :func:`.export_pairs.pair_export`.
    acquisition
        Values that the images lack.
    """
    items = [
        Item(pair.name, pair.key, pair.patient, pair.case.name, pair.contours.name, pair.rois,
             partial(_opened, pair, acquisition), person=pair.person)
        for pair in pairing.pairs
    ]  # fmt: skip
    return Found(tuple(items), pairing.left_over, "export", pairing.images, pairing.failed)


def _opened(pair: Pair, acquisition: Acquisition) -> Opened:
    volume = read_case(pair.case, **asdict(acquisition))
    made_of = {"contours_sha256": sha256_of_file(pair.contours), "rois": pair.rois, **asdict(acquisition),
               "input_sha256": volume.source.sha256}  # fmt: skip
    return Opened(made_of, partial(_loaded, pair, volume))


def _loaded(pair: Pair, volume: Volume) -> Loaded:
    """Return a pair with its masks. Raise InputError or GeometryError if the CTV cannot be taken."""
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
    return Loaded(volume, found, tuple(notes))


def _mask(pair: Pair, volume: Volume, like: Segmentation, roi: str) -> Array:
    mask = read_mask(pair.contours, like=like, structure=(roi,) if roi else ())
    if mask.source_sha256 and mask.source_sha256 != volume.source.sha256:
        raise GeometryError(f"{pair.contours.name} was drawn on another image")
    placed = on_grid_of(volume, mask.mask(), mask.affine, pair.contours.name)[0]
    if not placed.any():
        raise InputError(f"{roi or 'the mask'} in {pair.contours.name} is empty on this image")
    return placed
