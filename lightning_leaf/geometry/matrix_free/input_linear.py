"""Convolutions as linear maps of their input alone, for derivatives of derivatives."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

_CONVOLUTIONS = {torch.conv1d: 1, torch.conv2d: 2, torch.conv3d: 3}
Terms = tuple[list[int], list[int], list[int], bool, list[int], int]
"""Stride, padding, dilation, transposed, output padding and groups, as ATen takes them."""


class InputLinear(TorchFunctionMode):
    """Inside, convolutions are differentiated by their input only, never by their weights.

    Differentiating a backward pass once more is, for a convolution, the convolution itself. PyTorch
    adds a second one with the derivative by the weights, which is zero here. Values are the same to
    the last bit.
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
    # Weights that are computed might be computed from the input.
    computed = weight.grad_fn is not None or (bias is not None and bias.grad_fn is not None)
    if computed or not input.requires_grad or isinstance(padding, str) or input.ndim != axes + 2:
        return func(input, weight, bias, stride, padding, dilation, groups)
    per_axis = [_per_axis(value, axes) for value in (stride, padding, dilation)]
    terms = (*per_axis, False, [0] * axes, groups)
    constant = None if bias is None else bias.detach()
    convolved: Tensor = _Convolution.apply(input, weight.detach(), constant, terms)
    return convolved


def _per_axis(value: int | Iterable[int], axes: int) -> list[int]:
    values = [value] if isinstance(value, int) else list(value)
    return values * axes if len(values) == 1 else values


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, terms: Terms) -> Tensor:
        ctx.save_for_backward(weight)
        ctx.terms, ctx.shape = terms, x.shape
        convolved: Tensor = torch.ops.aten.convolution(x, weight, bias, *terms)
        return convolved

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        (weight,) = ctx.saved_tensors
        return _Transposed.apply(gradient, weight, ctx.terms, ctx.shape), None, None, None


class _Transposed(torch.autograd.Function):
    """The transposed map: the input's gradient, from the output's."""

    @staticmethod
    def forward(
        ctx: Any, gradient: Tensor, weight: Tensor, terms: Terms, shape: torch.Size
    ) -> Tensor:
        ctx.save_for_backward(weight)
        ctx.terms = terms
        like = gradient.new_empty(1).expand(shape)  # of which only the shape is read
        wanted = [True, False, False]  # by input, weight and bias
        found: Tensor = torch.ops.aten.convolution_backward(
            gradient, like, weight, None, *terms, wanted
        )[0]
        return found

    @staticmethod
    def backward(ctx: Any, v: Tensor) -> Any:
        (weight,) = ctx.saved_tensors
        return torch.ops.aten.convolution(v, weight, None, *ctx.terms), None, None, None
