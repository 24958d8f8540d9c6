"""The digest of the image that a mask was drawn on, as mask files carry it.

A contour fits any image of its size. Its file therefore holds the SHA-256 of the image's files: ``.seg.nrrd`` in a
tag of each segment (3D Slicer keeps tags that it does not know), ``.nrrd`` and ``.mha`` in a field, NIfTI in its
description (ITK keeps it), in base64, which fits there.
"""

from __future__ import annotations

import base64
import gzip
import re
import zlib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from ..errors import GeometryError

TAG = "ProstateSeg.SourceSHA256"
FIELD = "source_sha256"
_SHA256 = re.compile(r"[0-9a-f]{64}")
_HEADER_BYTES, _NIFTI_BYTES = 1 << 20, 540
_DESCRIBED = re.compile(rb"source ([A-Za-z0-9_-]{43})")  # SHA-256 in base64 without its padding
_FIELD = re.compile(rf"^{FIELD}(?::=| = )([0-9a-f]{{64}})\r?$".encode(), re.MULTILINE)
_TAGS = re.compile(rb"^Segment(\d{1,4})_Tags:=(.*)$", re.MULTILINE)
_TAGGED = re.compile(rf"{re.escape(TAG)}:([0-9a-f]{{64}})\|".encode())


def tag_of(sha256: str) -> str:
    """The tag of a segment, empty for what is no SHA-256."""
    return f"{TAG}:{sha256}|" if _SHA256.fullmatch(sha256) else ""


def field_of(sha256: str) -> dict[str, str]:
    """The field of a ``.nrrd`` or ``.mha`` file, none for what is no SHA-256."""
    return {FIELD: sha256} if _SHA256.fullmatch(sha256) else {}


def description_of(sha256: str, first: str = "") -> str:
    """The description of a NIfTI file, at most 80 bytes, after what else it says first."""
    if not _SHA256.fullmatch(sha256):
        return first
    source = f"source {base64.urlsafe_b64encode(bytes.fromhex(sha256)).decode().rstrip('=')}"
    return f"{first}; {source}" if first else source


def recorded_sources(path: Path) -> dict[int, str]:
    """The digests that a mask file carries, by the number of the segment from 0 on; a label map's is 0.

    Only the header is read. Empty if nothing says which image it was: another program's file, or a damaged one.
    """
    with suppress(OSError, EOFError, zlib.error, ValueError):
        head = _head(path)
        if head[:4] == b"NRRD" or head.lstrip().startswith((b"ObjectType", b"NDims")):
            return _in_text(head)
        described = head[240:320] if head[4:7] == b"n+2" else head[148:228]
        if found := _DESCRIBED.search(described):
            return {0: base64.urlsafe_b64decode(found.group(1) + b"=").hex()}
    return {}


def check_drawn_on(path: Path, segments: Mapping[str, str], image: str, known: set[str]) -> None:
    """Raise GeometryError if a segment of a mask file says that it was drawn on another image.

    segments: name and digest of those that count. image: the image's name. known: the digests that it goes by.
    """
    for segment, sha256 in segments.items():
        if sha256 not in known:
            expected = " or ".join(f"{digest[:12]}..." for digest in sorted(known))
            raise GeometryError(
                f"The segment {segment} of {path.name} was drawn on another image than {image}, or {image} has "
                f"changed since (SHA-256 {sha256[:12]}..., expected {expected}); give the image that it was drawn "
                "on, or draw it on this one."
            )


def _head(path: Path) -> bytes:
    """The first bytes of a file, unpacked if it is packed by gzip."""
    with path.open("rb") as stream:
        head = stream.read(_HEADER_BYTES)
        if not head.startswith(b"\x1f\x8b"):
            return head
        stream.seek(0)
        return gzip.GzipFile(fileobj=stream).read(_NIFTI_BYTES)


def _in_text(head: bytes) -> dict[int, str]:
    """The digests in the header of a NRRD or MetaImage file."""
    header = head.split(b"\n\n")[0] if head[:4] == b"NRRD" else head.split(b"\nElementDataFile")[0]
    of_file = _FIELD.search(header)
    found = {0: of_file.group(1).decode()} if of_file else {}
    for number, tags in _TAGS.findall(header):
        if digest := _TAGGED.search(tags):
            found[int(number)] = digest.group(1).decode()
    return found
