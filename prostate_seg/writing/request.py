"""What is to be written of a case, and how."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from ..errors import SettingsError
from ..geometry.margin import Margin
from .delivery import Delivery
from .manifest import Manifest


@dataclass(frozen=True)
class Planning:
    """How contours are handed to a planning system.

    margin: of a PTV beside the CTV. every_mm: contours only on slices so far apart. reference: whether the
    structure set refers to the source or to the derived series; None: to the derived series if that is written too.
    """

    margin: Margin | None = None
    every_mm: float | None = None
    reference: Literal["source", "us-series"] | None = None

    def check(self, formats: Sequence[str]) -> None:
        """Raise SettingsError for a setting that none of the formats uses."""
        for name, value in (
            ("--ptv-margin", self.margin),
            ("--contour-every", self.every_mm),
            ("--rtstruct-reference", self.reference),
        ):
            if value is not None and "rtstruct" not in formats:
                raise SettingsError(f"{name} is about the structure set; add rtstruct to --format.")


@dataclass(frozen=True)
class Request:
    """A delivery and the formats to write of it.

    manifest: what is known of the case so far, for the report. identity: the case's name, if the report is to name
    case and patient.
    """

    delivery: Delivery
    formats: tuple[str, ...]
    planning: Planning = field(default_factory=Planning)
    manifest: Manifest | None = None
    identity: str | None = None
