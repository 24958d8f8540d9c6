"""Device of the networks."""

from __future__ import annotations

import torch

from ..errors import SettingsError


def choose_device(name: str) -> torch.device:
    """Return the device; ``auto`` is CUDA if present, else the CPU. Raise SettingsError if it is not present."""
    present = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        return torch.device("cuda" if present["cuda"] else "cpu")
    if not present.get(name, False):
        there = ", ".join(key for key, value in present.items() if value)
        raise SettingsError(f"There is no device {name} here, only {there}; choose one of these or auto.")
    return torch.device(name)
