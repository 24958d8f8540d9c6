"""Training of further structures: the settings that a list of them needs, and the files of the new bundle."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..errors import BundleError, SettingsError
from ..geometry.structures import CTV, KNOWN, Structure, key, structures_of
from ..inference.released import released_bundle
from ..inference.settings import read_json as read_object
from ..inference.structure_network import FILE, WEIGHTS
from ..inference.weights import read_state, save_halved
from ..network import CLASSES
from ..system.checked_files import read_json
from .datalist import check_structures

OVERLAY = "configs/train_structures.json"


@dataclass(frozen=True)
class StructureTraining:
    """A training of further structures.

    Attributes
    ----------
    structures
        The structures, in the order of the network's channels.
    overrides
        Settings of train.json that the training changes.
    """

    structures: tuple[Structure, ...]
    overrides: Mapping[str, Any]

    @classmethod
    def of(cls, text: str) -> StructureTraining:
        """Return the training of ``--structures``: names by commas, or a JSON file. Raise SettingsError.

        The file is a list of names of the shipped table and of objects as there (docs/structures.schema.json).
        """
        rows: Any = [name.strip() for name in text.split(",") if name.strip()]
        where = "--structures"
        if Path(text).is_file():
            where = text
            try:
                rows = read_json(Path(text))
            except (OSError, ValueError) as error:
                raise SettingsError(f"The structures in {text} cannot be read: {error}.") from error
        found = structures_of(rows, where, known=KNOWN.values())
        if key(CTV) in {key(one.name) for one in found}:
            raise SettingsError(f"{where} names the {CTV}, which is always trained; leave it out.")
        overlay = copy.deepcopy(read_object(released_bundle() / OVERLAY))
        overlay.pop("_desc_", None)
        overlay["structures"] = [key(one.name) for one in found]
        overlay["network_def"]["decoder"]["num_classes"] = CLASSES + len(found)
        return cls(found, overlay)

    def start_of(self, bundle: Path) -> Path:
        """Return the weights that ``--init released`` starts from: those of the same structures, or the CTV's."""
        weights = bundle / WEIGHTS
        if weights.is_file() and (bundle / FILE).is_file():
            rows = read_object(bundle / FILE).get("structures", [])
            names = [row.get("name") if isinstance(row, dict) else row for row in rows]
            if [key(str(name)) for name in names] == self.overrides["structures"]:
                return weights
        return bundle / "models" / "model.pt"

    def check(self, cases: Sequence[Mapping[str, Any]]) -> None:
        """Raise SettingsError if a case labels another structure."""
        check_structures(cases, self.overrides["structures"], "--structures")

    def write(self, bundle: Path, weights: Path, cases: Sequence[Mapping[str, Any]]) -> None:
        """Write the list and the weights of a trained network into its bundle.

        A structure that a training case labels was learnt on patients, any other one on phantoms.
        """
        labelled = {key(name) for case in cases for name in case.get("structures", {})}
        content = {
            "network_def": self.overrides["network_def"],
            "structures": [_row(one) for one in self.structures],
            "learnt_on": {
                one.name: "patients" if key(one.name) in labelled else "phantoms" for one in self.structures
            },
        }
        (bundle / FILE).write_text(json.dumps(content, indent=4), encoding="utf-8")
        save_halved(read_state(weights), bundle / WEIGHTS)


def _row(one: Structure) -> str | dict[str, Any]:
    if KNOWN.get(key(one.name)) == one:
        return one.name
    return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(one).items()}


def check_alone(folds: int | None, structures: str | None) -> None:
    """Raise SettingsError if an ensemble of structure networks is asked for."""
    if folds is not None and structures is not None:
        raise SettingsError("--folds makes an ensemble of the CTV; train further structures without it.")


def needed_overlay(bundle: Path) -> None:
    """Raise BundleError if a bundle's train.json is too old for further structures."""
    if "structures" not in read_object(bundle / "configs" / "train.json"):
        raise BundleError(
            f"{bundle} is of an earlier version: its train.json has no structures; start from the released bundle."
        )
