"""Earlier results in the folder of a case: which files a new run may replace, and which it must keep."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any, cast

from jsonschema import Draft202012Validator

from ..errors import InputError, OutputError
from ..geometry.hints import Hints
from ..geometry.volume import Volume
from ..reading.hints import read_hints
from ..system.atomic import is_of_system
from ..system.digests import sha256_of_file
from ..system.input_files import InputFile
from ..writing.current_mask import manifest_of, source_of
from ..writing.formats import FORMATS, empty_formats
from ..writing.manifest import DIGESTS, HINTS, MANIFEST, Manifest
from ..writing.manifest_schema import schema

_REDO = "remove the folder and segment the case again."
REMEDY = "move it away or give another output folder (-o)."


def is_unchanged_result(path: Path) -> bool:
    """Return whether an entry of a case's folder is an unchanged result, by the digests in the manifest.

    The result is False for an entry that is not listed in the manifest, and for a symbolic link.

    Raises
    ------
    OutputError
        The entry was changed or extended, or the folder has no manifest or digest to check it.
    """
    folder, name = path.parent, path.name
    manifest = result_manifest(folder)
    if manifest is None:
        raise OutputError(
            f"{folder} holds {name} but no {MANIFEST} of prostate-seg that names it as an earlier result; {REMEDY}"
        )
    if name not in manifest["outputs"] or path.is_symlink():
        return False
    if name == MANIFEST:
        return True
    digests = manifest.get(DIGESTS)
    if not isinstance(digests, Mapping):
        raise OutputError(f"{folder} holds {name} whose {MANIFEST} has no digest of it; {REMEDY}")
    for file in _files_in(path):
        inside = file.relative_to(folder).as_posix()
        if inside not in digests:
            raise OutputError(f"{folder} holds {inside}, which is no earlier result and would be lost; {REMEDY}")
        if file.is_symlink() or sha256_of_file(file) != digests[inside]:
            raise _changed(folder, inside)
    return True


def is_replaceable_result(path: Path) -> bool:
    """Return what :func:`is_unchanged_result` does, but raise OutputError for a result with hints of a person."""
    manifest = result_manifest(path.parent) or {}
    count = (manifest.get("hints") or {}).get("count", 0) if "uncertainty" in manifest else 0
    if count and HINTS in manifest["outputs"]:
        raise OutputError(
            f"{path.parent} obeys hints ({count}), which would be lost; change it by prostate-seg refine, or give "
            "another output folder (-o)."
        )
    return is_unchanged_result(path)


def unchanged_hints(folder: Path, manifest: Mapping[str, Any], volume: Volume) -> Hints | None:
    """Return the hints in a case's folder; None if their file is gone or was changed."""
    file, digests = folder / HINTS, manifest.get(DIGESTS)
    expected = digests.get(HINTS) if isinstance(digests, Mapping) else None
    return read_hints(file, volume) if file.is_file() and sha256_of_file(file) == expected else None


def result_manifest(folder: Path) -> Mapping[str, Any] | None:
    """Return the manifest of a case's folder, or None if there is none that this package wrote."""
    try:
        manifest = manifest_of(folder)
    except InputError:
        return None
    outputs = manifest.get("outputs")
    return manifest if isinstance(outputs, list) and MANIFEST in outputs else None


def free_name(output: Path, name: str, source_sha256: str) -> str:
    """Return a name for a folder below ``output`` that is free, or holds results of the image with this SHA-256.

    It is ``name``, or else ``name 2``, ``name 3`` and so on.
    """

    def is_free(folder: Path) -> bool:
        return not os.path.lexists(folder) or source_of(result_manifest(folder) or {}) == (source_sha256 or None)

    names = (name if number == 1 else f"{name} {number}" for number in count(1))
    return next(numbered for numbered in names if is_free(output / numbered))


def segmented_manifest(folder: Path) -> Manifest | None:
    """Return the manifest of a case that ``segment`` finished, or None if the folder holds no such case.

    Entries that this version does not know are ignored.
    """
    found = result_manifest(folder)
    if found is None or not {"bundle", "uncertainty"} <= found.keys():
        return None
    known = Draft202012Validator(schema(strict=False)).is_valid(found)
    return cast(Manifest, found) if known else None


def checked_files(folder: Path, manifest: Manifest) -> list[str]:
    """Return the files of a case's folder that its manifest lists, itself included, as paths within the folder.

    Raise OutputError if one of them is missing, has changed, or is or lies behind a symbolic link.
    """
    digests = manifest.get(DIGESTS, {})
    there = {} if folder.is_symlink() else {file.relative_to(folder).as_posix(): file for file in _files_in(folder)}
    for name in {*manifest["outputs"]} - {MANIFEST, *(name.split("/")[0] for name in digests)}:
        raise OutputError(f"{folder} has no digest of {name}; {_REDO}")
    for name in (MANIFEST, *digests):
        file = there.get(name)
        if file is None or file.is_symlink():
            raise OutputError(f"{folder} has no file {name}, or only a symbolic link; {_REDO}")
        if name in digests and sha256_of_file(file) != digests[name]:
            raise OutputError(f"{folder} holds {name}, which was changed since it was written; {_REDO}")
    return [MANIFEST, *digests]


def check_apart(folder: Path, inputs: Sequence[InputFile]) -> None:
    """Raise OutputError if the results would replace one of their inputs."""
    place = folder.resolve()
    for file in inputs:
        path = file if isinstance(file, Path) else file.archive
        if path.resolve() == place or place in path.resolve().parents:
            raise OutputError(f"{folder} holds {path.name}, which it would replace; give another output folder.")


def _changed(folder: Path, name: str) -> OutputError:
    return OutputError(f"{folder} holds {name}, which was changed since it was written and would be lost; {REMEDY}")


def _files_in(path: Path) -> Iterator[Path]:
    """Yield a file, or all files of a folder except those that the operating system creates."""
    if not path.is_dir():
        yield path
        return
    for file in sorted(path.rglob("*")):
        if (file.is_symlink() or not file.is_dir()) and not is_of_system(file):
            yield file


def missing_files(folder: Path, formats: Sequence[str], manifest: Manifest | None) -> list[str]:
    """Return the files of formats that a finished case lacks; files of things only if it has things."""
    counted = manifest.get("things", {}) if manifest is not None else {}
    empty = empty_formats(formats, things=any(facts["count"] for facts in counted.values()))
    files = [FORMATS[name].file for name in formats if name not in empty]
    return [file for file in files if not (folder / file).exists()]


def check_made_alike(folder: Path, *settings: tuple[str, Any, Any]) -> None:
    """Raise OutputError if a finished case was made in another way.

    Each setting has its name, its value when the case was made, and its value now.
    """
    for what, before, now in settings:
        if before != now:
            raise OutputError(
                f"{folder} was made with another {what}; give --overwrite instead of --skip-existing, or another "
                "output folder."
            )
