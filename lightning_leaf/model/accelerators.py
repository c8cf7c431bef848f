"""The accelerators that a process uses: CUDA, MPS, XPU and backends of other packages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch


def device_module(device: torch.device | None) -> Any:
    """Return the module of an accelerator's functions, such as :mod:`torch.cuda`.

    Returns:
        The module; None for the CPU, for no device, and for a backend without such a module.
    """
    if device is None or device.type in ("cpu", "meta"):
        return None
    return getattr(torch, device.type, None)


def computing_device(devices: Sequence[torch.device]) -> torch.device | None:
    """Return the device on which to compute with the results of a model.

    Args:
        devices: Those of the model, the most important first.

    Returns:
        The first; the CPU if it does not compute in float64; None without a device.
    """
    if not devices:
        return None
    return devices[0] if has_float64(devices[0]) else torch.device("cpu")


def has_float64(device: torch.device) -> bool:
    """Return whether a device computes in float64. Those of Apple and some of Intel do not."""
    if device.type in ("cpu", "cuda"):
        return True
    try:
        torch.ones(1, dtype=torch.float64, device=device)
    except torch.OutOfMemoryError:
        raise
    except (RuntimeError, TypeError, NotImplementedError):
        return False
    return True


def accelerator_types() -> list[str]:
    """Return the types of accelerators for which PyTorch is built, such as ``"cuda"``."""
    try:
        current = torch.accelerator.current_accelerator()
    except RuntimeError:  # torch 2.6 on a machine without an accelerator
        current = None
    return ["cuda"] if current is None or current.type == "cuda" else ["cuda", current.type]


def autocast_is_enabled(kind: str) -> bool:
    """Return whether operations on a type of device run under autocast, if it has autocast."""
    try:
        return torch.is_autocast_enabled(kind)
    except RuntimeError:
        return False


def modules_in_use() -> list[Any]:
    """Return the modules of the accelerators that this process has initialized.

    To read the state of an accelerator that is not in use would initialize it, which takes
    hundreds of megabytes of its memory.
    """
    modules = (getattr(torch, kind, None) for kind in accelerator_types())
    return [module for module in modules if _is_in_use(module)]


def _is_in_use(module: Any) -> bool:
    if hasattr(module, "is_initialized"):
        return bool(module.is_initialized())
    return module is not None and bool(module.is_available())
