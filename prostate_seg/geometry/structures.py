"""Structures by name: label, codes, type in radiotherapy, colour, and the structure of which each is a part.

The shipped table is structures.json in this folder; a bundle may bring rows of its own (:func:`structures_of`). Its
form is docs/structures.schema.json. Codes are from SNOMED CT (SCT) and DICOM (DCM), as in PS3.16: CID 9534 (target
volumes), CID 4009, 6300 and 7151 (organs). Names for planning systems are those of AAPM TG-263; it names no zones.
Colours can be distinguished on gray, also by colour-blind readers (Okabe and Ito 2008).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Literal, get_args

from ..errors import SettingsError

Kind = Literal["stuff", "thing"]
RtType = Literal["", "CTV", "PTV", "GTV", "ORGAN", "AVOIDANCE", "MARKER", "BRACHY_CHANNEL"]

CTV = "CTV"  # prostate without seminal vesicles, as the released network segments it
LONGEST_NAME = 64  # characters; DICOM's limit for the label of a segment and the name of an ROI
LONGEST_CODE = 16  # characters of a code's value and scheme; DICOM's limit
MOST_LABELS = 255
_NAME = re.compile(r"[^\W_][\w .,()/+-]{0,63}")  # no character that MONAI's configuration or DICOM would interpret


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
    name
        Name that users and files see.
    label
        Number in label maps, 1 to 255; 0 for a structure that the table does not name.
    kind
        ``stuff``: a region. ``thing``: instances that are counted, as needles.
    category
        Segmented Property Category of DICOM and 3D Slicer.
    type
        Segmented Property Type of DICOM and 3D Slicer.
    rt_type
        RT ROI Interpreted Type (PS3.3 C.8.8.8).
    colour
        Red, green and blue, 0 to 255.
    region
        Anatomic region of a target; None for an organ.
    tg263
        Name by AAPM TG-263; None if it has none.
    parent
        Name of the structure that contains this one; None if there is none.
    group
        Name of a group of structures that exclude each other; None if there is none. If they have a parent, they
        fill it together.
    """

    name: str
    label: int
    kind: Kind
    category: Code
    type: Code
    rt_type: RtType
    colour: tuple[int, int, int]
    region: Code | None = None
    tg263: str | None = None
    parent: str | None = None
    group: str | None = None


ANATOMY = Code("123037004", "SCT", "Anatomical Structure")
TARGET = Code("130041", "DCM", "RT Target")
_TISSUE = Code("85756007", "SCT", "Tissue")
_NEEDED = ("name", "label", "kind", "category", "type", "rt_type", "colour")
_ALSO = ("region", "tg263", "parent", "group", "_desc_")


def key(name: str) -> str:
    """Return the name in lower case, without surrounding blanks, and with underscores for blanks inside."""
    return name.strip().lower().replace(" ", "_")


def is_name(text: object) -> bool:
    """Return whether a text can be the name of a structure."""
    return isinstance(text, str) and _NAME.fullmatch(text) is not None


def structures_of(rows: Any, where: str, *, known: Iterable[Structure] = ()) -> tuple[Structure, ...]:
    """Return the structures that the rows of a JSON list describe. Raise SettingsError if a row is not valid.

    Parameters
    ----------
    rows
        Objects as in structures.json, or names of ``known`` structures.
    where
        Name of the list, for messages.
    known
        Structures that a row may give by name, and that may be parents.
    """
    if not isinstance(rows, list) or not rows:
        raise SettingsError(f"{where} holds no structures, expected a list of them.")
    shipped = {key(one.name): one for one in known}
    found = []
    for row in rows:
        if isinstance(row, str):
            if key(row) not in shipped:
                raise SettingsError(
                    f"{where} names {row!r}, which is none of {', '.join(one.name for one in known)}; describe it "
                    "by an object."
                )
            found.append(shipped[key(row)])
        else:
            found.append(_structure(row, where))
    _check_together(found, where, parents=set(shipped))
    return tuple(found)


