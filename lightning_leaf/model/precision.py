"""The floating-point precision in which a model is measured."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_map

from lightning_leaf.model.accelerators import autocast_is_enabled

HALF_PRECISION = (torch.float16, torch.bfloat16)

_TO_HALF = {Tensor.half, Tensor.bfloat16}


@dataclass(frozen=True)
class Precision:
    """One way to run a model.

    Attributes:
        inputs: Type of the inputs that the model gets. None for the type they have.
        copies: Whether parameters and buffers that cannot be used as they are, see
            :func:`needs_copy`, are replaced by full copies.
        full: Whether casts to half precision in the forward pass, and autocast, are ignored.
        coarse: Whether the model computes in half precision, so that derivatives are coarse.
    """

    inputs: torch.dtype | None
    copies: bool = False
    full: bool = False
    coarse: bool = False


def main_type(parameters: Sequence[Tensor]) -> torch.dtype:
    """Return float64 if most numbers in floating-point parameters are float64, else float32.

    Buffers do not count: counters and statistics are often float64 beside float32 weights.
    """
    floating = [each for each in parameters if each.is_floating_point()]
    double = sum(each.numel() for each in floating if each.dtype == torch.float64)
    return torch.float64 if 2 * double > sum(each.numel() for each in floating) else torch.float32


def precisions(
    parameters: Sequence[Tensor], buffers: Sequence[Tensor], scripted: bool = False
) -> list[Precision]:
    """Return the ways to run a model, to be tried in this order on two inputs.

    The first is right for almost all models, and the others are for models of several types:

    1. Inputs in the type of most parameters. Half-precision tensors are replaced by float32
       copies, and the forward pass runs in full precision even where it casts to half precision,
       because derivatives in half precision are too coarse for a spectrum. Tensors created in
       inference mode, which allow no derivatives, are replaced by copies too.
    2. Inputs in the other of float32 and float64, if the model has tensors of that type: a first
       layer that expects it.
    3. In full precision without copies: each operation converts its half-precision arguments. For
       float32 weights whose forward pass casts to half precision, which runs under autocast only,
       and for tensors that cannot be replaced.
    4. The module in its own half precision, because coarse derivatives are better than none.

    A model without parameters runs in the type of its inputs first.

    Args:
        parameters: All parameters of the model.
        buffers: All buffers.
        scripted: Whether parts of it are TorchScript, whose casts cannot be ignored.
    """
    floating = [each.dtype for each in (*parameters, *buffers) if each.is_floating_point()]
    if not (parameters or buffers):
        return [Precision(None), Precision(None, full=True), Precision(torch.float64)]
    main = main_type(parameters)
    other = torch.float32 if main == torch.float64 else torch.float64
    halves = sorted(set(floating) & set(HALF_PRECISION), key=str)
    has_half = bool(halves)
    copies = any(map(needs_copy, (*parameters, *buffers)))
    ways = [
        Precision(dtype, copies=copies, full=has_half)
        for dtype in (main, other)
        if dtype == main or dtype in floating
    ]
    ways.append(Precision(main, full=True, coarse=has_half and scripted))
    if has_half:
        ways.append(Precision(main, coarse=True))
    return ways + [Precision(half, coarse=True) for half in halves]


class FullPrecision(TorchFunctionMode):
    """A context in which a forward pass computes in full precision only.

    Casts to half precision (``x.to(torch.bfloat16)``, ``x.half()``, ``dtype=torch.float16``) give
    the full type, half-precision arguments are converted, and ``torch.autocast`` is off.

    Args:
        dtype: The full type.
        device: Device of the model, whose autocast is turned off.
    """

    def __init__(self, dtype: torch.dtype, device: torch.device | None) -> None:
        super().__init__()
        self._dtype = dtype
        self._device_type = "cpu" if device is None else device.type

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        if name == "__set__":  # the attributes of the module's own tensors
            return func(*args, **kwargs)
        if func in _TO_HALF or (func is Tensor.type and _names_half(args[1:])):
            return args[0].to(self._dtype)
        # What is written to stays the same tensor.
        kept = 1 if name == "__setitem__" or (name.endswith("_") and name[-2:] != "__") else 0
        args = (*args[:kept], *tree_map(self._in_full, args[kept:]))
        kwargs = tree_map(self._in_full, kwargs)
        if autocast_is_enabled(self._device_type):
            with torch.autocast(self._device_type, enabled=False):
                return tree_map(self._in_full, func(*args, **kwargs))
        return tree_map(self._in_full, func(*args, **kwargs))

    def _in_full(self, value: Any) -> Any:
        if isinstance(value, torch.dtype):
            return self._dtype if value in HALF_PRECISION else value
        if isinstance(value, Tensor):
            return value.to(self._dtype) if is_half(value) else value
        return value


def needs_copy(tensor: Tensor) -> bool:
    """Return whether derivatives need a copy: of half precision, or created in inference mode."""
    return is_half(tensor) or (tensor.is_inference() and tensor.is_floating_point())


def is_half(value: Any) -> bool:
    """Return whether a value is a tensor in half precision."""
    return isinstance(value, Tensor) and value.dtype in HALF_PRECISION


def _names_half(types: tuple[Any, ...]) -> bool:
    """Return whether an argument of ``Tensor.type`` is such as ``"torch.cuda.HalfTensor"``."""
    names = (each if isinstance(each, str) else str(each) for each in types)
    return any("HalfTensor" in name or "BFloat16Tensor" in name for name in names)
