"""The digest of the image that a mask was drawn on, stored in the mask file.

A contour fits every image of the same size. A mask file therefore holds the SHA-256 of the files of its image:

- ``.seg.nrrd``: in a tag of each segment; 3D Slicer keeps tags that it does not know.
- ``.nrrd`` and ``.mha``: in a header field.
- NIfTI: in the description, which ITK keeps. The digest is in base64, because the description has only 80 bytes
  and may hold other text.
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
LEARNT = "ProstateSeg.LearntOn"  # tag of a segment; 3D Slicer keeps it
_SHA256 = re.compile(r"[0-9a-f]{64}")
_HEADER_BYTES, _NIFTI_BYTES = 1 << 20, 540
_DESCRIBED = re.compile(rb"source ([A-Za-z0-9_-]{43})")  # a SHA-256 in base64 without padding
_FIELD = re.compile(rf"^{FIELD}(?::=| = )([0-9a-f]{{64}})\r?$".encode(), re.MULTILINE)
_TAGS = re.compile(rb"^Segment(\d{1,4})_Tags:=(.*)$", re.MULTILINE)
_TAGGED = re.compile(rf"{re.escape(TAG)}:([0-9a-f]{{64}})\|".encode())


def tag_of(sha256: str) -> str:
    """Return the tag for a segment, or an empty text if ``sha256`` is not a SHA-256."""
    return f"{TAG}:{sha256}|" if _SHA256.fullmatch(sha256) else ""


def field_of(sha256: str) -> dict[str, str]:
    """Return the field for a ``.nrrd`` or ``.mha`` header, or no field if ``sha256`` is not a SHA-256."""
    return {FIELD: sha256} if _SHA256.fullmatch(sha256) else {}


def description_of(sha256: str, first: str = "") -> str:
    """Return the description for a NIfTI header, which has room for 80 bytes.

    Parameters
    ----------
    sha256
        Digest of the image; left out if it is not a SHA-256.
    first
        Text before the digest.
    """
    if not _SHA256.fullmatch(sha256):
        return first
    source = f"source {base64.urlsafe_b64encode(bytes.fromhex(sha256)).decode().rstrip('=')}"
    return f"{first}; {source}" if first else source


def recorded_sources(path: Path) -> dict[int, str]:
    """Return the image digests in a mask file, by the number of the segment (from 0).

    The digest of a label map has the number 0. Only the header is read. The result is empty if the file holds no
    digest (for example a file of another program) or is damaged.
    """
    with suppress(OSError, EOFError, zlib.error, ValueError):
        head = _head(path)
        if head[:4] == b"NRRD" or head.lstrip().startswith((b"ObjectType", b"NDims")):
            return _in_text(head)
        described = head[240:320] if head[4:7] == b"n+2" else head[148:228]
        if found := _DESCRIBED.search(described):
            return {0: base64.urlsafe_b64decode(found.group(1) + b"=").hex()}
    return {}


def phantom_trained_segments(path: Path) -> set[int]:
    """Return the numbers (from 0) of the segments in a ``.seg.nrrd`` whose model was trained on phantoms alone."""
    with suppress(OSError, EOFError, zlib.error, ValueError):
        header = _head(path).split(b"\n\n")[0]
        return {int(number) for number, tags in _TAGS.findall(header) if f"{LEARNT}:phantoms|".encode() in tags}
    return set()


def check_drawn_on(path: Path, segments: Mapping[str, str], image: str, known: set[str]) -> None:
    """Raise GeometryError if a segment of a mask file was drawn on another image, by its digest.

    Parameters
    ----------
    path
        The mask file, for the message.
    segments
        Names of the segments to check, and their image digests.
    image
        Name of the image, for the message.
    known
        All digests that are valid for the image.
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
    """Return the first bytes of a file, decompressed if it is a gzip file."""
    with path.open("rb") as stream:
        head = stream.read(_HEADER_BYTES)
        if not head.startswith(b"\x1f\x8b"):
            return head
        stream.seek(0)
        return gzip.GzipFile(fileobj=stream).read(_NIFTI_BYTES)


def _in_text(head: bytes) -> dict[int, str]:
    """Return the digests in the header of a NRRD or MetaImage file, by segment number."""
    header = head.split(b"\n\n")[0] if head[:4] == b"NRRD" else head.split(b"\nElementDataFile")[0]
    of_file = _FIELD.search(header)
    found = {0: of_file.group(1).decode()} if of_file else {}
    for number, tags in _TAGS.findall(header):
        if digest := _TAGGED.search(tags):
            found[int(number)] = digest.group(1).decode()
    return found
