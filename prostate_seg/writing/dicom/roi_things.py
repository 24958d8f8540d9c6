"""Things in a structure set: a needle is an ROI with an open line, seeds are an ROI with points (PS3.3 C.8.8.6)."""

from __future__ import annotations

import numpy as np
from pydicom import Dataset

from ...errors import SettingsError
from ...geometry.structures import LONGEST_NAME, key
from ...geometry.things import Point, Thing, grouped, numbered
from ..contoured_volume import ContouredVolume
from ..roi_names import RoiNames
from ..things import NEEDLE
from .source import frame_of_reference
from .values import code, item

LABEL_LENGTH = 16


def add_things(dataset: Dataset, contoured: ContouredVolume, references: list[Dataset], names: RoiNames) -> None:
    """Add an ROI for each needle (OPEN_NONPLANAR, from entry to tip) and one for all seeds (POINT, their centres).

    A point refers to the slice that is nearest to it; a needle crosses slices and refers to none. Raise
    SettingsError if an ROI of this name is there already.
    """
    groups = [(f"{names.name(one.structure)}{label[len(one.structure):]}", [one])
              for label, one in numbered(contoured.ctv.things) if key(one.structure) == NEEDLE]  # fmt: skip
    groups += [
        (f"{names.name(name)}s", found)
        for name, found in grouped(contoured.ctv.things).items()
        if key(name) != NEEDLE
    ]
    taken = {key(str(roi.ROIName)) for roi in dataset.StructureSetROISequence}
    if twice := next((name for name, _ in groups if key(name) in taken), None):
        raise SettingsError(f"There is a structure called {twice} already; give it another name by --names.")
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
        if remark := contoured.remark_on(group[0].structure):
            dataset.StructureSetROISequence[-1].ROIDescription = remark
        contours = [
            _line(one) if key(one.structure) == NEEDLE else _point(one, n, contoured, references)
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
                RTROIInterpretedType=names.type(group[0].structure) or meaning.rt_type,
                ROIInterpreter="",
                RTROIIdentificationCodeSequence=[code(kind.value, kind.scheme, kind.meaning)],
            )
        )


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
