"""What each part of a bundle's network contributes, as ``benchmarks/identity.py`` measured it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..errors import BundleError
from ..system.digests import sha256_of_file
from .released import released_bundle, weights_file
from .settings import read_json, read_settings

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
    definition = read_settings(folder)["network_def"]
    rows, remark = _measured(folder)
    return {"bundle": str(folder), "network": definition, "measured": rows, "remark": remark}


def _measured(folder: Path) -> tuple[list[dict[str, Any]], str | None]:
    file, weights = folder / "models" / IDENTITY, weights_file(folder)
    if not file.is_file():
        return [], "Nothing was measured for these weights; benchmarks/identity.py does it."
    if not weights.is_file():
        return [], f"There are no weights at {weights}."
    content = read_json(file)
    if content.get("weights_sha256") != sha256_of_file(weights):
        return [], f"{file} was measured for other weights; benchmarks/identity.py measures these."
    rows = content.get("rows")
    if not isinstance(rows, list) or not all(map(_is_row, rows)):
        raise BundleError(f"{file} is damaged: a row lacks a figure; write it again by benchmarks/identity.py.")
    return rows, None


def _is_row(row: Any) -> bool:
    """Return whether this is a row: a set of cases, an edit of the network, Dice, and its loss with an interval."""
    if not isinstance(row, dict) or not all(isinstance(row.get(key), str) for key in ("set", "network")):
        return False
    needed = {key: row.get(key) for key in ("cases", "dice", "worst")}
    lost = {key: row.get(key) for key in ("lost", "low", "high")}
    if any(value is not None for value in lost.values()):
        needed |= lost
    return all(type(value) in (int, float) for value in needed.values())
