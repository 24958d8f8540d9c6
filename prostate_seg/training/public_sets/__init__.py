"""Public data sets of ultrasound with masks."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import cast

from ..found_cases import Found
from .origin import Origin

SETS = {
    one.name: one
    for one in (
        Origin("tcia-us-biopsy", "doi:10.7937/TCIA.2020.A61IOC1A", "CC BY 4.0"),
        Origin("mu-regpro", "doi:10.5281/zenodo.7870104", "see the record: not verified"),
        Origin("micro-us", "doi:10.5281/zenodo.10475293", "see the record: not verified"),
        Origin("deepreg", "https://github.com/DeepRegNet/DeepReg", "Apache-2.0"),
    )
}


def find_items(name: str, folders: Sequence[Path], axes: str = "") -> Found:
    """Return the cases of a public set in folders.

    Parameters
    ----------
    name
        Name of the set, one of ``SETS``.
    folders
        Folders with the set, or a part of it, as it was unpacked.
    axes
        Directions of the axes i, j, k of the stored images in the patient, as ``LPS``; empty to assume them.

    Raises
    ------
    InputError
        A folder does not exist, or holds no case in the layout of the set.
    SettingsError
        The axes are no three directions.
    """
    module = import_module(f".{name.replace('-', '_')}", __package__)
    return cast(Found, module.find(folders, SETS[name], axes))
