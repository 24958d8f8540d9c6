"""Half precision (bfloat16), if the device computes in it."""

from __future__ import annotations

import torch


def computes_bfloat16(device: str) -> bool:
    """Return whether a device (``cpu``, ``cuda``, ``mps``) has hardware for bfloat16.

    A CPU that has neither AVX-512 BF16 nor AMX emulates bfloat16. On such a CPU the released network took 18 s for
    a window with bfloat16, and 0.9 s without it.
    """
    if device == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    checks = (getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))
    return device != "cpu" or any(check() for check in checks if check is not None)


def autocast(device: str, *, enabled: bool = True) -> torch.autocast:
    """Return a context that computes in bfloat16 if this is enabled and the device has hardware for it.

    Otherwise the context changes nothing.
    """
    return torch.autocast(device, torch.bfloat16, enabled=enabled and computes_bfloat16(device))
