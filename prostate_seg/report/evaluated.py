"""The page content of an evaluated case: its image, its two masks, and their differences."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from ..errors import ProstateSegError
from ..evaluation import CaseResult
from ..evaluation.masks_of_pair import read_pair
from ..evaluation.metrics import Metrics
from ..geometry.volume import Segmentation, Volume, same_grid
from ..reading.cases import read
from ..system.input_files import SUFFIXES, stem, suffix
from ..writing.formats import FORMATS
from ..writing.view import view_of
from .case_page import CaseReport
from .labels import LABELS
from .slices import overlay
from .viewer import PREDICTION_COLOUR, REFERENCE_COLOUR, Layer


def evaluated_case(result: CaseResult, images: Path | None = None) -> CaseReport:
    """Return the report of an evaluated case, read again from its files.

    If there is no image on the masks' grid, or if several files could be the image, the contours are drawn on
    black, and the page has a warning. Errors from reading the masks are passed on.

    Parameters
    ----------
    result
        Result of the case.
    images
        Folder with an image NAME.* or a folder NAME for each case. If it is None or has no file for the case, the
        volume that ``segment`` wrote beside the mask is used.
    """
    assert result.prediction is not None
    assert result.reference is not None
    assert result.metrics is not None
    files = result.prediction, result.reference
    prediction, reference, note = read_pair(*files, resample=True, structure=result.structure)
    volume, missing = _image(result, images, reference)
    assumed = "assumed" in (prediction.orientation, reference.orientation)
    return CaseReport(
        f"Evaluation of {result.name}",
        replace(volume, orientation="assumed" if assumed else "file"),
        [
            Layer("Prediction", prediction.mask(), PREDICTION_COLOUR),
            Layer("Reference", reference.mask(), REFERENCE_COLOUR, True),
        ],
        results=_told(result.metrics),
        warnings=[text for text in (missing, note) if text],
        provenance=[("Prediction", result.prediction.name), ("Reference", result.reference.name)],
        back=[("All cases", "../report.html")],
    )


def worst_slice(report: CaseReport) -> str:
    """Return the slice on which prediction and reference differ most, with both outlines, as SVG."""
    masks = [layer.mask for layer in report.layers]
    view = view_of(report.volume, masks)
    differ = view.of(masks[0] ^ masks[1]).sum(axis=(0, 1))
    drawn = [(layer.mask, layer.colour, layer.dashed) for layer in reversed(report.layers)]
    return overlay(view, drawn, int(np.argmax(differ)))


def told(value: float | int | None) -> str:
    """Return a number as text for a page; None gives a hyphen."""
    if value is None:
        return "-"
    if isinstance(value, int):
        return str(value)
    return f"{value:.3f}" if abs(value) < 1 else f"{value:.2f}"


def _told(metrics: Metrics) -> list[tuple[str, str]]:
    values = asdict(metrics)
    return [(LABELS[name], told(value)) for name, value in values.items() if value is not None]


def _image(result: CaseResult, images: Path | None, like: Segmentation) -> tuple[Volume, str]:
    """Return the image beneath the contours and an empty text, or a black image and the reason for it."""
    black = Volume(np.zeros(like.labels.shape, np.uint8), like.affine)
    places = _places(result, images)
    if len(places) != 1:
        names = " and ".join(place.name for place in places)
        why = f"{names} could both be the image of this case" if places else "No image of this case was given"
        return black, f"{why}: the contours lie on black."
    try:
        volume = read(places[0])
        view_of(volume)
    except ProstateSegError as error:
        return black, f"The image cannot be shown, the contours lie on black: {error}"
    if not same_grid(volume, like):
        return black, "The image lies on another grid than the reference: the contours lie on black."
    return volume, ""


def _places(result: CaseResult, images: Path | None) -> list[Path]:
    """Return the possible image files of a case.

    They lie in the folder of images under the case's name, or beside the prediction.
    """
    assert result.prediction is not None
    beside = [path for path in [result.prediction.parent / FORMATS["nrrd"].file] if path.is_file()]
    if images is None:
        return beside
    if (images / result.case / FORMATS["nrrd"].file).is_file():  # a case's folder from segment
        return [images / result.case / FORMATS["nrrd"].file]
    if (images / result.case).is_dir():
        return [images / result.case]
    kinds = {*SUFFIXES, ".dcm", ".zip"}
    named = [path for path in sorted(images.iterdir()) if stem(path.name) == result.case]
    return [path for path in named if suffix(path.name) in kinds] or beside
