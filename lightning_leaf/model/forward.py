"""How to call a model: as it is, by the name of one of its parts, or with a function."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any, TypeAlias

from torch import Tensor, nn

from lightning_leaf.errors import LeafError

Forward: TypeAlias = str | Callable[[Any, Tensor], Any]
"""A name, or a function ``(model, inputs) -> scores``. See :func:`forward_function`."""


def forward_function(model: Any, forward: Forward | None) -> Callable[[Any, Tensor], Any]:
    """Return the function ``(model, inputs) -> output`` that a ``forward=`` argument stands for.

    Args:
        model: The model that will be called.
        forward: None calls the model itself. A name is that of a method or sub-module of the model
            (``"backbone"``, ``"predict_logits"``, ``"model.head"``), else of a function to import
            (``"package.module.function"``). A function takes the model and a batch of inputs.

    Raises:
        LeafError: If there is nothing callable of that name, or the model cannot be called.

    Example:
        >>> import torch
        >>> model = torch.nn.ModuleDict({"encoder": torch.nn.Linear(4, 3)})
        >>> tuple(forward_function(model, "encoder")(model, torch.rand(2, 4)).shape)
        (2, 3)
        >>> first = forward_function(model, lambda model, x: model["encoder"](x)[:, :2])
        >>> tuple(first(model, torch.rand(2, 4)).shape)
        (2, 2)
    """
    if forward is None:
        if not callable(model):
            raise LeafError(
                "model expects a torch.nn.Module or a function from inputs to logits; got "
                f"{type(model).__name__}."
            )
        return _call
    if isinstance(forward, str):
        return _named(model, forward)
    if not callable(forward):
        raise LeafError(
            "forward expects the name of a method or sub-module, or a function (model, inputs) -> "
            f"scores; got {type(forward).__name__}."
        )
    return forward


class Calling(nn.Module):
    """A module that calls another as ``forward=`` says, so that its tensors can be replaced.

    Args:
        model: The module.
        function: See :func:`forward_function`.
    """

    def __init__(self, model: nn.Module, function: Callable[[Any, Tensor], Any]) -> None:
        super().__init__()
        self.model = model
        self.function = function

    def forward(self, x: Tensor) -> Any:
        """Return the output of the model."""
        return self.function(self.model, x)


def _call(model: Any, x: Tensor) -> Any:
    return model(x)


def _named(model: Any, name: str) -> Callable[[Any, Tensor], Any]:
    found, part = _part(model, name)
    if found:
        if not callable(part):
            raise LeafError(
                f'forward="{name}" expects a method or sub-module of {type(model).__name__}; it is '
                f"of type {type(part).__name__}."
            )
        return lambda model, x: _part(model, name)[1](x)
    path, _, function_name = name.rpartition(".")
    function = _imported(path, function_name) if path else None
    if not callable(function):
        raise LeafError(
            f'forward="{name}" is neither a method or sub-module of {type(model).__name__} nor a '
            f"function that can be imported.{_suggestions(model)}"
        )
    return function  # type: ignore[no-any-return]


def _part(model: Any, name: str) -> tuple[bool, Any]:
    """Return whether the model has an attribute of a dotted name, and the attribute."""
    part = model
    for each in name.split("."):
        if isinstance(part, nn.Module) and each in part._modules:  # items of containers
            part = part._modules[each]
        elif hasattr(part, each):
            part = getattr(part, each)
        else:
            return False, None
    return True, part


def _imported(path: str, name: str) -> Any:
    try:
        return getattr(importlib.import_module(path), name, None)
    except ModuleNotFoundError as error:
        if error.name is not None and (path + ".").startswith(error.name + "."):
            return None
        raise


def _suggestions(model: Any) -> str:
    names = list(model._modules) if isinstance(model, nn.Module) else []
    return f" Its sub-modules are {', '.join(map(repr, names[:12]))}." if names else ""
