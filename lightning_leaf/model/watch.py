"""What a forward pass does, seen from outside."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import nullcontext
from typing import Any

from torch import Tensor
from torch.overrides import TorchFunctionMode

from lightning_leaf.model.no_grad import starts_no_grad
from lightning_leaf.model.precision import is_half
from lightning_leaf.model.recurrent import is_recurrent, without_cudnn


class Watch(TorchFunctionMode):
    """Record what a forward pass does.

    The operations themselves do not change, but recurrent layers run without cuDNN.

    Attributes:
        no_grad: Whether it disables gradients.
        inference: Whether it computes anything in inference mode.
        half: Whether it computes anything in half precision.
        names: Names of all operations and properties.
    """

    def __init__(self) -> None:
        super().__init__()
        self.no_grad = False
        self.inference = False
        self.half = False
        self.names: set[str] = set()

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        self.no_grad |= starts_no_grad(func, args)
        # A property is called through the getter of an object that has its name.
        for named in (func, getattr(func, "__self__", None)):
            self.names.add(getattr(named, "__name__", ""))
        with without_cudnn() if is_recurrent(func) else nullcontext():
            result = func(*args, **(kwargs or {}))
        self.half |= is_half(result)
        self.inference |= isinstance(result, Tensor) and result.is_inference()
        return result
