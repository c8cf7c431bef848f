"""The accelerators that a process uses: CUDA, MPS, XPU and backends of other packages."""

from __future__ import annotations

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


def modules_in_use() -> list[Any]:
    """Return the modules of the accelerators that this process has initialized.

    To read the state of an accelerator that is not in use would initialize it, which takes
    hundreds of megabytes of its memory.
    """
    current = torch.accelerator.current_accelerator()
    names = {"cuda"} if current is None else {"cuda", current.type}
    modules = (getattr(torch, name, None) for name in sorted(names))
    return [module for module in modules if _is_in_use(module)]


def _is_in_use(module: Any) -> bool:
    if hasattr(module, "is_initialized"):
        return bool(module.is_initialized())
    return module is not None and bool(module.is_available())
