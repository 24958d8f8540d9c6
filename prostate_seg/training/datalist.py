"""The datalist: JSON that lists the cases for training and validation. It is checked before training starts.

::

    {"training":   [{"image": "p01.nii.gz", "label": "p01_ctv.nii.gz", "patient": "P01"}, ...],
     "validation": [{"image": "p02/", "label": "p02_ctv.nii.gz", "frame_spacing_mm": 5.0,
                     "frame_order": "base-to-apex", "probe_side": "bottom"}, ...]}

``image`` is any input of ``prostate-seg segment``. ``label`` is a mask of the CTV on the same grid. ``structures``
holds masks of further structures, ``{"urethra": "p01.seg.nrrd", ...}``: a file with several structures is read by
name. A case may have a label, structures, or both; what it does not label gives no loss. Paths are relative to the
datalist. ``frame_spacing_mm``, ``frame_order`` and ``probe_side`` are the options of ``segment``, for files that
lack this information. All cases of one ``patient`` must be in one section. ``provenance`` is the origin of a case,
written by ``prostate-seg collect``; training does not use it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import SettingsError
from ..geometry.structures import CTV, key
from ..reading.acquisition import Acquisition
from ..system.checked_files import read_json, shortened
from ..system.input_files import stem

DATALIST = "datalist.json"  # in a folder of collect or prepare
SECTIONS = ("training", "validation", "testing")
READING = ("frame_spacing_mm", "frame_order", "probe_side")  # entries of a case on its acquisition
_KEYS = {"image", "label", "structures", "patient", "case", "provenance", *READING}

LONGEST_PATH = 4096  # characters of a path that a message shows in full
TRAINING_SEEDS = 1_000_000
VALIDATION_SEEDS = 2_000_000


def items(datalist: str | None, section: str, phantoms: int = 0, repeats: int = 1) -> list[dict[str, Any]]:
    """Return the cases of one section, followed by phantoms.

    The seeds of phantoms for training are 1000000, 1000001, ...; their settings are those of
    :func:`prostate_seg.phantom.variety.varied_settings`. The seeds of the other sections start at 2000000. Use
    smaller seeds for tests.

    Parameters
    ----------
    datalist
        Path of the datalist; without one there are only phantoms.
    section
        ``training``, ``validation`` or ``testing``.
    phantoms
        Number of phantoms.
    repeats
        How often each case of the datalist is repeated.

    Raises
    ------
    SettingsError
        The datalist is invalid, or there is neither a case nor a phantom.
    """
    first = TRAINING_SEEDS if section == "training" else VALIDATION_SEEDS
    varied = {"varied": True} if section == "training" else {}
    drawn = [{"phantom": first + n, "case": f"phantom{first + n}", **varied} for n in range(phantoms)]
    cases = load(datalist)[section] * repeats if datalist else []
    if not cases and not drawn:
        raise SettingsError(
            f"There are no {section} cases: the datalist {datalist or '(none given)'} has none and no phantoms "
            "were asked for; add cases or phantoms."
        )
    return cases + drawn


def load(path: str | Path) -> dict[str, list[dict[str, Any]]]:
    """Read and check a datalist. Raise SettingsError if it is invalid.

    The result has all three sections. A section that the file lacks is empty. Paths are absolute.
    """
    path = Path(path)
    content = _content(path)
    sections = {
        name: [_case(path, name, n, entry) for n, entry in enumerate(content.get(name, []))] for name in SECTIONS
    }
    _check_patients(path, sections)
    _check_images(path, sections)
    return sections


@dataclass(frozen=True)
class Listed:
    """One entry of a datalist that may be invalid.

    Attributes
    ----------
    section, number
        Place of the entry; numbers start at 0.
    case
        The case as :func:`load` returns it; None if the entry is invalid.
    why
        What is invalid; empty otherwise.
    outside
        Whether a path of the entry leads out of the folder of the datalist.
    """

    section: str
    number: int
    case: dict[str, Any] | None
    why: str = ""
    outside: bool = False


def load_each(path: str | Path) -> list[Listed]:
    """Read a datalist entry by entry. Raise SettingsError only if it holds no lists of cases.

    Patients and images are not compared with each other.
    """
    path = Path(path)
    content = _content(path)
    found = []
    for section in SECTIONS:
        for number, entry in enumerate(content.get(section, [])):
            try:
                case = _case(path, section, number, entry)
            except SettingsError as error:
                found.append(Listed(section, number, None, str(error)))
                continue
            files = [entry["image"], *filter(None, [entry.get("label")]), *entry.get("structures", {}).values()]
            outside = any(
                os.path.relpath(path.parent / file, path.parent).split(os.sep)[0] == ".." for file in files
            )
            found.append(Listed(section, number, case, outside=outside))
    return found


def _content(path: Path) -> dict[str, Any]:
    """Return the content of a datalist. Raise SettingsError if it holds no lists of cases."""
    try:
        content = read_json(path)
    except OSError as error:
        raise SettingsError(f"The datalist {path} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise SettingsError(f"The datalist {path} is not JSON: {error}.") from error
    if not isinstance(content, dict) or not set(content) <= {*SECTIONS, "description"}:
        found = shortened(sorted(content)) if isinstance(content, dict) else type(content).__name__
        raise SettingsError(f"The datalist {path} holds {found}, expected lists named {', '.join(SECTIONS)}.")
    for name in SECTIONS:
        if not isinstance(content.get(name, []), list):
            found = shortened(content[name])
            raise SettingsError(f"The datalist {path} holds {found} as {name}, expected a list of cases.")
    return content


def _case(path: Path, section: str, number: int, entry: Any) -> dict[str, Any]:
    where = f"{section} case {number} of the datalist {path}"
    masks = {"label", "structures"}
    if not isinstance(entry, dict) or not {"image"} <= set(entry) <= _KEYS or not masks & set(entry):
        got = shortened(sorted(entry)) if isinstance(entry, dict) else shortened(entry)
        raise SettingsError(
            f"{where} has {got}, expected image and label (or structures), and no entry beside {sorted(_KEYS)}."
        )
    case = dict(entry)
    for name in ("image", "label"):
        if name in entry:
            case[name] = _existing(entry[name], name, path, where)
    if "structures" in entry:
        case["structures"] = _structures(entry["structures"], path, where)
    if case["image"] in (case.get("label"), *case.get("structures", {}).values()):
        raise SettingsError(f"{where} names one file as image and label; give the mask as label.")
    case.setdefault("case", stem(Path(entry["image"]).name))
    _check_kinds(where, case)
    return case


def _existing(value: Any, name: str, path: Path, where: str) -> str:
    """Return the absolute path of a file of a case. Raise SettingsError if there is none."""
    if not isinstance(value, str) or not value:
        raise SettingsError(f"{where} has {shortened(value)} as {name}, expected the path of a file.")
    file = path.parent / value
    if not os.path.exists(file):
        named = value if value.isprintable() and len(value) <= LONGEST_PATH else shortened(value)
        raise SettingsError(f"{where} names {named} as {name}, which does not exist beside the datalist.")
    return str(file.resolve())


def _structures(value: Any, path: Path, where: str) -> dict[str, str]:
    """Return the mask files of the further structures of a case. Raise SettingsError if they are invalid."""
    if not isinstance(value, dict) or not value:
        raise SettingsError(f"{where} has {shortened(value)} as structures, expected names and their mask files.")
    if len({key(name) for name in value}) < len(value):
        raise SettingsError(f"{where} names a structure twice; give each one mask file.")
    if key(CTV) in map(key, value):
        raise SettingsError(f"{where} has the {CTV} among its structures; give its mask as label.")
    return {name: _existing(file, shortened(name), path, where) for name, file in value.items()}


def patient_of(case: Mapping[str, Any], datalist: str | Path) -> str:
    """Return the patient of a case; a case without one is its own, by the path of its image beside the datalist."""
    if case.get("patient") is not None:
        return str(case["patient"])
    return os.path.relpath(case["image"], Path(datalist).resolve().parent)


def check_structures(cases: Sequence[Mapping[Any, Any]], names: Sequence[str], what: str) -> None:
    """Raise SettingsError if a case labels a structure that is not among the names of a network's structures."""
    known = {key(name) for name in names}
    for case in cases:
        if unknown := sorted(name for name in case.get("structures", {}) if key(name) not in known):
            raise SettingsError(
                f"Case {case['case']} labels {shortened(unknown[0])}, which is none of the structures of {what} "
                f"({', '.join(names) or 'the CTV alone'}); add it there, or leave it out."
            )


