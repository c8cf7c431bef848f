"""Models inside the wrappers that training loops put around them."""

from __future__ import annotations

from typing import Any

WRAPPERS = {
    "_FabricModule": "module",
    "DistributedDataParallel": "module",
    "DataParallel": "module",
    "DeepSpeedEngine": "module",
    "OptimizedModule": "_orig_mod",
}
"""Classes of wrappers, and the attribute that holds the wrapped module."""


def unwrapped(model: Any) -> Any:
    """Return the module inside the wrappers of Fabric, DDP, DeepSpeed and ``torch.compile``.

    A measurement must not call the wrappers: they wait for other processes, cast inputs, and
    compile again for other shapes. Classes are recognized by name, because importing all these
    packages would take seconds.

    Args:
        model: A module, wrapped or not, or a function.

    Example:
        >>> import torch
        >>> inner = torch.nn.Linear(2, 2)
        >>> unwrapped(torch.nn.DataParallel(inner)) is inner
        True
    """
    while wrapper := next(
        (k.__name__ for k in type(model).__mro__ if k.__name__ in WRAPPERS), None
    ):
        model = getattr(model, WRAPPERS[wrapper])
    return model
