"""Options of the user that describe an acquisition, and their comparison with the file.

Many ultrasound files give neither the distance between their frames nor the orientation of their axes in the
patient. The options supply these values. They never replace a value in the file.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from ..errors import GeometryError, SettingsError
from ..geometry.volume import Array, Orientation, affine_from_lps, lps_from_affine

FrameOrder = Literal["base-to-apex", "apex-to-base"]
ProbeSide = Literal["bottom", "top"]

SPACING_TOLERANCE = 0.01  # relative difference that may come from rounding in a header
SHORTEST_MM, LONGEST_MM = 0.01, 100.0  # limits of a plausible frame spacing
AXIS_TOLERANCE = 0.5  # cosine: an axis up to 60 degrees from a patient axis is named after it


@dataclass(frozen=True)
class Acquisition:
    """Options for reading an image. An option is None if the user does not give it.

    Raises SettingsError if an option is not valid. Arrays are never flipped.

    Attributes
    ----------
    frame_spacing_mm
        Distance between neighbouring frames (axis k) in mm, 0.01 to 100.
    frame_order
        ``base-to-apex``: axis k runs from the base of the prostate to the apex, that is, to inferior.
        ``apex-to-base``: axis k runs to superior.
    probe_side
        Side of the displayed image where the probe is. The probe is posterior to the prostate: with ``bottom`` axis
        j runs to posterior, with ``top`` to anterior. In both cases axis i runs to the left of the patient, because
        an image that is displayed upside down is not mirrored.
    """

    frame_spacing_mm: float | None = None
    frame_order: FrameOrder | None = None
    probe_side: ProbeSide | None = None

    def __post_init__(self) -> None:
        spacing = self.frame_spacing_mm
        if spacing is not None and not (isinstance(spacing, int | float) and SHORTEST_MM <= spacing <= LONGEST_MM):
            shown = f"{spacing:g}" if isinstance(spacing, int | float) else "no number of"
            raise SettingsError(
                f"The frame spacing is {shown} mm, expected {SHORTEST_MM:g} to {LONGEST_MM:g} mm, such as 1.0."
            )
        for name, value, allowed in (
            ("frame order", self.frame_order, get_args(FrameOrder)),
            ("probe side", self.probe_side, get_args(ProbeSide)),
        ):
            if value is not None and value not in allowed:
                raise SettingsError(f"The {name} is {value!r}, expected {' or '.join(map(repr, allowed))}.")

    @property
    def j_to_posterior(self) -> bool:
        """Whether axis j runs to posterior (also assumed without the option)."""
        return self.probe_side != "top"

    @property
    def k_to_superior(self) -> bool:
        """Whether axis k runs to superior (also assumed without the option)."""
        return self.frame_order != "base-to-apex"

    def affine(self, spacing_mm: tuple[float, float, float]) -> tuple[Array, Orientation]:
        """Return an affine (RAS mm) for a file without orientation, and the source of its orientation.

        The origin is 0. Axis i runs to left, j to posterior and k to superior, unless the options differ. The
        source is ``option`` if both frame_order and probe_side are given, otherwise ``assumed``.
        """
        signs = np.diag([1.0, 1.0 if self.j_to_posterior else -1.0, 1.0 if self.k_to_superior else -1.0])
        both = self.frame_order is not None and self.probe_side is not None
        affine = affine_from_lps(signs, np.asarray(spacing_mm), np.zeros(3))
        return affine, "option" if both else "assumed"

    def check_orientation(self, affine: Array, where: str) -> None:
        """Raise GeometryError if an option contradicts the axis directions in the file.

        Parameters
        ----------
        affine
            Affine of the file, RAS mm.
        where
            Tags or fields with these directions, for the message.
        """
        direction, _, _ = lps_from_affine(affine)
        if self.frame_order is not None:
            cosine = direction[2, 2] * (1.0 if self.k_to_superior else -1.0)
            if not cosine >= AXIS_TOLERANCE:
                raise GeometryError(
                    f"the frame order {self.frame_order!r} contradicts {where}, by which the frames run "
                    f"along {_rounded(direction[:, 2])} (left, posterior, superior); leave the option out."
                )
        if self.probe_side is not None:
            cosine = direction[1, 1] * (1.0 if self.j_to_posterior else -1.0)
            if not cosine >= AXIS_TOLERANCE:
                raise GeometryError(
                    f"the probe side {self.probe_side!r} contradicts {where}, by which the image rows run "
                    f"along {_rounded(direction[:, 1])} (left, posterior, superior); leave the option out."
                )

    def check_frame_spacing(self, spacing_mm: float, where: str) -> None:
        """Raise GeometryError if frame_spacing_mm differs by more than 1 % from the spacing in the file.

        Parameters
        ----------
        spacing_mm
            Spacing in the file.
        where
            Tag or field with this spacing, for the message.
        """
        given = self.frame_spacing_mm
        if given is not None and not abs(given - spacing_mm) <= SPACING_TOLERANCE * spacing_mm:
            raise GeometryError(
                f"the frame spacing {given:g} mm contradicts {spacing_mm:g} mm in {where}; "
                "leave the option out or correct the file."
            )


def _rounded(direction: Array) -> list[float]:
    return [round(float(value), 2) + 0.0 for value in direction]