def _check_kinds(where: str, case: dict[str, Any]) -> None:
    """Raise SettingsError if an entry of a case, other than its paths, has a wrong type or an impossible value."""
    for entry in ("patient", "case"):
        value = case.get(entry)
        if entry not in case or (value is None and entry == "patient"):
            continue
        if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
            hidden = f"a {type(value).__name__} as patient"  # its value may name a person
            found = hidden if entry == "patient" else f"case {shortened(value)}"
            raise SettingsError(f"{where} has {found}, expected a name.")
    spacing = case.get("frame_spacing_mm", 1.0)
    if isinstance(spacing, bool) or not isinstance(spacing, int | float) or spacing <= 0:
        raise SettingsError(f"{where} has frame_spacing_mm {shortened(spacing)}, expected a length above 0.")
    options = [case.get(entry) for entry in READING]
    for entry, value in zip(READING[1:], options[1:], strict=True):
        if value is not None and not isinstance(value, str):
            raise SettingsError(f"{where} has {entry} {shortened(value)}, expected a word.")
    try:
        Acquisition(*options)
    except SettingsError as error:
        raise SettingsError(f"{where}: {error}") from error


def _check_images(path: Path, sections: dict[str, list[dict[str, Any]]]) -> None:
    for section, cases in sections.items():
        seen: set[str] = set()
        for case in cases:
            if case["image"] in seen:
                raise SettingsError(
                    f"The datalist {path} has the image {case['image']} twice in {section}; keep one, and repeat "
                    "cases by --set repeats=N."
                )
            seen.add(case["image"])


def _check_patients(path: Path, sections: dict[str, list[dict[str, Any]]]) -> None:
    seen: dict[str, str] = {}
    for section, cases in sections.items():
        for case in cases:
            for what in ("patient", "image"):
                name = f"{what} {case.get(what)}"
                if case.get(what) is not None and seen.setdefault(name, section) != section:
                    raise SettingsError(
                        f"The datalist {path} has {name} in {seen[name]} and in {section}; "
                        "keep each patient on one side."
                    )
