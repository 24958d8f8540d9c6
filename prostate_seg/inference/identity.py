"""What each part of a bundle's network contributes, as ``benchmarks/identity.py`` measured it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..system.digests import sha256_of_file
from .released import released_bundle, weights_file
from .settings import read_json

IDENTITY = "identity.json"


def network_facts(bundle: Path | None = None) -> dict[str, Any]:
    """Return the settings of a bundle's network, and its accuracy with each part removed.

    Parameters
    ----------
    bundle
        Folder of the bundle. None: the released bundle.

    Returns
    -------
    dict
        ``bundle``: the folder; ``network``: the settings that build the network; ``measured``: the rows of
        ``models/identity.json``, empty if there is none for these weights; ``remark``: why it is empty, or None.

    Raises
    ------
    BundleError
        A file of the bundle is missing or damaged.
    """
    folder = released_bundle() if bundle is None else Path(bundle)
    settings = read_json(folder / "configs" / "inference.json")
    rows, remark = _measured(folder)
    return {"bundle": str(folder), "network": settings.get("network_def"), "measured": rows, "remark": remark}


def _measured(folder: Path) -> tuple[list[dict[str, Any]], str | None]:
    file, weights = folder / "models" / IDENTITY, weights_file(folder)
    if not file.is_file():
        return [], "Nothing was measured for these weights; benchmarks/identity.py does it."
    content = read_json(file)
    if not weights.is_file() or content.get("weights_sha256") != sha256_of_file(weights):
        return [], f"{file} was measured for other weights; benchmarks/identity.py measures these."
    return content["rows"], None
