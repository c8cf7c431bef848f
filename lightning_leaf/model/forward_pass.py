"""One way to run the forward pass of a model during a measurement."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from lightning_leaf.model.forward import Calling
from lightning_leaf.model.no_grad import ThroughNoGrad, starts_no_grad
from lightning_leaf.model.outputs import score_rows
from lightning_leaf.model.parts import buffers_of, parameters_of, sharded_parts
from lightning_leaf.model.precision import (
    FullPrecision,
    Precision,
    is_half,
    main_type,
    needs_copy,
)
from lightning_leaf.model.recurrent import (
    RecurrentWithoutCuDNN,
    is_recurrent,
    is_scripted_recurrent,
    without_cudnn,
)


class ModelTensors:
    """The parameters and buffers of a model.

    Args:
        model: A module, or a function without tensors.

    Attributes:
        parameters: Each once.
        buffers: Each once.
        dtype: Type of most parameters, float32 or float64.
        devices: Their devices, each once: those of parameters before those of buffers, and
            accelerators before the CPU. The meta device does not count.
        scripted: Whether parts of the model are TorchScript.
        quantized: Whether parts of the model are quantized layers.
        recurrent: Whether parts of the model are LSTM, GRU or RNN layers.
        scripted_recurrent: Whether such layers are TorchScript.
        sharded: Whether a sharding strategy manages some of its parameters.
    """

    def __init__(self, model: Any) -> None:
        self._paths = _paths(model) if isinstance(model, nn.Module) else {}
        parts = list(self._paths)
        self.parameters = parameters_of(parts)
        self.buffers = buffers_of(parts)
        self.dtype = main_type(self.parameters)
        found = (*devices_of(self.parameters), *devices_of(self.buffers))
        self.devices = list(dict.fromkeys(found))
        self.scripted = any(isinstance(part, torch.jit.ScriptModule) for part in parts)
        self.quantized = any(".quantized" in type(part).__module__ for part in parts)
        self.scripted_recurrent = self.scripted and any(map(is_scripted_recurrent, parts))
        self.recurrent = self.scripted_recurrent or any(
            isinstance(part, nn.RNNBase) for part in parts
        )
        self.sharded = bool(sharded_parts(parts))
        self._full_copies: dict[str, Tensor] | None = None

    def full_copies(self) -> dict[str, Tensor]:
        """Return full copies of the tensors that need one, by their names.

        A tensor of several modules has a name in each, with the same copy.
        """
        if self._full_copies is None:
            copies = {
                id(tensor): tensor.detach().to(
                    self.dtype if is_half(tensor) else tensor.dtype, copy=True
                )
                for tensor in (*self.parameters, *self.buffers)
                if needs_copy(tensor)
            }
            self._full_copies = {
                path + name: copies[id(tensor)]
                for part, path in self._paths.items()
                for name, tensor in (*part._parameters.items(), *part._buffers.items())
                if tensor is not None and needs_copy(tensor)
            }
        return self._full_copies

    def __iter__(self) -> Iterator[Tensor]:
        """Yield all tensors, their copies, and tensors that are attributes of the modules."""
        yield from self.parameters
        yield from self.buffers
        yield from (self._full_copies or {}).values()
        for part in self._paths:
            yield from (value for value in vars(part).values() if isinstance(value, Tensor))

    def release(self) -> None:
        """Release the copies."""
        self._full_copies = None


@dataclass(frozen=True)
class ForwardPass:
    """A function from inputs to rows of scores.

    Attributes:
        model: The model.
        function: Calls it, see :func:`~lightning_leaf.model.forward.forward_function`.
        tensors: Those of the model.
        classes: Expected number of classes, if known.
        precision: In which precision to run.
        device: Device of the inputs that the model gets; None for the device they are on.
        through_no_grad: Whether ``torch.no_grad()`` in the model has no effect.
        recurrent: Whether the model calls recurrent layers.
    """

    model: Any
    function: Callable[[Any, Tensor], Any]
    tensors: ModelTensors = field(repr=False)
    classes: int | None
    precision: Precision
    device: torch.device | None = None
    through_no_grad: bool = False
    recurrent: bool = False

    def __call__(self, x: Tensor, watch: Watch | None = None) -> Tensor:  # (B, ...) -> (B, C)
        """Return the scores, in the type and on the device of x.

        Args:
            x: Inputs.
            watch: Records the operations of the forward pass.

        Raises:
            LeafError: If the output is not one row of scores for each input.
        """
        tensors, precision = self.tensors, self.precision
        dtype = precision.inputs if x.is_floating_point() else None
        # A copy to another device is part of the graph, as the one of the scores back from it.
        inputs = x.to(device=self.device or x.device, dtype=dtype or x.dtype)
        copies = tensors.full_copies() if precision.copies else {}
        with ExitStack() as modes:
            if precision.full:
                dtype = x.dtype if precision.inputs is None else tensors.dtype
                modes.enter_context(FullPrecision(dtype, inputs.device))
            if tensors.scripted_recurrent:  # nothing can intercept their calls
                modes.enter_context(without_cudnn())
            elif self.recurrent:
                modes.enter_context(RecurrentWithoutCuDNN())
            if self.through_no_grad:
                modes.enter_context(ThroughNoGrad(tensors))
            if watch is not None:
                modes.enter_context(watch)
            if copies:
                calling = Calling(self.model, self.function)
                named = {f"model.{name}": copy for name, copy in copies.items()}
                # Shared modules would not be restored if names were tied here.
                output = torch.func.functional_call(calling, named, inputs, tie_weights=False)
            else:
                output = self.function(self.model, inputs)
        scores = score_rows(output, len(x), self.classes)
        return scores.to(device=x.device, dtype=x.dtype if x.is_floating_point() else scores.dtype)


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


def weighted(scores: Tensor) -> Tensor:  # (B, C) -> (B,)
    """Return an unequally weighted sum: that of log-probabilities hardly changes with the input."""
    count = scores.shape[1]
    return scores @ torch.arange(1, count + 1, dtype=scores.dtype, device=scores.device)


def devices_of(tensors: Iterable[Tensor]) -> list[torch.device]:
    """Return the devices of tensors, each once, accelerators before the CPU and without meta."""
    devices = dict.fromkeys(tensor.device for tensor in tensors)
    return sorted(
        (device for device in devices if device.type != "meta"),
        key=lambda device: device.type == "cpu",
    )


def _paths(model: nn.Module) -> dict[nn.Module, str]:
    """Return one path of each module in a model, such as ``"net.0."``."""
    found: dict[nn.Module, str] = {}
    pending = [("", model)]
    while pending:
        path, part = pending.pop()
        if part not in found:
            found[part] = path
            children = part._modules.items()
            pending += [(f"{path}{name}.", each) for name, each in children if each is not None]
    return found
