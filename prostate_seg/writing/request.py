"""A request: which files to write for a case, and how."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from ..errors import SettingsError
from ..geometry.margin import Margin
from .contoured_volume import ContouredVolume
from .manifest import Manifest


@dataclass(frozen=True)
class Planning:
    """How contours are written for a planning system.

    Attributes
    ----------
    margin
        Margin of a PTV, which is then written beside the CTV; None for no PTV.
    every_mm
        Distance between the slices that have contours; None for all slices.
    reference
        Series to which the structure set refers: the source or the derived series. None means the derived series
        if it is written too, otherwise the source.
    """

    margin: Margin | None = None
    every_mm: float | None = None
    reference: Literal["source", "us-series"] | None = None

    def check(self, formats: Sequence[str]) -> None:
        """Raise SettingsError if a setting is given that none of the formats uses."""
        for name, value in (
            ("--ptv-margin", self.margin),
            ("--contour-every", self.every_mm),
            ("--rtstruct-reference", self.reference),
        ):
            if value is not None and "rtstruct" not in formats:
                raise SettingsError(f"{name} is about the structure set; add rtstruct to --format.")


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
