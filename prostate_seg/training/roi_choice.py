"""Choice of the structures in a clinic's contours by patterns of their names (``roi_names.json``)."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path

from ..errors import InputError, SettingsError
from ..geometry.structures import CTV, KNOWN, key
from ..reading.chosen_structure import shown

OTHERS = {"ptv", "prv", "gtv", "itv", "bed", "margin", "boost", "ring", "opt", "dose", "minus", "not", "avoid"}
Patterns = Mapping[str, Sequence[str]]  # by the name of the structure, most wanted first


@cache
def shipped_patterns() -> dict[str, tuple[str, ...]]:
    """Return the patterns for each structure that are shipped."""
    text = Path(__file__).with_name("roi_names.json").read_text(encoding="utf-8")
    return {name: tuple(patterns) for name, patterns in json.loads(text).items()}


def patterns_of(options: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Return the patterns of ``--roi`` options: ``CTV=prostate,gland*`` replaces those of the CTV.

    With ``Urethra=`` a structure is left out. The others keep the shipped patterns. Raise SettingsError for an
    option that is not of this form, an unknown structure, or a CTV without a pattern.
    """
    found = dict(shipped_patterns())
    for option in options:
        name, equals, text = option.partition("=")
        row = KNOWN.get(key(name))
        if not equals or row is None or row.kind != "stuff":
            known = ", ".join(one.name for one in KNOWN.values() if one.kind == "stuff")
            raise SettingsError(f"--roi is NAME=PATTERN,PATTERN with one of {known}; got {shown(option)}.")
        found[row.name] = tuple(part.strip() for part in text.split(",") if part.strip())
    if not found[CTV]:
        raise SettingsError(f"--roi {CTV}= has no pattern, so no case would have a {CTV}; give one.")
    return {name: patterns for name, patterns in found.items() if patterns}


def chosen_rois(names: Sequence[str], patterns: Patterns) -> dict[str, str]:
    """Return the ROI of each structure, by the first of its patterns that matches a name.

    An ROI with a word of :data:`OTHERS` in its name is matched only by a pattern that has this word, too. Case does
    not matter, and neither do blanks, ``_``, ``-`` and ``.`` between words; ``*`` stands for any text.
    InputError is raised if the decisive pattern matches several ROIs, or if two structures would be the same ROI.
    """
    chosen: dict[str, str] = {}
    for structure, wanted in patterns.items():
        for pattern in wanted:
            found = [name for name in names if _matches(_words(name), _words(pattern))]
            if len(found) > 1:
                raise InputError(
                    f"{len(found)} ROIs match {structure} ({', '.join(map(shown, found))}); choose by --roi "
                    f"'{structure}={shown(found[0])}'."
                )
            if found:
                chosen[structure] = found[0]
                break
    for name in chosen.values():
        both = [structure for structure, own in chosen.items() if own == name]
        if len(both) > 1:
            raise InputError(
                f"The ROI {shown(name)} matches {' and '.join(both)}; say which it is, or leave one out by --roi "
                f"'NAME='."
            )
    return chosen


def _matches(name: str, pattern: str) -> bool:
    return fnmatchcase(name, pattern) and not set(name.split()) & OTHERS - set(pattern.split())


def _words(text: str) -> str:
    return re.sub(r"[\s_.-]+", " ", text).strip().lower()
