"""Recurrent layers without cuDNN, which cannot differentiate them in evaluation mode."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

RECURRENT = {"lstm", "gru", "rnn_tanh", "rnn_relu"}
"""Functions of PyTorch that run whole sequences, by the layers of these names and directly."""

LAYERS = {"LSTM", "GRU", "RNN"}
"""The layers that call them."""


class RecurrentWithoutCuDNN(TorchFunctionMode):
    """A context in which recurrent layers run without cuDNN, and everything else with it.

    Their backward pass then consists of operations that do not use cuDNN either.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        if not is_recurrent(func):
            return func(*args, **(kwargs or {}))
        with without_cudnn():
            return func(*args, **(kwargs or {}))


def is_recurrent(func: Callable[..., Any]) -> bool:
    """Return whether a function that a mode intercepts is one of :data:`RECURRENT`."""
    return getattr(func, "__name__", "") in RECURRENT


def is_scripted_recurrent(part: nn.Module) -> bool:
    """Return whether a part of a model is a recurrent layer in TorchScript."""
    is_script = isinstance(part, torch.jit.ScriptModule)
    return is_script and getattr(part, "original_name", "") in LAYERS


@contextmanager
def without_cudnn() -> Iterator[None]:
    """Disable cuDNN, and MIOpen on AMD's GPUs.

    ``torch.backends.cudnn.flags`` would change the precision of convolutions too.
    """
    before = torch._C._get_cudnn_enabled()
    torch._C._set_cudnn_enabled(False)
    try:
        yield
    finally:
        torch._C._set_cudnn_enabled(before)
