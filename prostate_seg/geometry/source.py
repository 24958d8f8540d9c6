"""Origin of a volume: the kind of its files, their digest, and the DICOM images of its slices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, repr=False)
class FrameReference:
    """The DICOM image of a slice: SOP Instance UID and 1-based frame number."""

    sop_instance_uid: str
    frame_number: int

    def __repr__(self) -> str:
        """Return a text without the UID, because the UID identifies a patient's image."""
        return f"FrameReference(frame {self.frame_number})"


@dataclass(frozen=True, eq=False, repr=False)
class Source:
    """Origin of a volume.

    Attributes
    ----------
    kind
        ``us-multiframe``, ``us-series``, ``enhanced-us-volume``, ``nifti``, ``nrrd``, ``metaimage``, ``array``,
        ``phantom`` or ``respeckled``.
    sha256
        Hex digest over the files in slice order.
    frames
        One reference for each slice (axis k); empty if the source is not DICOM.
    header
        pydicom ``Dataset`` of the first file without its pixels, or None.
    """

    kind: str
    sha256: str = ""
    frames: tuple[FrameReference, ...] = ()
    header: Any = None

    def __repr__(self) -> str:
        """Return a text without header and digest, because they identify the patient or the file."""
        return f"Source({self.kind}, {len(self.frames)} frame references)"
