"""The current mask in a case's folder: as it was written, or as a user changed it later."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..reading.masks import read_mask
from ..system.source_digest import check_drawn_on, recorded_sources
from .formats import FORMATS
from .manifest import MANIFEST, mask_digest

MASKS = (FORMATS["seg-nrrd"].file, FORMATS["nifti"].file)  # files in which a user may have corrected the contour
ENTRIES: dict[str, type] = {  # optional entries of a manifest and their types
    **dict.fromkeys(("input", "acquisition", "bundle", "hints"), dict),
    **dict.fromkeys(("ctv_sha256", "orientation", "drawn"), str),
    "outputs": list,
}


@dataclass(frozen=True)
class GivenMask:
    """A mask file and the manifest of its case.

    The manifest is empty if there is none.
    """

    file: Path
    manifest: Mapping[str, Any]


def given_mask(path: Path) -> GivenMask:
    """Find the mask of a path: the mask file itself, or the mask in a case's folder.

    If the folder holds two masks, take the one that changed since the manifest was written.

    Raises
    ------
    InputError
        There is no mask, or two masks were both changed and differ.
    GeometryError
        The mask was drawn on another image than the case's image.
    """
    if not path.exists():
        raise InputError(f"{path}: no such file or folder; give a mask file or the folder of a case.")
    manifest = manifest_of(path if path.is_dir() else path.parent)
    if path.is_file():
        return GivenMask(path, manifest)
    found = _masks(path)
    if not found:
        raise InputError(f"{path} holds neither {' nor '.join(MASKS)}; give a mask file or one case's folder.")
    changed = [file for file in found if len(found) > 1 and is_changed(file, manifest)]
    if len(changed) > 1 and len({mask_digest(read_mask(file)) for file in changed}) > 1:
        names = " and ".join(file.name for file in changed)
        raise InputError(f"{names} in {path} were both changed and differ; give the file that counts.")
    chosen = [*changed, *found][0]
    drawn_on, expected = recorded_sources(chosen), source_of(manifest)
    if expected and expected not in drawn_on.values():
        numbered = {str(number + 1): digest for number, digest in drawn_on.items()}
        check_drawn_on(chosen, numbered, f"that of {path.name}", {expected})
    return GivenMask(chosen, manifest)


def source_of(manifest: Mapping[str, Any]) -> str:
    """Return the digest of the image of a case; empty if its manifest has none."""
    about = manifest.get("input")
    return str(about.get("sha256") or "") if isinstance(about, Mapping) else ""


def manifest_of(folder: Path) -> Mapping[str, Any]:
    """Return the manifest in a case's folder; empty if there is none.

    Raise InputError if the manifest cannot be read, or if an entry has the wrong type.
    """
    if not (folder / MANIFEST).is_file():
        return {}
    try:
        content = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (ValueError, RecursionError, OSError) as error:
        raise InputError(
            f"{folder / MANIFEST} cannot be read as JSON ({type(error).__name__}); segment the case again."
        ) from error
    if not isinstance(content, dict):
        return {}
    wrong = [key for key, kind in ENTRIES.items() if not isinstance(content.get(key, kind()), kind)]
    if not wrong and content.get("bundle") and not {"name", "version"} <= set(content["bundle"]):
        raise InputError(f"{folder / MANIFEST}: its bundle has no name or version; segment the case again.")
    if wrong:
        raise InputError(
            f"{folder / MANIFEST}: {wrong[0]} is no {ENTRIES[wrong[0]].__name__}, as prostate-seg writes it; "
            "segment the case again."
        )
    return content


def is_changed(file: Path, manifest: Mapping[str, Any]) -> bool:
    """Return whether a mask differs from the mask in the manifest.

    Of several segments the CTV counts. The result is also True if the file cannot be read or has no CTV, and False
    if the manifest has no digest.
    """
    expected = manifest.get("ctv_sha256")
    if not expected:
        return False
    try:
        return mask_digest(read_mask(file)) != expected
    except InputError:
        return True


def _masks(folder: Path) -> list[Path]:
    return [folder / name for name in MASKS if (folder / name).is_file()]
