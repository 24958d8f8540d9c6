"""Half precision, if the processor computes in it."""

from __future__ import annotations

import torch


def computes_bfloat16(device: str) -> bool:
    """Whether a device (``cpu``, ``cuda``, ``mps``) multiplies bfloat16 itself.

    A CPU with neither AVX-512 BF16 nor AMX emulates it: the released network took 18 s a window instead of 0.9.
    """
    if device == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    checks = (getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))
    return device != "cpu" or any(check() for check in checks if check is not None)


def autocast(device: str, *, enabled: bool = True) -> torch.autocast:
    """Run what follows in bfloat16 if it is enabled and the device computes in it, else as it is."""
    return torch.autocast(device, torch.bfloat16, enabled=enabled and computes_bfloat16(device))
