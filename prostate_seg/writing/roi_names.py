"""Names and types of ROIs as a planning system or a clinic wants them: ``--names``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import astuple, dataclass, field
from pathlib import Path
from typing import Any, get_args

from ..errors import SettingsError
from ..geometry.margin import Margin
from ..geometry.structures import CTV, KNOWN, LONGEST_NAME, RtType, key, structure
from ..system.checked_files import read_json, shortened

TG263 = "tg263"
PTV = "PTV"
LONGEST_TG263 = 16  # characters; many planning systems cut longer names


@dataclass(frozen=True)
class RoiNames:
    """Names and types of ROIs by the structures' names.

    Attributes
    ----------
    names
        Name of the ROI by the key of the structure (:func:`prostate_seg.geometry.structures.key`).
    types
        RT ROI Interpreted Type by the key of the structure, where it differs from that of the table.
    tg263
        Whether a structure without an entry gets its name by AAPM TG-263.
    """

    names: Mapping[str, str] = field(default_factory=dict)
    types: Mapping[str, str] = field(default_factory=dict)
    tg263: bool = False

    @classmethod
    def of(cls, text: str) -> RoiNames:
        """Return the names of ``--names``: ``tg263``, or the path of a JSON file. Raise SettingsError.

        The file is an object. Its keys are names of structures, a value is the ROI's name, or an object with
        ``name`` and ``type``.
        """
        if key(text) == TG263:
            return cls(tg263=True)
        path = Path(text)
        try:
            content = read_json(path)
        except OSError as error:
            raise SettingsError(
                f"--names is {text}, which is neither {TG263} nor a file that can be read ({error.strerror})."
            ) from error
        except ValueError as error:
            raise SettingsError(f"The ROI names in {path} are not JSON: {error}.") from error
        if not isinstance(content, dict) or not content:
            raise SettingsError(f"{path} holds no ROI names, expected an object of structures and their names.")
        rows: dict[str, tuple[str, str]] = {}
        for name, value in content.items():
            if key(name) in rows:
                raise SettingsError(f"{path} names {shortened(name)} twice; give each structure one name.")
            rows[key(name)] = _row(value, f"{path}, {shortened(name)}")
        types = {name: kind for name, (_, kind) in rows.items() if kind}
        return cls({name: roi for name, (roi, _) in rows.items()}, types)

    def name(self, structure_name: str) -> str:
        """Return the name of a structure's ROI, at most 64 characters; by TG-263 at most 16."""
        if (own := self.names.get(key(structure_name))) is not None:
            return own
        if not self.tg263:
            return structure_name
        return structure(structure_name).tg263 or structure_name.strip().replace(" ", "_")[:LONGEST_TG263]

    def enlarged(self, structure_name: str, margin: Margin) -> str:
        """Return the name of a structure with a margin: that of a PTV for the CTV, otherwise with _PRV and mm.

        The mm are the largest of the margin. A name that is too long loses letters before this suffix.
        """
        if key(structure_name) == key(CTV):
            return self.name(PTV)
        mm = max(astuple(margin))
        suffix = f"_PRV{mm:02.0f}" if float(mm).is_integer() else f"_PRV{mm:g}"
        longest = LONGEST_TG263 if self.tg263 else LONGEST_NAME
        return self.name(structure_name)[: longest - len(suffix)].rstrip(" _") + suffix

    def type(self, structure_name: str) -> str:
        """Return the RT ROI Interpreted Type that the names give a structure; empty if they give none."""
        return self.types.get(key(structure_name), "")

    def check(self, structures: Iterable[str]) -> None:
        """Raise SettingsError for a name of a structure that is neither in the table nor among these."""
        known = {*KNOWN, *map(key, structures)}
        if unknown := sorted(set(self.names) - known):
            raise SettingsError(
                f"--names has {shortened(unknown[0])}, which is no structure; expected some of "
                f"{', '.join(dict.fromkeys([*(one.name for one in KNOWN.values()), *structures]))}."
            )


def _row(value: Any, where: str) -> tuple[str, str]:
    """Return name and type of an entry; the type is empty if it is not given."""
    entry = {"name": value} if isinstance(value, str) else value
    if not isinstance(entry, dict) or not {"name"} <= set(entry) <= {"name", "type"}:
        raise SettingsError(f"{where} is {shortened(value)}, expected a name, or an object with name and type.")
    name, kind = entry["name"], entry.get("type", "")
    if (
        not isinstance(name, str)
        or not name.strip()
        or len(name) > LONGEST_NAME
        or not name.isprintable()
        or "\\" in name
    ):
        raise SettingsError(
            f"{where} is named {shortened(name)}, expected 1 to {LONGEST_NAME} printable characters without a "
            "backslash."
        )
    if kind not in get_args(RtType):
        raise SettingsError(
            f"{where} has the type {shortened(kind)}, expected one of {', '.join(filter(None, get_args(RtType)))}."
        )
    return name, kind
