"""A request: which files to write for a case, and how."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Literal

from ..errors import SettingsError
from ..geometry.margin import Margin
from ..geometry.structures import key
from .contoured_volume import ContouredVolume
from .manifest import Manifest
from .roi_names import RoiNames

Series = Literal["source", "us-series", "ct-series"]
MOST_TOLERANCE_MM = 2.0


@dataclass(frozen=True)
class Planning:
    """How contours are written for a planning system.

    Attributes
    ----------
    margin
        Margin of a PTV, which is then written beside the CTV; None for no PTV.
    margins
        Margins of further structures by their names: each gets a second ROI, its planning organ at risk volume.
    names
        Names and types of the ROIs.
    tolerance_mm
        Largest distance by which contours are moved to have fewer points; None keeps every corner of the mask.
    every_mm
        Distance between the slices that have contours; None for all slices.
    reference
        Series to which the structure set refers: the source or a derived series. None means a derived series if
        one is written too (that declared as CT before that of ultrasound), otherwise the source.
    """

    margin: Margin | None = None
    margins: Mapping[str, Margin] = field(default_factory=dict)
    names: RoiNames = field(default_factory=RoiNames)
    tolerance_mm: float | None = None
    every_mm: float | None = None
    reference: Series | None = None

    def check(self, formats: Sequence[str]) -> None:
        """Raise SettingsError if a setting is given that none of the formats uses."""
        for name, value in (
            ("--ptv-margin", self.margin),
            ("--margin", self.margins or None),
            ("--names", None if self.names == RoiNames() else self.names),
            ("--contour-tolerance", self.tolerance_mm),
            ("--rtstruct-reference", self.reference),
        ):
            if value is not None and "rtstruct" not in formats:
                raise SettingsError(f"{name} is about the structure set; add rtstruct to --format.")
        if self.every_mm is not None and not {"rtstruct", "planimetry"} & set(formats):
            raise SettingsError(
                "--contour-every is about the structure set and planimetry; add rtstruct or planimetry to --format."
            )
        if self.tolerance_mm is not None and not 0 < self.tolerance_mm <= MOST_TOLERANCE_MM:
            raise SettingsError(
                f"--contour-tolerance is {self.tolerance_mm:g} mm, expected above 0 and at most "
                f"{MOST_TOLERANCE_MM:g}."
            )

    def check_structures(self, names: Sequence[str]) -> None:
        """Raise SettingsError if a margin or a name is given for a structure that is none of these."""
        known = {key(name) for name in names}
        for wanted in self.margins:
            if key(wanted) not in known:
                raise SettingsError(
                    f"There is no {wanted} for --margin; the structures are {', '.join(names)} (--structures adds "
                    "more)."
                )
        self.names.check(names)


def planning_digest(planning: Planning) -> str:
    """Return the hex SHA-256 of settings for contours; empty for the default ones."""
    if planning == Planning():
        return ""
    return hashlib.sha256(json.dumps(asdict(planning), sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class Request:
    """A contoured and the formats in which it is written.

    Attributes
    ----------
    contoured
        Volume, CTV and further structures.
    formats
        Names of the formats.
    planning
        Settings for contours.
    manifest
        Manifest of the case so far, for the report.
    identity
        Name of the case if the report shall identify case and patient, otherwise None.
    """

    contoured: ContouredVolume
    formats: tuple[str, ...]
    planning: Planning = field(default_factory=Planning)
    manifest: Manifest | None = None
    identity: str | None = None
