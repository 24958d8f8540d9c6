"""Structures by name: codes, type in radiotherapy, and colour.

Codes are from SNOMED CT (SCT) and DICOM (DCM), as in PS3.16: CID 9534 (target volumes), CID 4009 and 6300
(organs).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Code:
    """A coded concept (PS3.3 section 8.8)."""

    value: str
    scheme: str
    meaning: str


@dataclass(frozen=True)
class Structure:
    """Meaning and display colour of a structure.

    Attributes
    ----------
    category
        Segmented Property Category of DICOM and 3D Slicer.
    kind
        Segmented Property Type of DICOM and 3D Slicer.
    rt_type
        RT ROI Interpreted Type (PS3.3 C.8.8.8).
    colour
        Red, green and blue, 0 to 255.
    region
        Anatomic region of a target; None for an organ.
    """

    category: Code
    kind: Code
    rt_type: str
    colour: tuple[int, int, int]
    region: Code | None = None


CTV = "CTV"  # prostate without seminal vesicles, as the released network segments it
ANATOMY = Code("123037004", "SCT", "Anatomical Structure")
TARGET = Code("130041", "DCM", "RT Target")
PROSTATE = Code("41216001", "SCT", "Prostate")
UNKNOWN = Structure(Code("85756007", "SCT", "Tissue"), Code("85756007", "SCT", "Tissue"), "", (128, 174, 128))


def _organ(value: str, meaning: str, colour: tuple[int, int, int]) -> Structure:
    return Structure(ANATOMY, Code(value, "SCT", meaning), "ORGAN", colour)


def _target(value: str, name: str, colour: tuple[int, int, int]) -> Structure:
    return Structure(TARGET, Code(value, "SCT", name), name, colour, PROSTATE)


# Colours that can be distinguished on gray, also by colour-blind readers (Okabe and Ito 2008).
KNOWN = {
    "ctv": _target("228792002", CTV, (230, 159, 0)),
    "ptv": _target("228793007", "PTV", (86, 180, 233)),
    "gtv": _target("228791009", "GTV", (213, 94, 0)),
    "prostate": _organ("41216001", "Prostate", (230, 159, 0)),
    "urethra": _organ("13648007", "Urethra", (240, 228, 66)),
    "bladder": _organ("89837001", "Bladder", (0, 158, 115)),
    "rectum": _organ("34402009", "Rectum", (204, 121, 167)),
    "seminal_vesicles": _organ("64739004", "Seminal Vesicle", (0, 114, 178)),
    "peripheral_zone": _organ("279706003", "Peripheral zone of the prostate", (153, 153, 153)),
    "transition_zone": _organ("399384005", "Transition zone of the prostate", (213, 94, 0)),
}


def structure(name: str) -> Structure:
    """Return the structure with a name, ignoring case and surrounding blanks.

    Blanks inside the name count as underscores. An unknown name gives tissue without a radiotherapy type.
    """
    return KNOWN.get(name.strip().lower().replace(" ", "_"), UNKNOWN)
