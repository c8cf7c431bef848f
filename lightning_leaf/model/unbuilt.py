"""Refuse models that create their parameters in the first forward pass, before it has run.

Their first forward pass belongs to the training: it sets shapes, draws initial values, and may
compute them from the batch. A measurement must neither be this pass nor use its result.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import (
    register_module_module_registration_hook,
    register_module_parameter_registration_hook,
)

from lightning_leaf.errors import LeafError
from lightning_leaf.model.parts import parameters_of, parts_of, sharded_parts
from lightning_leaf.model.unchanged_tensors import UNINITIALIZED

ADVICE = "Call the model once on a batch before measuring it: model(x)."


class ModelIsUnbuilt(LeafError):
    """A model that is complete only after its first forward pass, which has not run yet."""


def is_unbuilt(model: Any) -> bool:
    """Return whether a model has lazy parameters or buffers that are not initialized yet.

    Parameters that a forward pass creates are not known before; see
    :func:`refusing_new_parameters`.
    """
    return isinstance(model, nn.Module) and _uninitialized(model) is not None


def require_built(model: Any) -> None:
    """Check that no lazy parameter or buffer is uninitialized. Nothing is changed.

    Raises:
        ModelIsUnbuilt: If there is one.
    """
    if isinstance(model, nn.Module) and (found := _uninitialized(model)) is not None:
        raise ModelIsUnbuilt(
            f"Expected an initialized model; {found} has lazy parameters or buffers, whose shapes "
            f"are set by the first forward pass. {ADVICE}"
        )


def _uninitialized(model: nn.Module) -> str | None:
    for name, part in model.named_modules():
        tensors = *part.parameters(recurse=False), *part.buffers(recurse=False)
        if any(isinstance(tensor, UNINITIALIZED) for tensor in tensors):
            return f"its {type(part).__name__} '{name}'" if name else f"this {type(part).__name__}"
    return None


@contextmanager
def refusing_new_parameters(model: nn.Module) -> Iterator[None]:
    """Raise an error in the forward pass that gives the model a new parameter.

    Allowed are parameters of modules that do not become part of the model, and the replacement of
    a parameter or module by another.

    Raises:
        ModelIsUnbuilt: At the registration of a parameter, or of a module that has parameters; at
            the end for parameters that were not registered through the methods of the module.
    """
    parts = {id(part): part for part in parts_of(model)}
    existing = {id(parameter): parameter for parameter in parameters_of(parts.values())}
    for part in sharded_parts(parts.values()):
        parts.pop(id(part), None)
    names = {key: _parameter_names(part) for key, part in parts.items()}

    def is_new(parameter: nn.Parameter | None) -> bool:
        return parameter is not None and id(parameter) not in existing

    def on_parameter(part: nn.Module, name: str, parameter: nn.Parameter | None) -> None:
        if id(part) not in parts or parameter is None:
            return
        if part._parameters.get(name) is None and is_new(parameter):
            raise _created_in_forward(part, name)
        existing[id(parameter)] = parameter

    def on_module(part: nn.Module, name: str, child: nn.Module | None) -> None:
        if id(part) not in parts or child is None:
            return
        if part._modules.get(name) is None and any(map(is_new, parameters_of(parts_of(child)))):
            raise _created_in_forward(part, name)
        parts.update({id(inner): inner for inner in parts_of(child)})

    hooks = (
        register_module_parameter_registration_hook(on_parameter),
        register_module_module_registration_hook(on_module),
    )
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
    for key, known in names.items():
        for name in _parameter_names(parts[key]) - known:
            if is_new(parts[key]._parameters[name]):
                raise _created_in_forward(parts[key], name)


@contextmanager
def refusing_initialization(model: nn.Module) -> Iterator[None]:
    """Raise an error at the end if a part was initialized from the inputs of the measurement.

    Normalizing flows, codebooks and learned quantizers take their first values from the first
    batch, and remember in a flag (``initialized``, ``initted``, ``init_done``) that they have them.

    Raises:
        ModelIsUnbuilt: If a flag with "init" in its name has changed.
    """
    parts = parts_of(model)
    before = _flags(parts)
    yield
    now = _flags(parts) if before else {}
    for (key, name), value in before.items():
        if now.get((key, name), value) != value:
            part = next(part for part in parts if id(part) == key)
            raise ModelIsUnbuilt(
                f"Expected an initialized model; {type(part).__name__} takes its first values from "
                f"the first batch ('{name}' changed from {value} to {not value}). {ADVICE}"
            )


def _flags(parts: Iterable[nn.Module]) -> dict[tuple[int, str], bool]:
    """Return the values of all flags. The host waits once for each accelerator that has some."""
    found: dict[tuple[int, str], bool] = {}
    tensors: dict[torch.device, dict[tuple[int, str], Tensor]] = {}
    for part in parts:
        for name, tensor in (*part._buffers.items(), *part._parameters.items()):
            if "init" not in name or tensor is None or isinstance(tensor, UNINITIALIZED):
                continue
            if tensor.numel() == 1 and not tensor.is_meta:
                tensors.setdefault(tensor.device, {})[id(part), name] = tensor
        for name, value in vars(part).items():
            if "init" in name and (
                isinstance(value, bool) or (type(value) is int and value in (0, 1))
            ):
                found[id(part), name] = bool(value)
    for group in tensors.values():
        values = torch.stack([each.detach().reshape(()) != 0 for each in group.values()])
        found |= zip(group, values.tolist(), strict=True)
    return found


def _parameter_names(part: nn.Module) -> set[str]:
    return {name for name, parameter in part._parameters.items() if parameter is not None}


def _created_in_forward(part: nn.Module, name: str) -> ModelIsUnbuilt:
    return ModelIsUnbuilt(
        f"Expected a model with all its parameters; the forward pass of {type(part).__name__} "
        f"creates '{name}'. {ADVICE}"
    )