def _structure(row: Any, where: str) -> Structure:
    if not isinstance(row, dict) or not set(_NEEDED) <= set(row) <= {*_NEEDED, *_ALSO}:
        got = sorted(row) if isinstance(row, dict) else type(row).__name__
        raise SettingsError(
            f"{where} has a structure with {got}, expected {', '.join(_NEEDED)} and at most {', '.join(_ALSO[:4])}."
        )
    name = row["name"]
    if not is_name(name):
        raise SettingsError(
            f"{where} has a structure named {name!r:.80}, expected 1 to {LONGEST_NAME} characters: letters, "
            "digits, blanks and _ - . , ( ) / +, a letter or digit first."
        )
    label, colour = row["label"], row["colour"]
    if type(label) is not int or not 1 <= label <= MOST_LABELS:
        raise SettingsError(f"{where} gives {name} the label {label!r:.80}, expected 1 to {MOST_LABELS}.")
    if not isinstance(colour, list) or [type(part) is int and 0 <= part <= 255 for part in colour] != [True] * 3:
        raise SettingsError(f"{where} gives {name} the colour {colour!r:.80}, expected 3 numbers from 0 to 255.")
    for entry, allowed in (("kind", get_args(Kind)), ("rt_type", get_args(RtType))):
        if row[entry] not in allowed:
            raise SettingsError(
                f"{where} gives {name} the {entry} {row[entry]!r:.80}, expected one of "
                f"{', '.join(filter(None, allowed))}."
            )
    for entry in ("tg263", "parent", "group"):
        if not isinstance(row.get(entry), str | None):
            raise SettingsError(f"{where} gives {name} the {entry} {row[entry]!r:.80}, expected a name or null.")
    region = row.get("region")
    return Structure(
        name,
        label,
        row["kind"],
        _code(row["category"], name, where),
        _code(row["type"], name, where),
        row["rt_type"],
        (colour[0], colour[1], colour[2]),
        None if region is None else _code(region, name, where),
        row.get("tg263"),
        row.get("parent"),
        row.get("group"),
    )


def _code(value: Any, name: str, where: str) -> Code:
    if not isinstance(value, dict) or set(value) != {"value", "scheme", "meaning"}:
        raise SettingsError(f"{where} gives {name} the code {value!r:.80}, expected value, scheme and meaning.")
    lengths = {"value": LONGEST_CODE, "scheme": LONGEST_CODE, "meaning": LONGEST_NAME}
    if not all(isinstance(part, str) and 0 < len(part) <= lengths[entry] for entry, part in value.items()):
        raise SettingsError(
            f"{where} gives {name} the code {value!r:.80}, expected texts: value and scheme of at most "
            f"{LONGEST_CODE} characters, meaning of at most {LONGEST_NAME}."
        )
    return Code(**value)


def _check_together(found: list[Structure], where: str, *, parents: set[str]) -> None:
    """Raise SettingsError for two equal names or labels, and for a parent that no structure has as its name."""
    names: set[str] = set()
    labels: dict[int, str] = {}
    for one in found:
        if key(one.name) in names:
            raise SettingsError(f"{where} has two structures called {one.name}; give one of them another name.")
        names.add(key(one.name))
        if (other := labels.setdefault(one.label, one.name)) != one.name:
            raise SettingsError(f"{where} gives {other} and {one.name} the label {one.label}; give each its own.")
    above = {key(one.name): key(one.parent) for one in found if one.parent is not None}
    for one in found:
        if one.parent is not None and key(one.parent) not in names | parents:
            raise SettingsError(f"{where} says that {one.name} is part of {one.parent}, which it does not list.")
        seen, at = set(), key(one.name)
        while at in above:
            seen.add(at)
            at = above[at]
            if at in seen:
                raise SettingsError(f"{where} says that {one.name} is part of itself; correct its parent.")


def _shipped() -> dict[str, Structure]:
    rows = json.loads(files(__package__).joinpath("structures.json").read_text(encoding="utf-8"))
    return {key(one.name): one for one in structures_of(rows, "structures.json")}


KNOWN: Mapping[str, Structure] = _shipped()


def structure(name: str) -> Structure:
    """Return the shipped structure with a name, ignoring case and surrounding blanks.

    Blanks inside the name count as underscores. An unknown name gives tissue without a radiotherapy type.
    """
    return KNOWN.get(key(name)) or Structure(name, 0, "stuff", _TISSUE, _TISSUE, "", (128, 174, 128))
