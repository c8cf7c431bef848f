"""Derivatives through the ``torch.no_grad()`` blocks in a model's forward pass."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from types import FrameType
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

_BLOCKS = torch.autograd.grad_mode.__file__
_DECORATORS = torch.utils._contextlib.__file__


class ThroughNoGrad(TorchFunctionMode):
    """A context in which ``torch.no_grad()`` has no effect on the operations of a forward pass.

    ``no_grad`` spares the memory of derivatives that a training does not need. It is no part of
    the function x → p(y|x): a frozen backbone under ``no_grad`` has the same derivatives with
    respect to the input as without. Three kinds of blocks keep their effect: those in the code of
    PyTorch itself, operations that write to the tensors of the model (running statistics, queues,
    parameters; these would otherwise become part of the graph), and ``torch.inference_mode()``.

    Args:
        tensors: Those that operations may write to only without a graph.
    """

    def __init__(self, tensors: Iterable[Tensor]) -> None:
        super().__init__()
        self._kept = {id(tensor) for tensor in tensors}

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        if starts_no_grad(func, args):
            return None
        if self._writes_to_kept(func, args, kwargs or {}):
            with torch.no_grad():
                return func(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))

    def _writes_to_kept(
        self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> bool:
        name = getattr(func, "__name__", "")
        in_place = name == "__setitem__" or (name.endswith("_") and not name.endswith("__"))
        target = args[0] if in_place and args else kwargs.get("out")
        targets = target if isinstance(target, (list, tuple)) else [target]
        # The slice of a buffer is a view.
        return any(
            id(each) in self._kept or id(each._base) in self._kept
            for each in targets
            if isinstance(each, Tensor)
        )


def starts_no_grad(func: Callable[..., Any], args: tuple[Any, ...]) -> bool:
    """Return whether a call that a mode intercepts disables gradients in code that is not torch's.

    ``torch.no_grad()``, ``@torch.no_grad()`` and ``torch.set_grad_enabled(False)`` all call
    ``torch._C._set_grad_enabled(False)``, which modes intercept from torch 2.6 on.
    """
    if func is not torch._C._set_grad_enabled or not args or args[0]:
        return False
    frame: FrameType | None = sys._getframe(2)
    while frame is not None and frame.f_code.co_filename == _BLOCKS:
        frame = frame.f_back
    if frame is None:
        return True
    decorated = None
    if frame.f_code.co_filename == _DECORATORS:
        decorated = getattr(frame.f_locals.get("func"), "__module__", None)
    module = str(decorated or frame.f_globals.get("__name__", ""))
    return not module.startswith("torch.")
