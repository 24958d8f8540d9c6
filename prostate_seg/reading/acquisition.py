"""What the user says about an acquisition where the file is silent, and how it is held against the file.

An ultrasound file often gives neither the distance between its frames nor which way its axes point in the
patient. The options fill these gaps; they never overrule what a file does say.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from ..errors import GeometryError, SettingsError
from ..geometry.volume import Array, Orientation, affine_from_lps, lps_from_affine

FrameOrder = Literal["base-to-apex", "apex-to-base"]
ProbeSide = Literal["bottom", "top"]

SPACING_TOLERANCE = 0.01  # relative difference that rounding in a header explains
SHORTEST_MM, LONGEST_MM = 0.01, 100.0  # of a frame spacing that can be meant
AXIS_TOLERANCE = 0.5  # cosine: an axis within 60 degrees of a patient axis can be called by its name


@dataclass(frozen=True)
class Acquisition:
    """The options of a reading; each is None where the user says nothing.

    frame_spacing_mm: distance between neighbouring frames (axis k) in mm, 0.01 to 100. frame_order: whether k runs
    from the base of the prostate to its apex (to the inferior) or back. probe_side: the side of the displayed
    image on which the probe lies; the probe is posterior to the prostate, so with ``bottom`` axis j runs to
    the posterior, with ``top`` to the anterior. Axis i runs to the patient's left as displayed in either
    case: arrays are never flipped, and an image shown upside down is not mirrored. Raises SettingsError.
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
        """Whether image rows run to the posterior (also where nobody says)."""
        return self.probe_side != "top"

    @property
    def k_to_superior(self) -> bool:
        """Whether frames run to the superior (also where nobody says)."""
        return self.frame_order != "base-to-apex"

    def affine(self, spacing_mm: tuple[float, float, float]) -> tuple[Array, Orientation]:
        """The affine of a grid of this spacing for a file without orientation, and who says so.

        Origin 0; i to the left, j to the posterior and k to the superior unless the options say otherwise.
        ``option`` where both of frame_order and probe_side are given, else ``assumed``.
        """
        signs = np.diag([1.0, 1.0 if self.j_to_posterior else -1.0, 1.0 if self.k_to_superior else -1.0])
        both = self.frame_order is not None and self.probe_side is not None
        affine = affine_from_lps(signs, np.asarray(spacing_mm), np.zeros(3))
        return affine, "option" if both else "assumed"

    def check_orientation(self, affine: Array, where: str) -> None:
        """Raise GeometryError where an option contradicts the directions that the file gives (RAS affine).

        where: the tags or fields that hold these directions, for the message.
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
        """Raise GeometryError where frame_spacing_mm differs by more than 1 % from the file's."""
        given = self.frame_spacing_mm
        if given is not None and not abs(given - spacing_mm) <= SPACING_TOLERANCE * spacing_mm:
            raise GeometryError(
                f"the frame spacing {given:g} mm contradicts {spacing_mm:g} mm in {where}; "
                "leave the option out or correct the file."
            )


def _rounded(direction: Array) -> list[float]:
    return [round(float(value), 2) + 0.0 for value in direction]
