"""Input files on disk or inside a zip, and their types."""

from __future__ import annotations

import gzip
import io
import os
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Literal
from zipfile import BadZipFile, ZipFile

from ..errors import InputError
from .guard import Limits

FileKind = Literal["dicom", "nifti", "nrrd", "metaimage", "zip"]

SUFFIXES: dict[str, FileKind] = {
    ".dcm": "dicom",
    ".dicom": "dicom",
    ".nii": "nifti",
    ".nii.gz": "nifti",
    ".nrrd": "nrrd",
    ".nhdr": "nrrd",
    ".mha": "metaimage",
    ".mhd": "metaimage",
    ".zip": "zip",
}
READ_ERRORS = (
    OSError,
    EOFError,
    zlib.error,
    BadZipFile,
    NotImplementedError,
    RuntimeError,
)  # raised when a file's bytes are read


@dataclass(frozen=True)
class ZipMember:
    """A file inside a zip. Unlike :class:`zipfile.Path` it keeps no file open and can be pickled.

    Attributes
    ----------
    archive
        Path of the zip.
    at
        Path of the file inside the zip.
    """

    archive: Path
    at: str

    @property
    def name(self) -> str:
        """File name without its folders."""
        return PurePosixPath(self.at).name

    def read_bytes(self) -> bytes:
        """Return the uncompressed content.

        Raises InputError if the content is encrypted or larger than the memory limit for reading.
        """
        archive = archive_at(self.archive)
        entry, most = archive.getinfo(self.at), Limits.from_environment().gigabytes * 2**30
        if entry.flag_bits & 1:
            raise InputError("it is encrypted in its zip; unpack it first.")
        if entry.file_size > most:
            raise InputError(
                f"it unpacks to {entry.file_size / 2**30:.1f} GB, expected at most {most / 2**30:.1f} GB; unpack "
                "its zip first, or give --read-gigabytes."
            )
        return archive.read(entry)

    def beside(self, name: str) -> ZipMember | None:
        """Return the file of this name in the same folder of the zip, or None."""
        at = str(PurePosixPath(self.at).with_name(name))
        return ZipMember(self.archive, at) if at in archive_at(self.archive).NameToInfo else None


InputFile = Path | ZipMember


def archive_at(path: Path) -> ZipFile:
    """Return an open zip; its table of contents is cached while the zip is unchanged.

    Raises OSError, and the errors of :mod:`zipfile` for a damaged zip.
    """
    status = path.stat()
    return _archive(path, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=2)
def _archive(path: Path, _changed: int, _size: int) -> ZipFile:
    return ZipFile(path)


def opened(file: InputFile) -> BinaryIO:
    """Open a file on disk or in a zip as a seekable stream of bytes."""
    return file.open("rb") if isinstance(file, Path) else io.BytesIO(file.read_bytes())


def bytes_on_disk(files: Sequence[InputFile]) -> int:
    """Return the total size of files on disk, in bytes.

    A file in a zip counts as the whole zip; each zip counts once. A file that does not exist counts as 0.
    """
    places = {file if isinstance(file, Path) else file.archive for file in files}
    return sum(os.path.getsize(place) for place in places if place.is_file())


def file_kind(file: InputFile) -> FileKind | None:
    """Determine a file's type by its content first, then by its suffix; None if unknown. Raises OSError."""
    with file.open("rb") if isinstance(file, Path) else archive_at(file.archive).open(file.at) as stream:
        head = stream.read(1024)
        if head[:2] == b"\x1f\x8b":
            stream.seek(0)
            try:
                head = gzip.GzipFile(fileobj=stream).read(1024)
            except (OSError, EOFError, zlib.error):
                head = b""
    return _kind_of_content(head) or SUFFIXES.get(suffix(file.name))


def suffix(name: str) -> str:
    """Return the suffix of a file name in lower case; ``.nii.gz`` is one suffix."""
    lower = name.lower()
    return ".nii.gz" if lower.endswith(".nii.gz") else Path(lower).suffix


def distinct_names(paths: Sequence[Path]) -> list[str]:
    """Return short distinct names for paths: the fewest last parts that distinguish them, without suffixes.

    Raises InputError if two paths are the same.
    """
    places = [path.resolve() for path in paths]
    if len(set(places)) != len(places):
        raise InputError("Two of the paths are the same; give each once.")
    for depth in range(1, max(len(place.parts) for place in places) + 1):
        names = ["/".join((*place.parts[-depth:-1], stem(place.name))) for place in places]
        if len(set(names)) == len(names):
            return names
    return [str(place) for place in places]


def stem(name: str) -> str:
    """Return a file name without its known suffixes (``scan.seg.nrrd`` -> ``scan``)."""
    known = suffix(name)
    shorter = name[: len(name) - len(known)] if known in SUFFIXES else name
    return shorter.removesuffix(".seg")


def _kind_of_content(head: bytes) -> FileKind | None:
    if head[128:132] == b"DICM":
        return "dicom"
    if head[344:348] == b"n+1\0" or head[4:8] == b"n+2\0":
        return "nifti"
    if head[:4] == b"NRRD":
        return "nrrd"
    if head[:4] == b"PK\x03\x04":
        return "zip"
    first = head.split(b"\n", 1)[0].split(b"=", 1)[0].strip()
    return "metaimage" if first in (b"ObjectType", b"NDims") else None
