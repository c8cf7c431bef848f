"""The parameters and buffers of a model, and what they say about it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from lightning_leaf.model.parts import buffers_of, parameters_of, sharded_parts
from lightning_leaf.model.precision import is_half, main_type, needs_copy
from lightning_leaf.model.recurrent import is_scripted_recurrent


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
