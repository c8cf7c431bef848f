"""Models inside the wrappers that training loops put around them, and the process that writes."""

from __future__ import annotations

from typing import Any

import torch.distributed as dist

from lightning_leaf.errors import LeafError

WRAPPERS = {
    "_FabricModule": "module",
    "DistributedDataParallel": "module",
    "DataParallel": "module",
    "DeepSpeedEngine": "module",
    "OptimizedModule": "_orig_mod",
}
"""Classes of wrappers, and the attribute that holds the wrapped module."""
SHARDED = ("FullyShardedDataParallel", "FSDPModule")
"""Classes of modules of which each process holds a part."""


def unwrapped(model: Any) -> Any:
    """Return the module inside the wrappers of Fabric, DDP, DeepSpeed and ``torch.compile``.

    A measurement must not call the wrappers: they communicate with other processes, cast inputs,
    and compile again for other shapes. Classes are recognized by name, because importing all these
    packages would take seconds.

    Args:
        model: A module, wrapped or not, or a function.

    Raises:
        LeafError: If the module is sharded.

    Example:
        >>> import torch
        >>> inner = torch.nn.Linear(2, 2)
        >>> unwrapped(torch.nn.DataParallel(inner)) is inner
        True
    """
    while True:
        names = [kind.__name__ for kind in type(model).__mro__]
        if sharded := next((name for name in names if name in SHARDED), None):
            raise LeafError(
                "LeafMonitor expects each process to hold the whole model, because only the first "
                f"one measures; {sharded} shards it. Use DDP, or a Lightning trainer with "
                "LocalDataMatrixMonitor, which supports FSDP2 (ModelParallelStrategy)."
            )
        wrapper = next((name for name in names if name in WRAPPERS), None)
        if wrapper is None:
            return model
        model = getattr(model, WRAPPERS[wrapper])


def is_rank_zero() -> bool:
    """Return whether this is the only process or the first one of ``torch.distributed``."""
    return not (dist.is_available() and dist.is_initialized()) or dist.get_rank() == 0
