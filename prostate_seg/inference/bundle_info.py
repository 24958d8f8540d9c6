"""Identity of a bundle: its name, version and digests."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..errors import BundleError
from ..system.checked_files import shortened
from .settings import read_json

LONGEST_NAME = 200  # characters of a bundle's name and version


@dataclass(frozen=True)
class BundleInfo:
    """Identity of the model that made a mask: name, version, SHA-256 of the weights and of the settings.

    Name and version are from metadata.json. A remark is appended to the name if other weights than the
    bundle's models/model.pt are used, or if the settings are not those that the bundle's score was fitted with.
    ``structures`` and ``things`` are the names of what was asked for beside the CTV, with the SHA-256 of their
    weights, and of those of the second look at one of the structures. ``ensembling`` and ``shape_model_sha256`` are
    None if they are the bundle's own; ``refine`` is whether the shape model moves blurred edges.
    """

    name: str
    version: str
    sha256: str
    config_sha256: str
    structures: tuple[str, ...] = ()
    structures_sha256: str = ""
    second_look_sha256: str = ""
    things: tuple[str, ...] = ()
    things_sha256: str = ""
    ensembling: str | None = None
    refine: bool = True
    shape_model_sha256: str | None = None


def name_and_version(bundle: Path) -> tuple[str, str]:
    """Read a bundle's name and version from metadata.json. Raise BundleError if they are invalid."""
    path = bundle / "configs" / "metadata.json"
    metadata = read_json(path)
    name, version = metadata.get("name", bundle.name), metadata.get("version", "")
    for text in (name, version):
        if not isinstance(text, str) or not text.isprintable() or len(text) > LONGEST_NAME:
            raise BundleError(
                f"{path} gives {shortened(text)} as name or version, expected a line of at most "
                f"{LONGEST_NAME} characters; correct it."
            )
    return name, version
