"""Things in a structure set: a needle is an ROI with an open line, seeds are an ROI with points (PS3.3 C.8.8.6)."""

from __future__ import annotations

import numpy as np
from pydicom import Dataset

from ...geometry.structures import LONGEST_NAME, key
from ...geometry.things import Point, Thing
from ..contoured_volume import ContouredVolume
from ..things import numbered
from .source import frame_of_reference
from .values import code, item

LABEL_LENGTH = 16


def add_things(dataset: Dataset, contoured: ContouredVolume, references: list[Dataset]) -> None:
    """Add an ROI for each needle (OPEN_NONPLANAR, from entry to tip) and one for all seeds (POINT, their centres).

    A point refers to the slice that is nearest to it; a needle crosses slices and refers to none.
    """
    groups = [(name, [one]) for name, one in numbered(contoured.ctv.things) if _is_needle(one)]
    others: dict[str, list[Thing]] = {}
    for one in contoured.ctv.things:
        if not _is_needle(one):
            others.setdefault(one.structure, []).append(one)
    groups += [(f"{name}s", found) for name, found in others.items()]
    for name, group in groups:
        number = len(dataset.StructureSetROISequence) + 1
        meaning = contoured.ctv.meaning(group[0].structure)
        dataset.StructureSetROISequence.append(
            item(
                ROINumber=number,
                ReferencedFrameOfReferenceUID=frame_of_reference(contoured.volume),
                ROIName=name[:LONGEST_NAME],
                ROIGenerationAlgorithm=contoured.author.structures,
            )
        )
        contours = [
            _line(one) if _is_needle(one) else _point(one, n, contoured, references)
            for n, one in enumerate(group, 1)
        ]
        dataset.ROIContourSequence.append(
            item(ReferencedROINumber=number, ROIDisplayColor=list(meaning.colour), ContourSequence=contours)
        )
        kind = meaning.type
        dataset.RTROIObservationsSequence.append(
            item(
                ObservationNumber=number,
                ReferencedROINumber=number,
                ROIObservationLabel=name[:LABEL_LENGTH],
                RTROIInterpretedType=meaning.rt_type,
                ROIInterpreter="",
                RTROIIdentificationCodeSequence=[code(kind.value, kind.scheme, kind.meaning)],
            )
        )


def _is_needle(thing: Thing) -> bool:
    return key(thing.structure) == "needle"


def _line(thing: Thing) -> Dataset:
    points = [thing.start_mm, thing.end_mm]
    return item(
        ContourNumber=1,
        ContourGeometricType="OPEN_NONPLANAR",
        NumberOfContourPoints=len(points),
        ContourData=[text for point in points for text in _lps(point)],
    )


def _point(thing: Thing, number: int, contoured: ContouredVolume, references: list[Dataset]) -> Dataset:
    at = np.linalg.inv(contoured.volume.affine) @ [*thing.centre_mm, 1.0]
    k = int(np.clip(round(float(at[2])), 0, len(references) - 1))
    return item(
        ContourNumber=number,
        ContourImageSequence=[references[k]],
        ContourGeometricType="POINT",
        NumberOfContourPoints=1,
        ContourData=_lps(thing.centre_mm),
    )


def _lps(point: Point) -> list[str]:
    """Return a point in RAS mm as the texts of its LPS coordinates."""
    return [f"{value + 0.0:.5f}" for value in (-point[0], -point[1], point[2])]
