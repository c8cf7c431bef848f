"""Differentiate a model without what was added to its backward pass.

Backward hooks belong to the training: they record or change its gradients. They also forbid
modules that work in place and batched backward passes. Checkpointing recomputes activations:
its reentrant form allows no gradients with respect to inputs, the other needs every forward pass
to be repeatable.
"""

from __future__ import annotations

import sys
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from lightning_leaf.model.parts import parameters_of, parts_of, sharded_parts

Replacement = tuple[dict[str, Any], str, Any]
"""A namespace, a name in it and the value it has for a time."""

_ABSENT = object()


@contextmanager
def replaced(replacements: Iterable[Replacement]) -> Iterator[None]:
    """Set names in namespaces, and restore the values that they had or remove them again."""
    before: list[Replacement] = []
    try:
        for namespace, name, value in replacements:
            before.append((namespace, name, namespace.get(name, _ABSENT)))
            namespace[name] = value
        yield
    finally:
        for namespace, name, value in reversed(before):
            if value is _ABSENT:
                del namespace[name]
            else:
                namespace[name] = value


@contextmanager
def no_backward_hooks(module: nn.Module) -> Iterator[None]:
    """Call no backward hooks of modules, and none that a forward pass registers on tensors.

    Sharded modules keep theirs, which gather and shard parameters.
    """
    parts = parts_of(module)
    sharded = set(map(id, sharded_parts(parts)))
    hooks: list[Replacement] = [
        (vars(part), name, OrderedDict())
        for part in parts
        for name in ("_backward_hooks", "_backward_pre_hooks")
        if vars(part).get(name) and id(part) not in sharded
    ]
    hooks += [
        (vars(nn.modules.module), name, OrderedDict())
        for name in ("_global_backward_hooks", "_global_backward_pre_hooks")
    ]
    registering = Tensor.register_hook
    if not sharded:
        Tensor.register_hook = _register_nothing  # type: ignore[method-assign]
    try:
        with replaced(hooks):
            yield
    finally:
        Tensor.register_hook = registering  # type: ignore[method-assign]


def _register_nothing(tensor: Tensor, hook: Callable[..., Any]) -> RemovableHandle:
    """Replace ``Tensor.register_hook`` during a measurement."""
    return RemovableHandle(OrderedDict())


@contextmanager
def gradients_set_aside(module: nn.Module) -> Iterator[None]:
    """Take the gradients out of the parameters, and put them back afterwards.

    A forward pass that calls ``backward`` or ``zero_grad`` then changes none of the training's.
    Whether a parameter requires gradients is restored too.
    """
    parts = parts_of(module)
    sharded = set(map(id, parameters_of(sharded_parts(parts))))
    gradients = [
        (parameter, parameter.grad, parameter.requires_grad)
        for parameter in parameters_of(parts)
        if parameter.is_leaf and id(parameter) not in sharded
    ]
    try:
        for parameter, gradient, _ in gradients:
            if gradient is not None:
                parameter.grad = None
        yield
    finally:
        for parameter, gradient, required in gradients:
            if parameter.grad is not gradient:
                parameter.grad = gradient
            if parameter.requires_grad != required:
                parameter.requires_grad_(required)


@contextmanager
def no_checkpointing() -> Iterator[None]:
    """Keep all activations of modules that recompute theirs in the backward pass."""
    checkpoint = sys.modules.get("torch.utils.checkpoint")
    if checkpoint is None:
        yield
        return
    reentrant = checkpoint.CheckpointFunction
    apply = vars(reentrant).get("apply", _ABSENT)
    reentrant.apply = staticmethod(_call)
    try:
        # The other form saves activations through these hooks.
        with replaced([(vars(checkpoint), "_checkpoint_hook", nullcontext)]):
            yield
    finally:
        if apply is _ABSENT:
            del reentrant.apply
        else:
            reentrant.apply = apply


def _call(function: Callable[..., Any], preserve_rng_state: bool, *inputs: Any) -> Any:
    """Replace ``CheckpointFunction.apply`` during a measurement."""
    return function(*inputs)
