"""Convolutions as linear maps of their input alone, for second derivatives."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

_CONVOLUTIONS = {torch.conv1d: 1, torch.conv2d: 2, torch.conv3d: 3}
Options = tuple[list[int], list[int], list[int], bool, list[int], int]
"""Stride, padding, dilation, transposed, output padding and groups, as ATen takes them."""


class InputLinear(TorchFunctionMode):
    """A context in which convolutions are differentiated with respect to their input only.

    The derivative of the backward pass of a convolution is the convolution itself. PyTorch adds a
    second convolution with the derivative with respect to the weights, which is zero here. Values
    are the same to the last bit.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        if func in _CONVOLUTIONS:
            return _convolution(func, *args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))


def _convolution(
    func: Callable[..., Tensor],
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor:
    axes = _CONVOLUTIONS[func]
    # Computed weights can depend on the input.
    computed = weight.grad_fn is not None or (bias is not None and bias.grad_fn is not None)
    if computed or not input.requires_grad or isinstance(padding, str) or input.ndim != axes + 2:
        return func(input, weight, bias, stride, padding, dilation, groups)
    per_axis = [_per_axis(value, axes) for value in (stride, padding, dilation)]
    options = (*per_axis, False, [0] * axes, groups)
    constant = None if bias is None else bias.detach()
    convolved: Tensor = _Convolution.apply(input, weight.detach(), constant, options)
    return convolved


def _per_axis(value: int | Iterable[int], axes: int) -> list[int]:
    values = [value] if isinstance(value, int) else list(value)
    return values * axes if len(values) == 1 else values


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, options: Options
    ) -> Tensor:
        ctx.save_for_backward(weight)
        ctx.options, ctx.shape = options, x.shape
        convolved: Tensor = torch.ops.aten.convolution(x, weight, bias, *options)
        return convolved

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        (weight,) = ctx.saved_tensors
        return _Transposed.apply(gradient, weight, ctx.options, ctx.shape), None, None, None


class _Transposed(torch.autograd.Function):
    """The transposed map, from the gradient of the output to that of the input."""

    @staticmethod
    def forward(
        ctx: Any, gradient: Tensor, weight: Tensor, options: Options, shape: torch.Size
    ) -> Tensor:
        ctx.save_for_backward(weight)
        ctx.options = options
        like = gradient.new_empty(1).expand(shape)  # only its shape is read
        needed = [True, False, False]  # gradients of input, weight and bias
        result: Tensor = torch.ops.aten.convolution_backward(
            gradient, like, weight, None, *options, needed
        )[0]
        return result

    @staticmethod
    def backward(ctx: Any, v: Tensor) -> Any:
        (weight,) = ctx.saved_tensors
        return torch.ops.aten.convolution(v, weight, None, *ctx.options), None, None, None
