"""Ranges of the numbers and switches in train.json that a run may set."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from monai.bundle import ConfigParser

from ..errors import SettingsError
from ..system.checked_files import shortened

_WHOLE = {
    "accumulation": (1, 10_000),
    "batch_size": (1, 10_000),
    "loader_workers": (0, 256),
    "patience": (0, 1_000_000),
    "phantoms": (0, 1_000_000),
    "repeats": (1, 1_000_000),
    "seed": (0, 2**31 - 1),
    "val_interval": (1, 1_000_000),
    "validation_phantoms": (0, 1_000_000),
    "workers": (0, 256),
    "train::trainer::max_epochs": (1, 1_000_000),
}
_REAL = {
    "gradient_norm": (0, 1_000),
    "hard_examples": (0, 1),
    "hausdorff_weight": (0, 1_000),
    "hidden_patches": (0, 0.99),
    "learning_rate": (0, 1_000),
    "weight_decay": (0, 1_000),
}
_SWITCHES = ("amp", "resume")
_COUNTED = ("phantoms", "validation_phantoms")
_ABSENT = object()


def check_values(changed: ConfigParser, overrides: Mapping[str, Any]) -> None:
    """Raise SettingsError for an invalid value in a changed train.json; ``overrides`` are the changes."""
    for name in (*_WHOLE, *_REAL, *_SWITCHES):
        _check_value(name, changed.get(name, _ABSENT), given=name in overrides)
    frozen = changed.get("frozen", [])
    if not isinstance(frozen, list) or not all(isinstance(part, str) for part in frozen):
        raise SettingsError(f'frozen is {shortened(frozen)}, expected parts, as ["encoder.patch_embed"].')


def _check_value(name: str, value: Any, *, given: bool) -> None:
    """Raise SettingsError for an invalid value. An expression in a trusted train.json is allowed."""
    if value is _ABSENT or (isinstance(value, str) and not given and name not in _COUNTED):
        return
    if name in _SWITCHES:
        fits, expected = isinstance(value, bool), "true or false"
    else:
        kinds = (int,) if name in _WHOLE else (int, float)
        low, high = (_WHOLE | _REAL)[name]
        fits = type(value) in kinds and low <= value <= high
        expected = f"{'a whole number' if name in _WHOLE else 'a number'} from {low} to {high}"
    if not fits:
        raise SettingsError(f"{name} is {shortened(value)}, expected {expected}.")
