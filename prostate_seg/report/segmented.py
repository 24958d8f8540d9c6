"""The report of a case that was segmented, or of a mask that was exported."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, cast

from ..assessment.facts import Uncertainty
from ..geometry.things import grouped
from ..writing.contoured_volume import ContouredVolume
from ..writing.manifest import Manifest
from ..writing.request import Request
from .case_page import CaseReport, write_case_page
from .things import ThingLayer
from .viewer import Layer

_ORIENTATION = {"file": "from the file", "option": "from the options", "assumed": "assumed, the file has none"}
IDENTITY = (("Patient's Name", "PatientName"), ("Patient ID", "PatientID"), ("Study Date", "StudyDate"))


def case_report_of(contoured: ContouredVolume, manifest: Manifest, *, identity: str | None = None) -> CaseReport:
    """Return the report of a contoured and its manifest.

    The parameter ``identity`` is the name of the case, or None. With a name, the page contains this name, and
    name, ID and date of a DICOM source. With None, nothing on the page identifies the patient, and the title
    contains the first 12 digits of the input's SHA-256.
    """
    volume = contoured.volume
    digits = volume.source.sha256[:12] or "of an array"
    return CaseReport(
        f"Prostate CTV: {identity or f'case {digits}'}",
        volume,
        _layers(contoured),
        contoured.ctv.probability,
        things=_things(contoured),
        results=[*who(contoured, identity), *_results(manifest)],
        warnings=list(manifest["warnings"]),
        provenance=_provenance(manifest),
    )


def who(contoured: ContouredVolume, identity: str | None) -> list[tuple[str, str]]:
    """Return name, ID and date of the source if the page shall identify the patient, otherwise nothing."""
    if identity is None:
        return []
    header = contoured.volume.source.header
    found = [(text, str(header.get(tag))) for text, tag in IDENTITY if header is not None and header.get(tag)]
    return found or [("Patient", "the image does not say")]


def _layers(contoured: ContouredVolume) -> list[Layer]:
    return [
        Layer(_marked(contoured, name), mask, colour_of(contoured, name)) for name, mask in contoured.masks.items()
    ]


def _things(contoured: ContouredVolume) -> list[ThingLayer]:
    return [
        ThingLayer(_marked(contoured, name), colour_of(contoured, name), tuple(things))
        for name, things in grouped(contoured.ctv.things).items()
    ]


def _marked(contoured: ContouredVolume, name: str) -> str:
    return f"{name} (phantom-trained)" if contoured.remark_on(name) else name


def colour_of(contoured: ContouredVolume, name: str) -> str:
    """Return the colour of a structure for a page."""
    red, green, blue = contoured.ctv.meaning(name).colour
    return f"#{red:02x}{green:02x}{blue:02x}"


def _results(manifest: Manifest) -> list[tuple[str, str]]:
    return [*_size(manifest), *_doubt(manifest.get("uncertainty"))]


def _doubt(uncertainty: Uncertainty | None) -> list[tuple[str, str]]:
    if uncertainty is None or "probability_hd95_above_5_mm" not in uncertainty:
        return []
    wrong = uncertainty["probability_hd95_above_5_mm"]
    value = wrong["value"]
    return [("Chance of HD95 above 5 mm", f"{100 * value:.0f} %" if value is not None else wrong["reason"])]


def _size(manifest: Manifest) -> list[tuple[str, str]]:
    volume_ml, extent = manifest["volume_ml"], manifest["extent_mm"]
    found = [("Volume", "none: one slice has an area only" if volume_ml is None else f"{volume_ml:.1f} mL")]
    names = {"left_right": "Left-right", "anterior_posterior": "Anterior-posterior"}
    names["superior_inferior"] = "Superior-inferior"
    patient = extent["patient"]
    if patient is None:
        shown = " x ".join("-" if length is None else f"{length:.1f}" for length in extent["axes"])
        found.append(("Extent along the image's axes", f"{shown} mm"))
        return [*found, ("Directions in the patient", f"not told: {extent['reason']}")]
    lengths = [length for name in names if (length := patient[name])]
    found += [(text, f"{patient[name]:.1f} mm") for name, text in names.items() if patient[name] is not None]
    if len(lengths) == len(names):
        found.append(("Ellipsoid of these extents", f"{math.pi / 6 * math.prod(lengths) / 1000:.1f} mL"))
    return found


def _provenance(manifest: Manifest) -> list[tuple[str, str]]:
    source, uncertainty = manifest["input"], manifest.get("uncertainty")
    entropy = uncertainty["mean_boundary_entropy_nats"] if uncertainty else None
    return _lines(
        {
            "Input": {"kind": source["kind"], "SHA-256": source["sha256"]},
            "Voxels": " x ".join(f"{length:g}" for length in manifest["spacing_mm"]) + " mm",
            "Orientation": _ORIENTATION[manifest["orientation"]],
            "Acquisition options": manifest.get("acquisition"),
            "Drawn": manifest.get("drawn", "semiautomatic" if "hints" in manifest else "automatic"),
            "Hints": manifest["hints"]["count"] if "hints" in manifest else None,
            "Model": manifest.get("bundle"),
            "Mean entropy near the boundary, nats": entropy,
            "Device": manifest.get("device"),
            "Seconds": manifest.get("timing_s"),
            "Versions": manifest["versions"],
        }
    )


def _lines(values: dict[str, Any]) -> list[tuple[str, str]]:
    """Return names and values as text, with nested values joined and None left out."""
    found = []
    for name, value in values.items():
        if isinstance(value, dict):
            value = ", ".join(f"{key} {entry}" for key, entry in value.items() if entry is not None)  # noqa: PLW2901
        if value not in (None, ""):
            found.append((name, str(value)))
    return found


def write_report(path: Path, request: Request) -> None:
    """Write the page of a case from its manifest, or without one: then it tells less."""
    if request.manifest is not None:
        write_case_page(path, case_report_of(request.contoured, request.manifest, identity=request.identity))
        return
    volume, ctv = request.contoured.volume, request.contoured.ctv
    results = [("Volume", f"{ctv.volume_ml:.1f} mL")] if ctv.labels.shape[2] > 1 else []
    results += _doubt(cast(Uncertainty, ctv.uncertainty) if ctv.uncertainty else None)
    write_case_page(
        path,
        CaseReport(
            "Prostate CTV",
            volume,
            _layers(request.contoured),
            ctv.probability,
            things=_things(request.contoured),
            results=results,
            warnings=list(dict.fromkeys([*volume.warnings, *ctv.warnings])),
            provenance=_lines(
                {
                    "Input": {"kind": volume.source.kind, "SHA-256": volume.source.sha256},
                    "Orientation": _ORIENTATION[volume.orientation],
                    "Model": ", version ".join(ctv.model) or "none: the mask was given",
                }
            ),
        ),
    )
